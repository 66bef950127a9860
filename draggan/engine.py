"""Dragging points of a generated picture: DragGAN (Pan et al., SIGGRAPH 2023), section 3.2.

`drag` is a generator over a network it is handed. It knows nothing of files, pages or pictures on a screen.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.adam import Means, adam
from draggan.course import Course, Derivatives, drag_of
from draggan.features import Features, recorded
from draggan.geometry import DragPair, Point, disc, inside, square, to_points, to_tensor
from draggan.gradients import gradients
from draggan.mask import hold
from draggan.stylegan2.device import received
from draggan.stylegan2.generator import Generator, Trunk
from draggan.views import View

Space = Literal["w_plus", "w"]
Stuck = Literal["lost", "mask", "other handles", "limit"]  # see `draggan.kinematics.drag`
MAX_PAIRS = 68  # the landmarks of a face


def check_space(space: str) -> None:
    if space not in get_args(Space):
        raise ValueError(f"space {space!r} is not one of {', '.join(get_args(Space))}")


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
        check_space(self.space)
        for name in ("lr", "r1", "r2"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be a positive number")
        for name in ("r1", "r2"):
            if getattr(self, name) > 0.25:
                raise ValueError(f"{name} is {getattr(self, name)} of the picture's side: at most 0.25")
        if self.max_steps < 0 or self.moving_layers < 1:
            raise ValueError("max_steps must be at least 0 and moving_layers at least 1")
        if not 0 <= self.mask_weight < math.inf:
            raise ValueError(f"mask_weight is {self.mask_weight}: it must be 0 or more")
        if self.mask_samples is not None and self.mask_samples < 1:
            raise ValueError(f"mask_samples is {self.mask_samples}: it must be at least 1, or None for the whole map")
        if self.tolerance is not None and not 0 < self.tolerance < math.inf:
            raise ValueError(f"tolerance is {self.tolerance}: it must be a positive number of pixels")


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
    adam: Means  # the optimiser's running means; empty before the first step


@dataclass(frozen=True, eq=False)
class DragStep:
    """One step of a drag. All of it belongs to one latent: handles tracked on its features, distances, picture."""

    latent: Tensor  # (1, num_ws, w_dim), on the CPU
    handles: tuple[Point, ...]
    distances: tuple[float, ...]  # pixels from each handle to its target
    loss: float
    arrived: bool  # every handle is within the tolerance of its target
    last: bool  # the drag ends here: it has arrived, or taken `max_steps`
    state: DragState = field(repr=False)  # hand it to `drag` to go on from here
    _pass: "_ForwardPass" = field(repr=False)
    stuck: tuple[Stuck | None, ...] = ()  # why each handle did not arrive, of an engine that can tell; None: on its way

    @property
    def index(self) -> int:
        """Optimisation steps taken since the drag began; 0 is where it starts."""
        return self.state.index

    def image(self, resolution: int | None = None) -> Tensor:
        """The picture of this step, (1, 3, H, W) in about [-1, 1], without gradients.

        With a `resolution`, a preview that costs less: what the blocks up to that one paint, in the drag's precision.
        Before the drag is asked for its next step, what is known of the network's state is not computed again.
        """
        return self._pass.image(resolution)


@dataclass(eq=False)
class _ForwardPass:
    """The network's state at one latent. Forgets it when the drag moves on, so that kept steps stay small."""

    generator: Generator
    latent: Tensor
    trunk: Trunk | None  # of the quick form

    def image(self, resolution: int | None) -> Tensor:
        quick = self.generator.quick
        generator = self.generator if resolution is None else quick
        trunk = self.trunk if generator is quick else None
        return generator.picture(trunk or Trunk(()), self.latent, resolution=resolution)


