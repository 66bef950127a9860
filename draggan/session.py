"""Everything one browser tab owns, as a value, and the edits that a user may make to it. Knows nothing of pages."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from draggan.engine.course import Course, alone
from draggan.engine.engines import DEFAULT, Config, engine_of
from draggan.engine.steps import MAX_PAIRS, DragState, DragStep, Stuck
from draggan.film import Film
from draggan.geometry import DragPair, Point
from draggan.inversion.photo import Photo
from draggan.precision import DragPrecision
from draggan.require import require_choice
from draggan.stylegan2.generator import Generator
from draggan.stylegan2.said import Said

Phase = Literal["ready", "dragging", "arrived", "limit", "stuck", "stopped"]
End = Literal["handle", "target"]
APART = 0.01  # pixels between handles that were followed to one place
HISTORY = 200  # edits that can be undone, or fewer:
HISTORY_BYTES = 1 << 20  # of latents, templates and masks that may be kept for that; one edit is kept whatever it takes
PHOTO_BYTES = 512 << 20  # of pictures of one's own, and of weights changed for them, likewise, and for the strip
SHOTS = 16  # pictures that one can go back to


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture to go back to."""

    session: "Session"  # as it was, without a history
    thumbnail: bytes  # a small JPEG


@dataclass(frozen=True, eq=False)
class Session:
    """One picture being edited. Small: the generator and the pictures live elsewhere."""

    model: str  # name or path, as `load` takes it
    seed: int
    truncation_psi: float
    class_index: int | None  # of a class-conditional model; None: the model has no classes, or the picture is one's own
    image_size: tuple[int, int]  # (height, width) in pixels
    start: Tensor  # (1, num_ws, w_dim): the latent as drawn
    latent: Tensor  # (1, num_ws, w_dim): the latent now
    pairs: tuple[DragPair, ...] = ()  # handles where they were set, or where the drag that goes on began
    pending: Point | None = None  # a handle that waits for its target
    packed_mask: bytes | None = field(default=None, repr=False)  # `mask`, a few kB of it
    drag: DragState | None = None  # what a drag goes on from
    phase: Phase = "ready"  # a drag not begun, running, or how it ended
    loading: bool = False  # whether something else runs that only Stop may interrupt: a model is on its way, ..
    why: Stuck | None = None  # what holds the farthest handle of a drag that was given up, where the engine can tell
    engine: str = DEFAULT  # the name of the engine that drags
    config: Config = field(default_factory=engine_of(DEFAULT).settings)  # its settings, as of the last drag
    precision: DragPrecision = "auto"  # in which its drags multiply; "auto": as the generator comes
    loss: float = 0.0  # of the last step of the drag
    film: Film = field(default_factory=Film, repr=False)  # the way from the start to the picture now
    number: int = 0  # pictures drawn in this tab before this one
    photo: Photo | None = None  # the picture of one's own that `start` was made from; None: drawn from the seed
    framing: bool = False  # whether a picture of one's own lies over this one until it is framed
    shots: tuple[Shot, ...] = field(default=(), repr=False)  # pictures to go back to, the oldest first
    past: tuple["Session", ...] = field(default=(), repr=False)  # before each edit, the last one last; none has its own
    future: tuple["Session", ...] = field(default=(), repr=False)  # what was undone, the last one first

    @property
    def handles(self) -> tuple[Point, ...]:
        """Where the handles are now, one a pair."""
        moved = dict(zip(self.drag.starts, self.drag.handles, strict=True)) if self.drag else {}
        return tuple(moved.get(pair.handle, pair.handle) for pair in self.pairs)

    @property
    def set_at(self) -> tuple[Point, ...]:
        """Where the handles were set, one a pair."""
        return tuple(pair.set_at or pair.handle for pair in self.pairs)

    @property
    def targets(self) -> tuple[Point, ...]:
        return tuple(pair.target for pair in self.pairs)

    @property
    def distances(self) -> tuple[float, ...]:
        """Pixels from each handle to its target."""
        return tuple(p.distance(pair.target) for p, pair in zip(self.handles, self.pairs, strict=True))

    @property
    def busy(self) -> bool:
        """Whether something runs that only Stop may interrupt."""
        return self.loading or self.phase == "dragging"

    @property
    def steps(self) -> int:
        """Optimisation steps that led from the start to the picture now."""
        return self.drag.index if self.drag else 0

    @property
    def mask(self) -> np.ndarray | None:
        """(H, W) bool, True where the picture may change; None: everywhere."""
        if self.packed_mask is None:
            return None
        height, width = self.image_size
        bits = np.frombuffer(zlib.decompress(self.packed_mask), dtype=np.uint8)
        return np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)

    def click(self, point: Point) -> "Session":
        """The first click sets a handle, the second its target. Raises ValueError outside the picture."""
        if self.pending is not None:
            return self.add(DragPair(self.pending, point))
        self._check_handle(point)
        self._check_room()
        return self._edited(pending=point)

    def add(self, pair: DragPair) -> "Session":
        """A handle and its target. Raises ValueError outside the picture, or where there is a handle already."""
        self._check_handle(pair.handle)
        self._check_inside(pair.target)
        self._check_room()
        pair, drag = self._anew(pair)
        return self._edited(pairs=(*self.pairs, pair), pending=None, drag=drag, phase="ready")

    def move(self, index: int, end: End, point: Point) -> "Session":
        """One end of a pair to another place. A handle that is moved is looked for by what lies there now."""
        old = self._pair(index)
        require_choice("end", end, End)
        if point == (self.handles[index] if end == "handle" else old.target):
            return self
        if end == "target":
            return self._edited(pairs=self.aimed(index, point).pairs, phase="ready")
        others = replace(self, pairs=(*self.pairs[:index], *self.pairs[index + 1 :]))
        others._check_handle(point, self.pending)
        pair, drag = others._anew(DragPair(point, old.target))
        pairs = (*others.pairs[:index], pair, *others.pairs[index:])
        return self._edited(pairs=pairs, drag=drag, phase="ready")

    def aimed(self, index: int, target: Point) -> "Session":
        """With the target of a pair elsewhere, as a part of the drag that runs: not an edit of its own."""
        old = self._pair(index)
        self._check_inside(target)
        pairs = (*self.pairs[:index], replace(old, target=target), *self.pairs[index + 1 :])
        return replace(self, pairs=pairs)

    def pull(self, what: Point | int, target: Point) -> "Session":
        """With a handle more and its target, or with the target of a pair elsewhere, in one edit with the drag to it.

        what: the handle, or which pair. Raises ValueError as `add` and `move` do.
        """
        pulled = self.aimed(what, target) if isinstance(what, int) else self.add(DragPair(what, target))
        return self._edited(pairs=pulled.pairs, pending=pulled.pending, drag=pulled.drag, phase="ready")

    def remove(self, index: int) -> "Session":
        """One pair fewer."""
        self._pair(index)
        return self._edited(pairs=(*self.pairs[:index], *self.pairs[index + 1 :]), phase="ready")

    def drop(self) -> "Session":
        """Without the handle that waits for its target."""
        return self if self.pending is None else self._edited(pending=None)

    def clear_points(self) -> "Session":
        """No points; the picture stays as it is, and the next drag starts from it."""
        if not self.pairs and self.pending is None and self.drag is None:
            return self
        return self._edited(pairs=(), pending=None, drag=None, phase="ready")

    def with_mask(self, mask: np.ndarray | None) -> "Session":
        """mask (H, W) bool, True where the picture may change. Raises ValueError for another shape."""
        if mask is not None and mask.shape != self.image_size:
            raise ValueError(
                f"mask of {mask.shape[1]} x {mask.shape[0]} pixels: the picture has {self.image_size[::-1]}"
            )
        packed = None if mask is None else zlib.compress(np.packbits(mask).tobytes())
        return self if packed == self.packed_mask else self._edited(packed_mask=packed)

    def redrawn(self, fresh: "Session") -> "Session":
        """Another picture, also one of another model, instead of this one, to which undo goes back."""
        others = (self, *self.past, *self.future, *(shot.session for shot in self.shots))
        number = 1 + max(session.number for session in others)
        past = _kept((*self.past, self._alone()))
        how = {"engine": self.engine, "config": self.config, "precision": self.precision}
        return replace(fresh, number=number, past=past, shots=self.shots, **how)

    def restyled(self, latent: Tensor, first: int) -> "Session":
        """With the layers from `first` on of another latent, (1, num_ws, w_dim): the looks of another picture.

        A picture of one's own stays as it was: to it the new looks are a part of the edit.
        """
        start, now = (torch.cat([old[:, :first], latent[:, first:]], dim=1) for old in (self.start, self.latent))
        start = self.start if self.photo else start
        if torch.equal(start, self.start) and torch.equal(now, self.latent):
            return self
        return self._edited(start=start, latent=now, pairs=self._rebased(), drag=None, phase="ready", film=Film())

    def keep(self, thumbnail: bytes) -> "Session":
        """With a picture more to go back to. The first one stays, of the others the latest, as many as may be kept."""
        shot = Shot(replace(self._alone(), pairs=self._rebased(), pending=None, drag=None, phase="ready"), thumbnail)
        first, *others = *self.shots, shot
        while len(others) >= SHOTS or (len(others) > 1 and _photo_bytes(s.session for s in others) > PHOTO_BYTES):
            del others[0]
        return replace(self, shots=(first, *others))

    def go_back(self, index: int) -> "Session":
        """To a picture that was kept, with its points where they lay; the next drag branches off from there."""
        if not 0 <= index < len(self.shots):
            raise ValueError(f"there is no picture number {index + 1} to go back to: there are {len(self.shots)}")
        kept = self.shots[index].session
        if kept._looks() == self._looks():
            return self
        return replace(kept, past=_kept((*self.past, self._alone())), shots=self.shots)

    def reset(self) -> "Session":
        """The picture as drawn and the handles where they were set."""
        if self.latent is self.start and self.drag is None:
            return self
        pairs = apart(tuple(map(DragPair, self.set_at, self.targets)), self.image_size)
        return self._edited(latent=self.start, pairs=pairs, drag=None, phase="ready", film=Film())

    def undo(self) -> "Session":
        """Points, mask and picture before the last edit; a whole drag is one edit."""
        if not self.past:
            return self
        return replace(self.past[-1], past=self.past[:-1], future=(self._alone(), *self.future), shots=self.shots)

    def redo(self) -> "Session":
        """What the last `undo` took back."""
        if not self.future:
            return self
        return replace(self.future[0], past=(*self.past, self._alone()), future=self.future[1:], shots=self.shots)

    def begin(self) -> "Session":
        """With its drag begun: what follows until the drag ends is one edit."""
        return self._edited(phase="dragging")

    def advance(self, step: DragStep, stuck: bool = False) -> "Session":
        """The session after a step of its drag; `stuck`: which is given up there."""
        why = step.stuck[step.distances.index(max(step.distances))] if step.stuck else None
        stuck = stuck or why is not None
        phase: Phase = "stuck" if stuck else "dragging"
        if step.last:
            phase = "arrived" if step.arrived else "stuck" if stuck else "limit"
        film = self.film
        if step.index > self.steps or not film.seen:
            film = film.shoot(self.start, step.latent, step.handles, self.targets)
        changes = {
            "latent": step.latent,
            "drag": step.state,
            "phase": phase,
            "why": why,
            "film": film,
            "loss": step.loss,
        }
        return replace(self, **changes) if self.phase == "dragging" else self._edited(**changes)

    def stop(self) -> "Session":
        """The session after what ran was stopped: at the last step that it advanced to, with the model it has."""
        if not self.busy:
            return self
        return replace(self, loading=False, phase="stopped" if self.phase == "dragging" else self.phase)

    def of_model(self, model: str) -> "Session":
        """With its model under another name or path, throughout its history."""
        return self.throughout(lambda s: replace(s, model=model))

    def with_photo(self, photo: Photo) -> "Session":
        """With another form of its picture of one's own, throughout its history."""
        return self.throughout(lambda s: replace(s, photo=photo) if s.photo is self.photo else s)

    def throughout(
        self, change: Callable[["Session"], "Session"], stays: Callable[["Session"], bool] = lambda _: True
    ) -> "Session":
        """With a change made to it and to all that undo, redo and the strip go back to; of these with what `stays`."""
        past, future = (tuple(change(s) for s in of if stays(s)) for of in (self.past, self.future))
        shots = tuple(replace(s, session=change(s.session)) for s in self.shots if stays(s.session))
        return replace(change(self), past=past, future=future, shots=shots)

    def dragged_by(self, engine: str, config: Config, precision: DragPrecision = "auto") -> "Session":
        """With an engine and its settings.

        A drag that another engine began, or that knows its handles by the features of another block, goes on from where
        they lie now. After `begin` or `pull`, so that undo finds the drag that was.
        """
        told = replace(self, engine=engine, config=config, precision=precision)
        known = (engine, config.feature_resolution) == (self.engine, self.config.feature_resolution)
        if known or self.drag is None:
            return told
        return replace(told, pairs=self._rebased(), drag=None)

    def run(self, generator: Generator) -> Iterator[DragStep]:
        """The drag of this session's points, from where it stands.

        Raises ValueError when there is nothing to drag.
        """
        return alone(self.course(generator))

    def course(self, generator: Generator) -> Course[DragStep]:
        """The same drag, for `draggan.engine.course.together`."""
        if not self.pairs:
            raise ValueError("there is nothing to drag yet: click a point of the picture, then where it should go")
        mask = None if self.mask is None else torch.from_numpy(self.mask)
        course = engine_of(self.engine).module().course
        return course(generator, self.latent, self.pairs, mask, self.config, resume=self.drag)

    def _edited(self, **changes: Any) -> "Session":
        """With a change that can be undone."""
        return replace(self, past=_kept((*self.past, self._alone())), future=(), **changes)

    def _anew(self, pair: DragPair) -> tuple[DragPair, DragState | None]:
        """One more pair, at a place where none of these began, and the drag, which knows nothing of such a handle."""
        pair = apart((*self.pairs, pair), self.image_size)[-1]
        return pair, self.drag and self.drag.without(pair.handle)

    def _rebased(self) -> tuple[DragPair, ...]:
        """The pairs with their handles where they lie now, each at a place of its own."""
        return apart(tuple(map(DragPair, self.handles, self.targets, self.set_at)), self.image_size)

    def _looks(self) -> tuple:
        """What tells a picture and what lies on it from others, tensors and states by their identity."""
        return id(self.start), id(self.latent), self.pairs, self.pending, self.packed_mask, id(self.drag), self.photo

    def _alone(self) -> "Session":
        return replace(self, past=(), future=(), shots=())

    def _pair(self, index: int) -> DragPair:
        if not 0 <= index < len(self.pairs):
            raise ValueError(f"there is no point number {index + 1}: there are {len(self.pairs)}")
        return self.pairs[index]

    def _check_inside(self, point: Point) -> None:
        if not point.inside(self.image_size):
            raise ValueError(f"{point} lies outside the picture")

    def _check_handle(self, point: Point, *waiting: Point | None) -> None:
        self._check_inside(point)
        if point in (*self.handles, *waiting):
            raise ValueError(Said("there is a handle at {point} already: choose another place", {"point": point}))

    def _check_room(self) -> None:
        if len(self.pairs) == MAX_PAIRS:
            said = "there are {most} points already, the most that one drag takes: remove one first"
            raise ValueError(Said(said, {"most": MAX_PAIRS}))

    def _sizes(self) -> dict[int, int]:
        """Bytes of each large part, by its identity."""
        tensors = [self.start, self.latent]
        if self.drag:
            tensors += [self.drag.latent, self.drag.origin, *self.drag.templates, *self.drag.adam.values()]
        tensors += [frame.moved for frame in self.film.frames]
        sizes = {id(tensor): tensor.nbytes for tensor in tensors}
        return sizes | ({id(self.packed_mask): len(self.packed_mask)} if self.packed_mask else {})

    def _photo_sizes(self) -> dict[int, int]:
        """Likewise of a picture of one's own: the whole, and what changed of the weights, with those in float32."""
        picture, delta = (self.photo.picture, self.photo.delta) if self.photo else (None, None)
        sizes = {id(picture): picture.pixels.nbytes} if picture else {}
        return sizes | ({id(delta): 3 * delta.nbytes} if delta else {})


