"""A feature map, or parts of it, as the drag reads it: at points of the picture."""

from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.geometry import to_cells
from draggan.stylegan2.generator import Trunk
from draggan.stylegan2.recordings import Function, Recordings

IN_ONE_PASS = ("cpu",)  # devices on which the library sums weighted rows without a copy of each; some do not have it


@dataclass(frozen=True, eq=False)
class Features:
    """Parts of one feature map, and which part each handle reads. A whole map is one part."""

    parts: Tensor  # (M, C, h, w)
    corners: Tensor  # (M, 2), whole numbers: top, left of each part, in cells of the map
    owners: Tensor  # (N,), whole numbers: the part of each handle
    map_size: tuple[int, int]  # (height, width) of the whole map, in cells
    image_size: tuple[int, int]  # (height, width) of the picture, in pixels
    trunk: Trunk | None = None  # where the whole map comes from

    def detach(self) -> "Features":
        """Without gradients."""
        return replace(self, parts=self.parts.detach(), trunk=self.trunk and self.trunk.detach())

    def of(self, handle: int) -> "Features":
        """The same as one handle alone reads it."""
        return replace(self, owners=self.owners[handle : handle + 1])

    def sample(self, points: Tensor) -> Tensor:
        """The features at places around each handle, between the cells by bilinear interpolation.

        points (N, K, 2) in pixels, a row for each handle -> (N, K, C). At whole pixels that is the map resized to
        the picture as `torch.nn.functional.interpolate(mode="bilinear")` resizes it; outside the picture the
        value at the border goes on.
        """
        height, width = self.parts.shape[2:]
        rows = self.parts.permute(0, 2, 3, 1).reshape(-1, self.parts.shape[1])  # (M h w, C)
        top, left = self.corners.index_select(0, self.owners)[:, None].unbind(-1)  # (N, 1) each
        x, y = to_cells(points, self.image_size, self.map_size).unbind(-1)  # (N, K) each
        before, after, along = _between(x, self.map_size[1])
        above, below, down = _between(y, self.map_size[0])
        first = self.owners[:, None] * height - top  # where rows of the map would begin in those of this part
        cells = [(first + row) * width + column - left for row in (above, below) for column in (before, after)]
        weights = [a * b for b in (1 - down, down) for a in (1 - along, along)]
        index, weight = torch.stack(cells, dim=-1), torch.stack(weights, dim=-1)  # (N, K, 4)
        return _blended(rows, index.flatten(0, 1), weight.flatten(0, 1)).unflatten(0, index.shape[:2])


def _between(places: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The cells before and after places in a row of `count` cells, and the part of the way from one to the other."""
    places = places.clamp(0, count - 1)
    before = places.floor().clamp(0, max(count - 2, 0))
    return before.long(), (before + 1).clamp(max=count - 1).long(), places - before


def _blended(rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums of rows. rows (R, C), index and weight (P, 4) -> (P, C)."""
    if rows.device.type in IN_ONE_PASS:
        return F.embedding_bag(index, rows, mode="sum", per_sample_weights=weight)
    return (rows.index_select(0, index.flatten()).view(*index.shape, -1) * weight[:, :, None]).sum(dim=1)


def whole(trunk: Trunk, image_size: tuple[int, int], handles: int) -> Features:
    """Maps that were computed whole, for a number of handles: one for all of them, or for each its own."""
    parts = trunk.features
    device = parts.device
    owners = torch.arange(handles, device=device) if len(parts) > 1 else torch.zeros(handles, device=device).long()
    corners = torch.zeros(len(parts), 2, device=device).long()
    height, width = parts.shape[2:]
    return Features(parts, corners, owners, (height, width), image_size, trunk if len(parts) == 1 else None)


def recorded(
    recordings: Recordings, function: Function, constants: tuple[Hashable, ...], features: Features, *given: Tensor
) -> tuple[Tensor, ...]:
    """function(*constants, features, *given), as `Recordings.run` runs it."""
    constants = function, constants, features.map_size, features.image_size
    return recordings.run(_read, constants, features.parts, features.corners, features.owners, *given)


def _read(
    function: Function,
    constants: tuple[Hashable, ...],
    map_size: tuple[int, int],
    image_size: tuple[int, int],
    parts: Tensor,
    corners: Tensor,
    owners: Tensor,
    *given: Tensor,
) -> tuple[Tensor, ...]:
    return function(*constants, Features(parts, corners, owners, map_size, image_size), *given)