def course(
    generator: Generator,
    latent: Tensor,
    pairs: Sequence[DragPair],
    mask: Tensor | None = None,
    config: DragConfig = DragConfig(),
    resume: DragState | None = None,
) -> Course[DragStep]:
    """Moves each handle to its target by small steps of the latent, yielding after each.

    latent: (1, num_ws, w_dim). pairs: 1 to 68, in pixels of the picture. mask: (H, W), 1 where the picture may
    change and 0 where it must not; None: everywhere.

    The first step yielded is where the drag starts, before anything moved, so there is always one. The drag ends
    when every handle has arrived or after `config.max_steps`. To go on later, hand in a step's `state` as
    `resume`, with the same arguments: the drag goes on as if it had not stopped (`latent` is then ignored in
    favour of the state's). Pairs whose handle the state knows by its start keep their place and template, others
    start now.

    Raises ValueError for points outside the picture, a mask or latent of another shape, or settings that this
    generator does not have; FloatingPointError when the optimisation diverges.
    """
    config = replace(
        config,
        feature_resolution=feature_block(generator, config.feature_resolution),
        moving_layers=min(config.moving_layers, generator.num_ws),
    )
    described = generator.config.channels_of(config.feature_resolution)
    pairs, mask = check(generator, latent, pairs, mask, described, resume)
    return _drag(generator, latent.detach(), pairs, mask, config, resume)


drag = drag_of(course)


def prepare(generator: Generator, config: DragConfig = DragConfig(), folder: Path | None = None) -> Iterator[None]:
    """As `draggan.kinematics.prepare`: this engine has nothing to work out beforehand."""
    return iter(())


def check(
    generator: Generator,
    latent: Tensor,
    pairs: Sequence[DragPair],
    mask: Tensor | None,
    described: int,
    resume: DragState | None,
) -> tuple[tuple[DragPair, ...], Tensor | None]:
    """What every engine asks of its arguments; -> pairs and mask as they are used. Raises as `drag` does.

    described: how many numbers a template has.
    """
    pairs = tuple(pairs)
    _check_pairs(pairs, generator.image_size)
    if latent.shape != (1, generator.num_ws, generator.config.w_dim):
        wanted = (1, generator.num_ws, generator.config.w_dim)
        raise ValueError(f"latent of shape {tuple(latent.shape)}: this generator needs {wanted}")
    if mask is not None:
        mask = _checked(mask, generator.image_size)
    if resume is not None and resume.latent.shape != latent.shape:
        raise ValueError("the state to go on from belongs to another generator: start a new drag")
    if resume is not None and any(template.shape != (described,) for template in resume.templates):
        raise ValueError("the state to go on from was made with another feature_resolution: start a new drag")
    return pairs, mask


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
    features: Features, places: Tensor, templates: Tensor, targets: Tensor, near: Tensor, around: Tensor
) -> tuple[Tensor, Tensor]:
    """Where the handles are now, and the loss there. near, around (K, 2): the disc of r1, the square of r2."""
    handles = track(features.detach(), places, templates, around)
    return handles, motion_supervision(features, handles, targets, near)


