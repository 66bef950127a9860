"""The paper's engine: DragGAN (Pan et al., SIGGRAPH 2023), section 3.2, many small steps by Adam.

Knows a network that it is handed, and nothing of files, pages or pictures on a screen.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.engine.adam import Means, adam
from draggan.engine.course import Course, Derivatives, Part
from draggan.engine.features import Features, recorded
from draggan.engine.mask import Held, hold
from draggan.engine.steps import (
    DragState,
    DragStep,
    ForwardPass,
    Space,
    begun,
    check,
    references,
    tolerance_of,
)
from draggan.engine.views import View
from draggan.geometry import DragPair, Point, disc, inside, square, to_points, to_tensor
from draggan.gradients import gradients
from draggan.require import require, require_choice, require_whole
from draggan.stylegan2.device import received
from draggan.stylegan2.generator import Generator, Trunk
from draggan.stylegan2.said import Said

DIVERGED = "the drag diverged at step {step}: go back to an earlier step and lower lr, the step size"


@dataclass(frozen=True)
class DragConfig:
    """How to drag; the defaults are the paper's (section 4, and its code for the means under `mask_weight`)."""

    lr: float = 2e-3  # step size of Adam: 2e-3 for ffhq, afhqcat and car, else 1e-3
    max_steps: int = 300  # optimisation steps of one call
    space: Space = "w_plus"  # the moving layers each have a latent of their own, or in "w" share one change
    moving_layers: int = 6  # the first layers of the latent, of a smaller generator all; the rest keeps the looks
    feature_resolution: int = 128  # the block whose output is F; of a smaller generator the last
    r1: float = 3 / 512  # radius of motion supervision, as a part of the picture's longer side
    r2: float = 12 / 512  # half-width of the square searched by point tracking, likewise
    mask_weight: float = 20.0  # lambda; belongs to means over disc, channels and map
    mask_samples: int | None = 4  # windows of the map that the mask term looks at in a step; None: the whole map
    tolerance: float | None = None  # pixels at which a handle has arrived; None: 1, with more than 5 points 2

    def __post_init__(self) -> None:
        require_choice("space", self.space, Space)
        require(self, "a positive number", lambda v: 0 < v < math.inf, "lr")
        require(self, "above 0 and at most 0.25, a part of the picture's side", lambda v: 0 < v <= 0.25, "r1", "r2")
        require_whole(self, "max_steps", "moving_layers", "feature_resolution")
        require(self, "at least 1", lambda v: v >= 1, "moving_layers")
        require(self, "0 or more", lambda v: 0 <= v < math.inf, "max_steps", "mask_weight")
        if self.mask_samples is not None:
            require_whole(self, "mask_samples")
        require(self, "at least 1, or None for the whole map", lambda v: v is None or v >= 1, "mask_samples")
        require(self, "a positive number of pixels, or None", lambda v: v is None or 0 < v < math.inf, "tolerance")


Settings, State = DragConfig, DragState  # by the names that every engine has, see `draggan.engine.engines`


def course(
    generator: Generator,
    latent: Tensor,
    pairs: Sequence[DragPair],
    mask: Tensor | None = None,
    config: DragConfig = DragConfig(),
    resume: DragState | None = None,
) -> Course[DragStep]:
    """The course of a drag as the paper has it, of the arguments of `draggan.drag`: small steps of the latent."""
    return _drag(generator, *check(generator, latent, pairs, mask, config, resume, State, places=1))


def prepare(generator: Generator, config: DragConfig = DragConfig()) -> Iterator[None]:
    """This engine has nothing to work out beforehand."""
    return iter(())


def motion_supervision(features: Features, handles: Tensor, targets: Tensor, offsets: Tensor) -> Tensor:
    """Equation 1, first term: the features around each handle shall come one pixel nearer to its target.

    handles, targets (N, 2) in pixels, offsets (K, 2): the `disc` of r1 -> a scalar: the sum over the handles of the
    mean over disc and channels of |sg F(q) - F(q + d)|.
    """
    direction = F.normalize(targets - handles, dim=1, eps=1e-12)  # (N, 2); 0 where handle and target coincide
    places = handles[:, None] + offsets  # (N, K, 2)
    there = inside(places, features.image_size)  # (N, K)
    now = features.detach().sample(places)  # (N, K, C)
    ahead = features.sample(places + direction[:, None])  # (N, K, C)
    difference = (now - ahead).abs().mean(dim=2) * there  # (N, K)
    return (difference.sum(dim=1) / there.sum(dim=1)).sum()


