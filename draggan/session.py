"""Everything one browser tab owns, as a value, and the edits that a user may make to it. Knows nothing of pages."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from draggan.engine import MAX_PAIRS, DragConfig, DragState, DragStep, drag
from draggan.geometry import DragPair, Point
from draggan.stylegan2.generator import Generator

Phase = Literal["ready", "loading", "dragging", "arrived", "limit", "stopped"]


@dataclass(frozen=True, eq=False)
class Session:
    """One picture being edited. Small: the generator and the pictures live elsewhere."""

    model: str  # name or path, as `load` takes it
    seed: int
    truncation_psi: float
    image_size: tuple[int, int]  # (height, width) in pixels
    start: Tensor  # (1, num_ws, w_dim): the latent as drawn
    latent: Tensor  # (1, num_ws, w_dim): the latent now
    pairs: tuple[DragPair, ...] = ()  # handles where they were set
    pending: Point | None = None  # a handle that waits for its target
    mask: np.ndarray | None = None  # (H, W) bool, True where the picture may change; None: everywhere
    drag: DragState | None = None  # what a drag goes on from
    phase: Phase = "ready"  # a drag not begun, running, or how it ended; or another model is on its way
    number: int = 0  # pictures drawn in this tab before this one

    @property
    def handles(self) -> tuple[Point, ...]:
        """Where the handles are now, one a pair."""
        moved = dict(zip(self.drag.starts, self.drag.handles, strict=True)) if self.drag else {}
        return tuple(moved.get(pair.handle, pair.handle) for pair in self.pairs)

    @property
    def distances(self) -> tuple[float, ...]:
        """Pixels from each handle to its target."""
        return tuple(p.distance(pair.target) for p, pair in zip(self.handles, self.pairs, strict=True))

    @property
    def busy(self) -> bool:
        """Whether something runs that only Stop may interrupt."""
        return self.phase in ("loading", "dragging")

    @property
    def steps(self) -> int:
        """Optimisation steps that led from the start to the picture now."""
        return self.drag.index if self.drag else 0

    def click(self, point: Point) -> "Session":
        """The first click sets a handle, the second its target. Raises ValueError outside the picture."""
        if not point.inside(self.image_size):
            raise ValueError(f"{point} lies outside the picture")
        if self.pending is not None:
            return replace(self, pairs=(*self.pairs, DragPair(self.pending, point)), pending=None, phase="ready")
        if len(self.pairs) == MAX_PAIRS:
            raise ValueError(f"there are {MAX_PAIRS} points already, the most that one drag takes: remove one first")
        if point in (pair.handle for pair in self.pairs):
            raise ValueError(f"there is a handle at {point} already: choose another place")
        return replace(self, pending=point)

    def undo_point(self) -> "Session":
        """Takes back the last click."""
        if self.pending is not None:
            return replace(self, pending=None)
        if not self.pairs:
            return self
        return replace(self, pairs=self.pairs[:-1], pending=self.handles[-1], phase="ready")

    def clear_points(self) -> "Session":
        """No points; the picture stays as it is, and the next drag starts from it."""
        return replace(self, pairs=(), pending=None, drag=None, phase="ready")

    def with_mask(self, mask: np.ndarray | None) -> "Session":
        """mask (H, W) bool, True where the picture may change. Raises ValueError for another shape."""
        if mask is not None and mask.shape != self.image_size:
            raise ValueError(
                f"mask of {mask.shape[1]} x {mask.shape[0]} pixels: the picture has {self.image_size[::-1]}"
            )
        return replace(self, mask=mask)

    def reset(self) -> "Session":
        """The picture as drawn and the handles where they were set."""
        return replace(self, latent=self.start, drag=None, phase="ready")

    def advance(self, step: DragStep) -> "Session":
        """The session after a step of its drag."""
        phase: Phase = "arrived" if step.arrived else "limit" if step.last else "dragging"
        return replace(self, latent=step.latent, drag=step.state, phase=phase)

    def stop(self) -> "Session":
        """The session after what ran was stopped: at the last step that it advanced to, with the model it has."""
        if not self.busy:
            return self
        return replace(self, phase="stopped" if self.phase == "dragging" or self.drag else "ready")

    def run(self, generator: Generator, config: DragConfig) -> Iterator[DragStep]:
        """The drag of this session's points, from where it stands. Raises ValueError when there is none to run."""
        if not self.pairs:
            raise ValueError("there is nothing to drag yet: click a point of the picture, then where it should go")
        mask = None if self.mask is None else torch.from_numpy(self.mask)
        return drag(generator, self.latent, self.pairs, mask, config, resume=self.drag)


def new_session(generator: Generator, model: str, seed: int, truncation_psi: float) -> Session:
    """A picture drawn from a seed, without points."""
    class_index = 0 if generator.config.c_dim else None
    latent = generator.latent(seed, truncation_psi, class_index=class_index)
    return Session(model, seed, truncation_psi, generator.image_size, start=latent, latent=latent)
