"""What a session keeps of a picture of one's own, beside the latent that it was turned into."""

import hashlib
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from draggan.inversion.picture import Crop, Picture
from draggan.stylegan2.delta import Delta


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture that was put into a model. The model's own picture of it is that of the session's `start`."""

    crop: Crop  # the part of the picture that the model sees
    shown: np.ndarray  # (H, W, 3) uint8: what the crop holds, at the size of the model's pictures
    delta: Delta | None = None  # how the model's weights were changed for it
    picture: Picture | None = None  # the whole picture; None: it is not kept

    @cached_property
    def view(self) -> int:
        """A number that belongs to what the crop holds."""
        return zlib.crc32(self.shown.tobytes())

    @cached_property
    def details(self) -> str | None:
        """A SHA-256 of the large ones of these, the delta and the whole picture; None: there is neither."""
        if self.delta is None and self.picture is None:
            return None
        digest = hashlib.sha256(self.delta.digest.encode() if self.delta else b"")
        if self.picture:
            digest.update(repr(self.picture.size).encode())
            digest.update(np.ascontiguousarray(self.picture.pixels).data)
        return digest.hexdigest()