def track(features: Features, handles: Tensor, templates: Tensor, offsets: Tensor) -> Tensor:
    """Equation 3: each handle goes to the place around it whose features are nearest to its template, by L1.

    handles (N, 2) in pixels, templates (N, C), offsets (K, 2): the `square` of r2 -> handles (N, 2). Never leaves the
    picture; of places equally near the one closest to the handle is taken.
    """
    found = []
    for i, template in enumerate(templates):  # one by one, because the features of all candidates at once are large
        places = handles[i] + offsets  # (K, 2)
        there = features.of(i).sample(places[None])[0]  # (K, C)
        distance = there.sub_(template).abs_().sum(dim=1)  # (K,)
        nearest = distance.masked_fill(~inside(places, features.image_size), math.inf).argmin()
        found.append(places.index_select(0, nearest[None]))  # as an index it would be read, which waits for it
    return torch.cat(found)


def _followed(
    slack: float,
    features: Features,
    places: Tensor,
    templates: Tensor,
    targets: Tensor,
    near: Tensor,
    around: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Where the handles are now, the loss there, and whether one has moved so far, by more than `slack` pixels, that
    what it needs may not be among the features; the loss is then another. near, around (K, 2): disc of r1, square of r2
    """
    handles = track(features.detach(), places, templates, around)
    far = (handles - places).abs().amax(dim=1, keepdim=True) > slack  # (N, 1)
    loss = motion_supervision(features, torch.where(far, places, handles), targets, near)
    return handles, loss, far.any()


def _supervised(features: Features, handles: Tensor, targets: Tensor, near: Tensor) -> tuple[Tensor]:
    return (motion_supervision(features, handles, targets, near),)


@dataclass(frozen=True, eq=False)
class _Task:
    """What stays the same during a drag."""

    generator: Generator
    pairs: tuple[DragPair, ...]
    config: DragConfig
    held: Held | None
    base: Tensor  # (1, num_ws, w_dim): the latent that it begins with
    spread: Tensor  # (1, moving layers, w_dim) beside what moves: 0, but in "w" from a latent whose layers differ
    targets: Tensor  # (N, 2), in pixels like all that follows
    near: Tensor  # (K, 2): where supervision looks around a handle
    around: Tensor  # (K, 2): where tracking looks around a handle as it was
    room: float  # what the first needs around a handle
    reach: float  # enough for both unless a handle leaps: each pixel more costs at every step
    tolerance: float


@dataclass(frozen=True, eq=False)
class _Seen:
    """The handles as they lie at one latent."""

    latent: Tensor  # (1, num_ws, w_dim), on the CPU
    places: tuple[Point, ...]
    templates: Tensor  # (N, C)
    loss: Tensor  # to be derived
    said: float  # the same
    trunk: Trunk | None
    means: Means  # of the step that led there, on the CPU


def _task(
    generator: Generator,
    start: DragState,
    pairs: tuple[DragPair, ...],
    mask: Tensor | None,
    config: DragConfig,
) -> tuple[_Task, Tensor]:
    """-> the task, and what of the latent moves: (1, 1 or moving layers, w_dim)"""
    longer = max(generator.image_size)
    r1, r2 = config.r1 * longer, max(1.0, config.r2 * longer)  # on the smallest pictures a handle moves too
    room = r1 + 1
    with gradients():
        base = start.latent.to(generator.device, generator.dtype, copy=True)
        moving = base[:, : 1 if config.space == "w" else config.moving_layers].clone()
        spread = base[:, : config.moving_layers] - moving
        targets = to_tensor([pair.target for pair in pairs], base)
        near, around = disc(r1, base), square(r2, base)
    task = _Task(
        generator,
        pairs,
        config,
        None if mask is None else hold(generator.quick, start.origin, mask, config.feature_resolution),
        base,
        spread,
        targets,
        near,
        around,
        room,
        reach=max(r2, room + min(r2, room)),
        tolerance=tolerance_of(config.tolerance, pairs),
    )
    return task, moving


def _drag(
    generator: Generator,
    latent: Tensor,
    pairs: tuple[DragPair, ...],
    mask: Tensor | None,
    config: DragConfig,
    resume: DragState | None,
) -> Course[DragStep]:
    start = resume or begun(State, latent, config.feature_resolution)
    task, moving = _task(generator, start, pairs, mask, config)
    means: Means = {}
    if start.adam and start.adam["exp_avg"].shape == moving.shape:
        means = {name: t.to(moving) if t.ndim else t for name, t in start.adam.items()}
    places, templates = references(start, pairs)
    kept: tuple[Tensor, ...] = ()  # the templates as a state keeps them
    for index in count(start.index):
        looked, seen = places, (yield from _look(task, moving.requires_grad_(), means, places, templates, index))
        places, templates = seen.places, seen.templates
        if not math.isfinite(seen.said):
            raise FloatingPointError(Said(DIVERGED, {"step": index}))
        kept = kept or tuple(template.clone() for template in templates.cpu())  # not views of one tensor
        distances = tuple(p.distance(pair.target) for p, pair in zip(places, pairs, strict=True))
        arrived = max(distances) <= task.tolerance
        last = arrived or index - start.index == config.max_steps
        state = DragState(
            index=index,
            latent=seen.latent,
            origin=start.origin,
            starts=tuple(pair.handle for pair in pairs),
            looked=looked,
            handles=places,
            templates=kept,
            feature_resolution=config.feature_resolution,
            adam=seen.means,
        )
        shown = ForwardPass(generator, state.latent, seen.trunk)
        step = DragStep(state.latent.clone(), places, distances, seen.said, arrived, last, state, shown)
        gradient = None if last else (yield Derivatives((seen.loss,), moving))[0]
        yield step
        shown.trunk = None
        if gradient is None:
            return
        with gradients():
            moving, means = adam(moving.detach(), gradient, means, config.lr)


def _look(
    task: _Task,
    moving: Tensor,
    means: Means,
    places: tuple[Point, ...],
    templates: Tensor | Sequence[Tensor | None],
    index: int,
) -> Part[_Seen]:
    """Point tracking, and motion supervision where the handles are found. The templates that are still unknown are
    taken where the handles lie, `places`."""
    quick, block, layers = task.generator.quick, task.config.feature_resolution, task.config.moving_layers
    with gradients():
        ws = moving + task.spread, task.base[:, layers:]  # only the moving layers have gradients
    features: Features = yield View(quick, ws, block, places, task.reach)
    with gradients():
        before = to_tensor(places, task.base)
        if not isinstance(templates, Tensor):
            templates = _completed(templates, features.detach(), before)
        given = before, templates, task.targets, task.near, task.around
        handles, loss, leapt = recorded(quick.recordings, _followed, (task.reach - task.room,), features, *given)
        outside: tuple[Tensor, ...] = ()
        if task.held and index:  # before the first step nothing has changed, but for the last bits
            changed = task.held.estimate(quick, ws, features, task.config.mask_samples, index)
            outside = (task.config.mask_weight * changed,)
        loss = sum(outside, loss)
    averages = {name: t for name, t in means.items() if t.ndim}  # the number of steps is on the CPU already
    latent, found, said, far, *kept = received(torch.cat(ws, dim=1), handles, loss, leapt, *averages.values())
    places = to_points(found)
    if far:
        features = yield View(quick, ws, block, places, task.room)
        with gradients():
            (loss,) = recorded(quick.recordings, _supervised, (), features, handles, task.targets, task.near)
            loss = sum(outside, loss)
        (said,) = received(loss)
    means = {**means, **dict(zip(averages, kept, strict=True))}
    return _Seen(latent, places, templates, loss, said.item(), features.trunk, means)


def _completed(templates: Sequence[Tensor | None], features: Features, handles: Tensor) -> Tensor:
    """The templates, (N, C); those still unknown are what lies at the handles now."""
    now = features.sample(handles[:, None])[:, 0]  # (N, C)
    return torch.stack([here if t is None else t.to(here) for here, t in zip(now, templates, strict=True)])