def _drag(
    generator: Generator,
    latent: Tensor,
    pairs: tuple[DragPair, ...],
    mask: Tensor | None,
    config: DragConfig,
    resume: DragState | None,
) -> Course[DragStep]:
    size, quick = generator.image_size, generator.quick
    r1, r2 = config.r1 * max(size), max(1.0, config.r2 * max(size))  # on the smallest pictures a handle moves too
    tolerance = config.tolerance or (1.0 if len(pairs) <= 5 else 2.0)
    start = resume or _start(latent)

    layers = config.moving_layers
    with gradients():
        base = start.latent.to(generator.device, generator.dtype, copy=True)
        moving = base[:, : 1 if config.space == "w" else layers].clone().requires_grad_()  # (1, 1 or layers, w_dim)
        spread = base[:, :layers] - moving.detach()  # 0, but in "w" from a latent whose layers differ
        means: Means = {}
        if start.adam and start.adam["exp_avg"].shape == moving.shape:
            means = {name: t.to(moving) if t.ndim else t for name, t in start.adam.items()}
        targets = to_tensor([pair.target for pair in pairs], base)  # (N, 2)
        near, around = disc(r1, base), square(r2, base)  # (K, 2) each

    held = None if mask is None else hold(quick, start.origin, mask, config.feature_resolution)
    places, known = _references(start, pairs)
    templates, kept = None, ()  # (N, C); the same as a state keeps them
    first = index = start.index
    while True:
        with gradients():
            ws = moving + spread, base[:, layers:]  # only the moving layers have gradients
        features: Features = yield View(quick, ws, config.feature_resolution, places, r1 + r2 + 1)
        with gradients():
            looked, before = places, to_tensor(places, base)
            if templates is None:
                templates = _completed(known, features.detach(), before)
                kept = tuple(template.clone() for template in templates.cpu())  # not views of one tensor
            given = before, templates, targets, near, around
            handles, loss = recorded(quick.recordings, _followed, (), features, *given)
            if held and index:  # before the first step nothing has changed, but for the last bits
                loss = loss + config.mask_weight * held.estimate(quick, ws, features, config.mask_samples, index)
        averages = {name: t for name, t in means.items() if t.ndim}  # the number of steps is on the CPU already
        now, found, said, *kept_averages = received(torch.cat(ws, dim=1), handles, loss, *averages.values())
        places = to_points(found)
        distances = tuple(p.distance(pair.target) for p, pair in zip(places, pairs, strict=True))
        if not math.isfinite(said):
            raise FloatingPointError(f"the drag diverged at step {index}: go back to an earlier step and lower lr")
        state = DragState(
            index=index,
            latent=now,  # (1, num_ws, w_dim)
            origin=start.origin,
            starts=tuple(pair.handle for pair in pairs),
            looked=looked,
            handles=places,
            templates=kept,
            adam={**means, **dict(zip(averages, kept_averages, strict=True))},
        )
        arrived = max(distances) <= tolerance
        last = arrived or index - first == config.max_steps
        shown = _ForwardPass(generator, state.latent, features.trunk)
        step = DragStep(state.latent, places, distances, said.item(), arrived, last, state, shown)
        if last:
            yield step
            shown.trunk = None
            return
        gradient: Tensor = (yield Derivatives((loss,), moving))[0]
        yield step
        shown.trunk = None
        with gradients():
            moving, means = adam(moving.detach(), gradient, means, config.lr)
            moving.requires_grad_()
        index += 1


def forward_pass(generator: Generator, latent: Tensor, trunk: Trunk | None = None) -> _ForwardPass:
    """What a step draws its picture from: a latent, and of the network what is known of it."""
    return _ForwardPass(generator, latent, trunk)


def _start(latent: Tensor) -> DragState:
    """A drag that has not begun: no handle has a template yet."""
    latent = latent.cpu().clone()  # the caller may go on with its own
    return DragState(0, latent, latent, (), (), (), (), {})


def _references(start: DragState, pairs: tuple[DragPair, ...]) -> tuple[tuple[Point, ...], tuple[Tensor | None, ...]]:
    """Where to look for each handle, and what it looked like at its start, as far as the state knows."""
    known = {place: i for i, place in enumerate(start.starts)}
    rows = [known.get(pair.handle) for pair in pairs]
    places = tuple(p.handle if i is None else start.looked[i] for i, p in zip(rows, pairs, strict=True))
    return places, tuple(None if i is None else start.templates[i] for i in rows)


def _completed(templates: Sequence[Tensor | None], features: Features, handles: Tensor) -> Tensor:
    """The templates, (N, C); those still unknown are what lies at the handles now."""
    now = features.sample(handles[:, None])[:, 0]  # (N, C)
    return torch.stack([here if t is None else t.to(here) for here, t in zip(now, templates, strict=True)])


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
    mask = mask.float()
    if not ((mask >= 0) & (mask <= 1)).all():
        raise ValueError("mask values must lie in 0 .. 1: 1 where the picture may change, 0 where it must not")
    return None if (mask == 1).all() else mask
