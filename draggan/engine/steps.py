"""What all engines share: the steps and states of a drag, and what is asked of its arguments."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from torch import Tensor

from draggan.engine.adam import Means
from draggan.geometry import DragPair, Point
from draggan.stylegan2.generator import Generator, Trunk

if TYPE_CHECKING:
    from draggan.engine.engines import Config

Space = Literal["w_plus", "w"]
Stuck = Literal["lost", "mask", "other handles", "limit"]  # see `draggan.engine.kinematics.course`
MAX_PAIRS = 68  # the landmarks of a face
PER_HANDLE = ("starts", "looked", "handles", "templates")  # what a state has as many of as handles
FEW = 5  # pairs: with more, some settings have other defaults


@dataclass(frozen=True, eq=False)
class DragState:
    """What a drag goes on from: a few small tensors on the CPU, nothing of the generator."""

    index: int  # optimisation steps taken so far
    latent: Tensor  # (1, num_ws, w_dim)
    origin: Tensor  # (1, num_ws, w_dim): the latent of F0
    starts: tuple[Point, ...]  # where each handle lay when its template was taken
    looked: tuple[Point, ...]  # where it was looked for in the last step: tracking starts there
    handles: tuple[Point, ...]  # where it was found: where it lies now
    templates: tuple[Tensor, ...]  # (C,) each: f_i, the features of each handle at its start
    feature_resolution: int  # of the block whose features those are
    adam: Means  # the optimiser's running means; empty before the first step

    def without(self, start: Point) -> "DragState":
        """The same, but that it does not know the handle that began there."""
        rows = [i for i, place in enumerate(self.starts) if place != start]
        known = {name: tuple(getattr(self, name)[i] for i in rows) for name in PER_HANDLE}
        return self if len(rows) == len(self.starts) else replace(self, **known)


@dataclass(eq=False)
class ForwardPass:
    """What a step draws its picture from: a latent, and of the network's state there what is known.

    The drag forgets the state when it moves on, so that kept steps stay small.
    """

    generator: Generator
    latent: Tensor
    trunk: Trunk | None = None  # of the quick form

    def image(self, resolution: int | None) -> Tensor:
        quick = self.generator.quick
        generator = self.generator if resolution is None else quick
        trunk = self.trunk if generator is quick else None
        return generator.picture(self.latent, resolution=resolution, trunk=trunk)


@dataclass(frozen=True, eq=False)
class DragStep:
    """One step of a drag. All of it belongs to one latent: handles tracked on its features, distances, picture."""

    latent: Tensor  # (1, num_ws, w_dim), on the CPU
    handles: tuple[Point, ...]
    distances: tuple[float, ...]  # pixels from each handle to its target
    loss: float  # what steps make less: equation 1 of the paper, or see `kinematics.KinematicStep`
    arrived: bool  # every handle is within the tolerance of its target
    last: bool  # the drag ends here: it has arrived, been given up, or taken `max_steps`
    state: DragState = field(repr=False)  # hand it to `drag` to go on from here
    _pass: ForwardPass = field(repr=False)
    stuck: tuple[Stuck | None, ...] = ()  # why each handle did not arrive, of an engine that can tell; None: on its way

    @property
    def index(self) -> int:
        """Optimisation steps taken since the drag began; 0 is where it starts."""
        return self.state.index

    def image(self, resolution: int | None = None) -> Tensor:
        """The picture of this step, (1, 3, H, W) in about [-1, 1], without gradients.

        With a `resolution`, a preview that costs less: what the blocks up to that one paint, in the drag's precision.
        Cheapest before the drag is asked for its next step: until then the step holds the feature maps that it has
        seen whole; later they are computed again from the latent.
        """
        return self._pass.image(resolution)


Settings = TypeVar("Settings", bound="Config")
State = TypeVar("State", bound=DragState)


def check(
    generator: Generator,
    latent: Tensor,
    pairs: Sequence[DragPair],
    mask: Tensor | None,
    config: Settings,
    resume: DragState | None,
    kind: type[State],
    places: int,
) -> tuple[Tensor, tuple[DragPair, ...], Tensor | None, Settings, State | None]:
    """What every engine asks of its arguments; -> latent, on the CPU, pairs and mask as they are used: copies, for
    the caller may go on with its own; the settings as this generator has them; and the state, which is of the engine's
    `kind`. Raises as `draggan.drag` does. places: at how many the features describe a handle.
    """
    block = feature_block(generator, config.feature_resolution)
    config = replace(config, feature_resolution=block, moving_layers=min(config.moving_layers, generator.num_ws))
    state = resume if type(resume) is kind else None
    if resume is not None and state is None:  # that of another engine has more, or less, to go on from
        raise ValueError("the state to go on from belongs to another engine: start from its latent instead")
    if isinstance(pairs, DragPair):
        raise ValueError(f"pairs is one pair, {pairs}: give a list of them")
    pairs = tuple(pairs)
    _check_pairs(pairs, generator.image_size)
    latent = torch.as_tensor(latent)
    if generator.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled(generator.device.type):
        raise ValueError(
            "drags need a generator of float32 or float64, and no autocast: where they shall multiply in less, load it "
            "with draggan.load(.., precision='bf16')"
        )
    wanted = (1, generator.num_ws, generator.config.w_dim)
    if latent.shape != wanted:
        raise ValueError(f"latent of shape {tuple(latent.shape)}: this generator needs {wanted}")
    if not latent.isfinite().all():
        raise ValueError("the latent has values that are not finite numbers: start from another")
    if mask is not None:
        mask = _checked(mask, generator.image_size)
    if resume is not None and resume.latent.shape != latent.shape:
        raise ValueError("the state to go on from belongs to another generator: start a new drag")
    if resume is not None and (
        feature_block(generator, resume.feature_resolution) != block
        or any(each.shape != (places * generator.config.channels_of(block),) for each in resume.templates)
    ):
        raise ValueError("the state to go on from was made with another feature_resolution: start a new drag")
    return latent.detach().cpu().clone(), pairs, mask, config, state


def begun(kind: type[State], latent: Tensor, feature_resolution: int, **own: float) -> State:
    """The state of a drag before its first step, without handles; `own`: what the engine's `kind` has beside."""
    return kind(0, latent, latent, (), (), (), (), feature_resolution, {}, **own)


