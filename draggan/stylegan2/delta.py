"""A generator moved a little: the changes of some of its weights, and the generator that has them.

The generator that is changed is never touched, and shares with the new one all weights that stay as they are.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from draggan.stylegan2.generator import Generator


@dataclass(frozen=True, eq=False)
class Delta:
    """Changes of weights of one generator, to be added to them."""

    changes: Mapping[str, Tensor]  # by the StyleGAN2-ADA names: float16, of the weight's shape, on the CPU

    @property
    def nbytes(self) -> int:
        """Bytes of it, in memory and nearly so in a file."""
        return sum(change.nbytes for change in self.changes.values())

    @cached_property
    def digest(self) -> str:
        """A SHA-256 by which it is known."""
        digest = hashlib.sha256()
        for name, change in sorted(self.changes.items()):
            digest.update(name.encode() + change.contiguous().numpy().tobytes())
        return digest.hexdigest()


def check(delta: Delta, generator: Generator) -> None:
    """Raises ValueError unless the delta was made for such a generator."""
    shapes = generator.config.tensor_shapes()
    for name, change in delta.changes.items():
        if name not in shapes or not name.startswith("synthesis."):
            raise ValueError(f"the delta changes {name[:80]!r}, which this generator does not have: use its own model")
        if tuple(change.shape) != shapes[name]:
            raise ValueError(
                f"the delta of {name} has shape {tuple(change.shape)}, the generator's weight {shapes[name]}: "
                "use the model it was made for"
            )
        if change.dtype != torch.float16 or not change.isfinite().all():
            raise ValueError(f"the delta of {name} is not of finite float16 numbers: the file is damaged")


def changed(generator: Generator, delta: Delta) -> Generator:
    """The generator with a delta, on the same device. Raises ValueError as `check` does."""
    check(delta, generator)
    return generator.changed(delta.changes)