def apart(pairs: tuple[DragPair, ...], image_size: tuple[int, int]) -> tuple[DragPair, ...]:
    """The pairs of a picture of (height, width) pixels, each handle at a place of its own: no drag takes two at one.

    One that lies where another does is moved by as little as tells them apart, towards the middle.
    """
    taken: dict[Point, DragPair] = {}
    for pair in pairs:
        place = pair.handle
        step = APART if place.x < image_size[1] / 2 else -APART
        while place in taken:
            place = replace(place, x=place.x + step)
        taken[place] = replace(pair, handle=place)
    return tuple(taken.values())


def _kept(past: tuple[Session, ...]) -> tuple[Session, ...]:
    """The latest of `past`, as many as a history may have, but one always; what two of them share counts once."""
    sizes: dict[int, int] = {}
    photos: dict[int, int] = {}
    for count, session in enumerate(reversed(past[-HISTORY:])):
        sizes |= session._sizes()
        photos |= session._photo_sizes()
        if sum(sizes.values()) > HISTORY_BYTES or sum(photos.values()) > PHOTO_BYTES:
            return past[len(past) - max(count, 1) :]
    return past[-HISTORY:]


def _photo_bytes(sessions: Iterable[Session]) -> int:
    """Bytes of the whole pictures of one's own that these hold; one that several share counts once."""
    return sum({name: size for session in sessions for name, size in session._photo_sizes().items()}.values())


def new_session(
    generator: Generator, model: str, seed: int, truncation_psi: float, class_index: int | None = None
) -> Session:
    """A picture drawn from a seed, without points. Raises ValueError as `Generator.latent` does."""
    latent = generator.latent(seed, truncation_psi, class_index=class_index)
    return Session(model, seed, truncation_psi, class_index, generator.image_size, start=latent, latent=latent)


def photo_session(generator: Generator, model: str, latent: Tensor, photo: Photo) -> Session:
    """A picture of one's own, turned into a latent (1, num_ws, w_dim), without points. `seed` says nothing of it."""
    return Session(model, 0, 1.0, None, generator.image_size, start=latent, latent=latent, photo=photo)