def references(state: DragState, pairs: Sequence[DragPair]) -> tuple[tuple[Point, ...], tuple[Tensor | None, ...]]:
    """Where to look for each handle, and its template, as far as the state knows the handle by its start."""
    known = {place: i for i, place in enumerate(state.starts)}
    rows = [known.get(pair.handle) for pair in pairs]
    places = tuple(p.handle if i is None else state.looked[i] for i, p in zip(rows, pairs, strict=True))
    return places, tuple(None if i is None else state.templates[i] for i in rows)


def tolerance_of(wanted: float | None, pairs: Sequence[DragPair]) -> float:
    """Pixels at which a handle has arrived: as wanted, else 1, with more than 5 points 2."""
    return wanted or (1.0 if len(pairs) <= FEW else 2.0)


def feature_block(generator: Generator, resolution: int) -> int:
    """The block of this generator that is used for `resolution`: of a smaller generator the last."""
    blocks = generator.config.resolutions
    block = min(resolution, blocks[-1])
    if block not in blocks:
        raise ValueError(f"feature_resolution {block} is not one of this generator's {blocks}")
    return block


def _check_pairs(pairs: tuple[DragPair, ...], image_size: tuple[int, int]) -> None:
    if not 1 <= len(pairs) <= MAX_PAIRS:
        raise ValueError(f"{len(pairs)} pairs of handle and target: give 1 to {MAX_PAIRS}")
    height, width = image_size
    for pair in pairs:
        if not isinstance(pair, DragPair):
            raise ValueError(f"{pair} is no pair of handle and target: write DragPair(Point(x, y), Point(x, y))")
        for what, point in (("handle", pair.handle), ("target", pair.target)):
            if not point.inside(image_size):
                where = f"x in 0 .. {width - 1}, y in 0 .. {height - 1}"
                raise ValueError(f"{what} {point} lies outside the picture of {width} x {height} pixels ({where})")
    handles = [pair.handle for pair in pairs]
    for handle in handles:
        if handles.count(handle) > 1:
            raise ValueError(f"two pairs have their handle at {handle}: it cannot go to two places, leave one out")


def _checked(mask: Tensor, image_size: tuple[int, int]) -> Tensor | None:
    """The mask as floats; None where everything may change."""
    mask = torch.as_tensor(mask)
    if tuple(mask.shape) != tuple(image_size):
        raise ValueError(f"mask of shape {tuple(mask.shape)}: it must be (height, width) = {tuple(image_size)}")
    mask = mask.to(torch.float32, copy=True)
    if not ((mask >= 0) & (mask <= 1)).all():
        raise ValueError("mask values must lie in 0 .. 1: 1 where the picture may change, 0 where it must not")
    return None if (mask == 1).all() else mask
