"""The way of an edit, kept small: enough of its steps to show it again as a video."""

from dataclasses import dataclass

import torch
from torch import Tensor

from draggan.geometry import Point

FRAMES = 64  # at most; a longer way keeps every second, fourth, .. step


@dataclass(frozen=True, eq=False)
class Frame:
    """One step of the way."""

    moved: Tensor  # (1, k, w_dim) in fp16: the first k layers of the latent, the others are those of the start
    handles: tuple[Point, ...]
    targets: tuple[Point, ...]

    def latent(self, start: Tensor) -> Tensor:
        """start (1, num_ws, w_dim) -> the latent of this step, of the same shape."""
        return torch.cat([self.moved.to(start), start[:, self.moved.shape[1] :]], dim=1)


@dataclass(frozen=True, eq=False)
class Film:
    """Steps of the way, evenly spread over it."""

    frames: tuple[Frame, ...] = ()
    every: int = 1  # steps from one frame to the next
    seen: int = 0  # steps that the way has so far

    def shoot(self, start: Tensor, latent: Tensor, handles: tuple[Point, ...], targets: tuple[Point, ...]) -> "Film":
        """The film with one more step. start and latent (1, num_ws, w_dim)."""
        frames, every = self.frames, self.every
        if self.seen % every == 0:
            changed = (latent != start).any(dim=2)[0].nonzero()  # (layers that differ, 1)
            moved = int(changed.max()) + 1 if len(changed) else 0
            frames = (*frames, Frame(latent[:, :moved].half(), handles, targets))
        if len(frames) > FRAMES:
            frames, every = frames[::2], 2 * every
        return Film(frames, every, self.seen + 1)
