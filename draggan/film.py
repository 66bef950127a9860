"""The way of an edit, kept small: enough of its steps to show it again as a video."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from draggan.geometry import Point

FRAMES = 64  # at most; a longer way keeps every second, fourth, .. step
SHOWN = 45  # frames of a video at least, so that a few large steps are not over at once


@dataclass(frozen=True, eq=False)
class Frame:
    """One step of the way."""

    moved: Tensor  # (1, k, w_dim): the first k layers of the latent, the others are those of the start
    handles: tuple[Point, ...]
    targets: tuple[Point, ...]

    def latent(self, start: Tensor) -> Tensor:
        """start (1, num_ws, w_dim) -> the latent of this step, of the same shape."""
        return torch.cat([self.moved.to(start), start[:, self.moved.shape[1] :]], dim=1)

    def towards(self, other: "Frame", part: float, start: Tensor) -> "Frame":
        """What lies between two frames: at part 0 this one, at 1 the other. start (1, num_ws, w_dim)."""
        handles = self.handles
        if len(handles) == len(other.handles):
            pairs = zip(handles, other.handles, strict=True)
            handles = tuple(Point(a.x + part * (b.x - a.x), a.y + part * (b.y - a.y)) for a, b in pairs)
        return Frame(self.latent(start).lerp(other.latent(start), part), handles, self.targets)


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
        return Film(frames, every, self.seen + 1).thinned(FRAMES)

    def thinned(self, most: int) -> "Film":
        """The same way in at most so many frames."""
        thin = self
        while len(thin.frames) > most:
            thin = Film(thin.frames[::2], 2 * thin.every, thin.seen)
        return thin

    def way(self, start: Tensor, end: Frame) -> tuple[Frame, ...]:
        """What a video shows: the frames to `end`, and where they are few others in between, as many everywhere."""
        last = (self.seen - 1) % self.every == 0  # whether the last frame is the end, but for rounding
        frames = (*(self.frames[:-1] if last else self.frames), end)
        each = math.ceil((SHOWN - 1) / max(1, len(frames) - 1))
        return (*(a.towards(b, i / each, start) if i else a for a, b in pairwise(frames) for i in range(each)), end)
