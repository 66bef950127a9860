"""Dragging as inverse kinematics: each step solves for the change of the latent that moves the handles as wished.

A handle's place is known with its derivative (`matching.py`), so one damped least-squares step (`leastsquares.py`)
moves all handles at once, like the joints of an arm, and of all ways to do so takes the one that changes least. A mask
joins as rows that want no change (`fixed.py`).
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from draggan.engine.course import Course, Derivatives, Part
from draggan.engine.features import Features, recorded
from draggan.engine.fixed import Change, FixedRows, fixed_rows
from draggan.engine.kept import metric_in_pieces
from draggan.engine.leastsquares import normal, solve
from draggan.engine.matching import Lattice, describe, lattice, locate, motion
from draggan.engine.metric import Metric, metric_of
from draggan.engine.steps import (
    FEW,
    DragState,
    DragStep,
    ForwardPass,
    Space,
    Stuck,
    begun,
    check,
    references,
    tolerance_of,
)
from draggan.engine.views import View
from draggan.geometry import DragPair, Point, pushed_inside, square, to_points, to_tensor
from draggan.gradients import gradients
from draggan.require import require, require_choice, require_whole
from draggan.stylegan2.device import received, sent
from draggan.stylegan2.generator import Generator
from draggan.stylegan2.said import Said

PATCH = 3  # places along each side of what describes a handle
LOST = 0.8  # squared distance of unit descriptors, 0 .. 4, beyond which a handle no longer looks like itself
LEAST_SURE = 0.02  # of the surest handle: no handle counts less
TRIES = 5  # of one step, each with more damping, before there is none that brings the handles nearer
DIVERGED = "the drag diverged at step {step}: raise damping, or lower stride or mask_weight"
EASY, STIFF = 0.05, 0.4  # damping of few handles, and of many, whose matches contradict each other by some pixels
COMPLIANCE = 0.02  # part of the damping of many by which their rows give way to the pull to the first latent
FINEST = 256  # places that are told apart along the picture's longer side, whatever its pixels
MOST_ROWS = 1024  # of a mask: so many take as long as hundreds of steps
SAME = 1e-5  # part of a loss within which it is the same: beside other drags its last bits are others
OPPOSED = 0.5  # of the move that a handle would make: with less, what takes the rest opposes it


@dataclass(frozen=True)
class KinematicConfig:
    """How to drag. Lengths are parts of the picture's longer side."""

    max_steps: int = 40  # steps of one call
    space: Space = "w_plus"  # the moving layers each have a latent of their own, or in "w" share one change
    moving_layers: int = 8  # the first layers of the latent, of a smaller generator all; the rest keeps the looks
    feature_resolution: int = 64  # the block whose output is F; of a smaller generator the last
    stride: float = 4 / 256  # furthest that a handle is moved in a step
    search: float = 5 / 256  # half-width of the square in which a handle is looked for around its predicted place
    spacing: float = 4 / 256  # between the 3 x 3 places that describe a handle
    renewal: float = 0.1  # part of what a handle is looked for by that each step renews
    damping: float | None = None  # least part of the system's mean diagonal; None: 0.05, with more than 5 points 0.4
    shared: float = 0.5  # how much the moving layers change alike, 0 .. 1
    visible: float = 2.5  # how little of the picture shall change, beside how usual the change is; 0: that alone
    pull: float = 0.6  # part of the way back to the first latent that each step takes where the handles allow it
    mask_weight: float = 80.0  # in 256ths of the side, squared: what a change outside the mask as large as F counts
    mask_rows: int = 32  # projections that stand for that change's derivative (`fixed.py`): a backward pass each
    patience: int = 6  # steps without progress after which a drag gives up
    tolerance: float | None = None  # pixels at which a handle has arrived; None: 1, with more than 5 points 2

    def __post_init__(self) -> None:
        require_choice("space", self.space, Space)
        part = "above 0 and at most 0.25, a part of the picture's side"
        require(self, part, lambda v: 0 < v <= 0.25, "stride", "search", "spacing")
        require_whole(self, "max_steps", "moving_layers", "patience", "mask_rows")
        require(self, "at least 1", lambda v: v >= 1, "moving_layers", "patience")
        require(self, f"in 1 .. {MOST_ROWS}", lambda v: 1 <= v <= MOST_ROWS, "mask_rows")
        require(self, "0 or more", lambda v: 0 <= v < math.inf, "max_steps", "visible", "mask_weight")
        require(self, "in 0 .. 1", lambda v: 0 <= v <= 1, "renewal", "shared", "pull")
        require(self, "a positive number, or None", lambda v: v is None or 0 < v < math.inf, "damping", "tolerance")


@dataclass(frozen=True, eq=False)
class KinematicState(DragState):
    """What a drag goes on from; `looked` is where each handle was predicted to be, `templates` what it was looked
    for by, (P C,) each; `adam` stays empty."""

    damping: float
    pull: float
    loss: float  # of this step; infinite before it is known
    waited: int  # steps since the loss last fell by a tenth
    least: float  # the loss then


@dataclass(frozen=True, eq=False)
class KinematicStep(DragStep):
    """A step; its `loss` never rises. It is the sum over the handles of their distance d to the target in pixels,
    counted as d^2 and beyond the stride s as s (2 d - s), and the square of what has changed outside a mask."""


Settings, State = KinematicConfig, KinematicState  # by the names that every engine has, see `draggan.engine.engines`


def course(
    generator: Generator,
    latent: Tensor,
    pairs: Sequence[DragPair],
    mask: Tensor | None = None,
    config: KinematicConfig = KinematicConfig(),
    resume: DragState | None = None,
) -> Course[KinematicStep]:
    """The course of a drag that moves all handles at once, of the arguments of `draggan.drag`.

    A drag that no longer comes nearer ends, and its last step says of each handle why (`DragStep.stuck`): it no longer
    looks like itself ("lost"), the mask or the other handles want something else ("mask", "other handles"), or the
    generator does not follow ("limit").
    """
    given = check(generator, latent, pairs, mask, config, resume, State, places=PATCH**2)
    latent, pairs, mask, config, state = given
    own = {"damping": EASY, "pull": config.pull, "loss": math.inf, "waited": 0, "least": math.inf}
    start = state or begun(State, latent, config.feature_resolution, **own)
    return _drag(_task(generator, start.origin, pairs, mask, config), start)


def prepare(generator: Generator, config: KinematicConfig = KinematicConfig()) -> Iterator[None]:
    """Works out what the first drag with a generator would take long for, a piece of it before each yield."""
    return metric_in_pieces(generator, min(config.moving_layers, generator.num_ws))


@dataclass(frozen=True, eq=False)
class _Task:
    """What stays the same during a drag."""

    generator: Generator
    pairs: tuple[DragPair, ...]
    config: KinematicConfig
    metric: Metric
    held: FixedRows | None
    origin: Tensor  # (1, num_ws, w_dim)
    targets: Tensor  # (N, 2), in pixels like all that follows
    grain: float  # what is told apart
    patch: Tensor  # (9, 2)
    spacing: float  # of the patch
    near: Lattice  # where handles are looked for
    stride: float
    search: float
    mask_weight: float
    damping: float
    compliance: float
    tolerance: float


@dataclass(frozen=True, eq=False)
class _Seen:
    """The handles as they lie at one latent."""

    handles: Tensor  # (N, 2), on the generator's device
    places: tuple[Point, ...]  # the same
    renewed: tuple[Tensor, ...]  # (P C,) each, on the CPU: what the next step looks for
    lost: tuple[bool, ...]
    change: Change | None  # what has changed outside the mask, where there is one
    distances: tuple[float, ...]
    loss: float


@dataclass(frozen=True, eq=False)
class _System:
    """What a step shall do, as rows of a least-squares system: two a handle, then those of the mask."""

    rows: Tensor  # (R, L, w_dim): pixels for a change of the latent
    wish: Tensor  # (R,)
    damping: Tensor  # (R,)

    def of(self, start: int, end: int) -> "_System":
        return _System(self.rows[start:end], self.wish[start:end], self.damping[start:end])

    def stiffer(self, factor: float) -> "_System":
        return replace(self, damping=self.damping * factor)


def _task(
    generator: Generator,
    origin: Tensor,
    pairs: tuple[DragPair, ...],
    mask: Tensor | None,
    config: KinematicConfig,
) -> _Task:
    longer, origin = max(generator.image_size), origin.to(generator.device, generator.dtype)
    grain, spacing = max(1.0, longer / FINEST), config.spacing * longer
    patch, search = square(PATCH // 2, origin) * spacing, max(grain, config.search * longer)
    few, held = len(pairs) <= FEW, None
    if mask is not None:
        with gradients():
            held = fixed_rows(generator.quick, origin, mask, config.moving_layers, config.mask_rows)
    return _Task(
        generator,
        pairs,
        config,
        _metric(generator, pairs, config),
        held,
        origin,
        targets=to_tensor([pair.target for pair in pairs], origin),
        grain=grain,
        patch=patch,
        spacing=spacing,
        near=lattice(patch, search, grain),
        stride=config.stride * longer,
        search=search,
        mask_weight=config.mask_weight * grain,
        damping=config.damping or (EASY if few else STIFF),
        compliance=0.0 if few else COMPLIANCE,
        tolerance=tolerance_of(config.tolerance, pairs),
    )


def _metric(generator: Generator, pairs: tuple[DragPair, ...], config: KinematicConfig) -> Metric:
    """`visible` is divided by the square of the handles' total way (in sides of the picture, at least one stride): the
    farther they go together, the less it counts that little is seen to change."""
    way = max(config.stride, sum(pair.distance for pair in pairs) / max(generator.image_size))
    deque(prepare(generator, config), maxlen=0)
    return replace(
        generator.known(metric_of, config.moving_layers),
        shared=1.0 if config.space == "w" else config.shared,
        visible=config.visible / way**2,
    )


def _drag(task: _Task, start: KinematicState) -> Course[KinematicStep]:
    state = yield from _started(task, start)
    first, seen = state.index, (yield from _look(task, state))
    state = replace(state, handles=seen.places)
    if not math.isclose(seen.loss, state.loss, rel_tol=SAME):  # it begins, or has other points or another mask
        pull, loss = task.config.pull, seen.loss
        state = replace(state, damping=task.damping, pull=pull, loss=loss, waited=0, least=loss)
    while True:
        if not math.isfinite(seen.loss):
            raise FloatingPointError(Said(DIVERGED, {"step": state.index}))
        arrived = max(seen.distances) <= task.tolerance
        settled = task.held is None or state.waited > 0  # what the mask has lost may still come back
        gives_up = not arrived and state.waited >= task.config.patience
        last = (arrived and settled) or gives_up or state.index - first == task.config.max_steps
        stuck = (yield from _reasons(task, state, seen)) if gives_up else (None,) * len(task.pairs)
        shown = ForwardPass(task.generator, state.latent)
        latent = state.latent.clone()  # whoever changes it does not change what the drag goes on from
        yield KinematicStep(latent, state.handles, seen.distances, seen.loss, arrived, last, state, shown, stuck)
        if last:
            return
        state, seen = yield from _step(task, state, seen)


def _started(task: _Task, state: KinematicState) -> Part[KinematicState]:
    """With exactly this drag's handles. Those that the state does not know are looked for by what lies there now."""
    looked, known = references(state, task.pairs)
    state = replace(state, starts=tuple(p.handle for p in task.pairs), looked=looked)
    here: tuple[Tensor, ...] = ()
    if any(template is None for template in known):
        features: Features = yield _view(task, state.latent, looked)
        with torch.no_grad():
            found = describe(features, to_tensor(looked, task.origin)[:, None], task.patch)[:, 0].cpu()
        here = tuple(template.clone() for template in found)  # not views of one tensor
    templates = (here[i] if template is None else template for i, template in enumerate(known))
    return replace(state, templates=tuple(templates))


def _view(task: _Task, latent: Tensor, places: tuple[Point, ...]) -> View:
    reach = task.search + task.spacing + 3 * task.grain  # two of the refinement, one of the slopes
    return View(task.generator.quick, _there(task, latent), task.config.feature_resolution, places, reach)


def _there(task: _Task, values: Tensor) -> Tensor:
    """Values of the CPU where the generator computes, and as it does."""
    return sent(values.to(task.origin.dtype), task.origin.device)


def _look(task: _Task, state: KinematicState) -> Part[_Seen]:
    features: Features = yield _view(task, state.latent, state.looked)
    change, outside = None, task.targets.new_zeros(1)
    if task.held is not None:
        with gradients():
            change = task.held.at(_there(task, state.latent))
        outside = change.size
    with torch.no_grad():
        constants, near = (task.grain, task.stride, task.config.renewal), task.near
        predicted, templates = to_tensor(state.looked, task.origin), _there(task, torch.stack(state.templates))
        given = predicted, templates, task.targets, task.patch, near.offsets, near.points, near.at
        found = recorded(task.generator.quick.recordings, _placed, constants, features, *given)
        places, renewed, strange, distances, loss, lost = received(*found, outside)
    return _Seen(
        handles=found[0],
        places=to_points(places),
        renewed=tuple(template.clone() for template in renewed),  # not views of one tensor
        lost=tuple((strange > LOST).tolist()),
        change=change,
        distances=tuple(distances.tolist()),
        loss=loss.item() + (task.mask_weight * lost.item()) ** 2 if strange.isfinite().all() else math.inf,
    )


def _placed(
    grain: float,
    stride: float,
    renewal: float,
    features: Features,
    predicted: Tensor,
    templates: Tensor,
    targets: Tensor,
    patch: Tensor,
    *near: Tensor,
) -> tuple[Tensor, ...]:
    """Where handles are, what to look for next, how unlike themselves they are, how far they have to go, the loss."""
    handles = locate(features, predicted, templates, patch, Lattice(*near), grain)
    gap = describe(features, handles[:, None], patch)[:, 0] - templates  # (N, P C)
    distances = (targets - handles).norm(dim=1)
    counted = torch.where(distances > stride, stride * (2 * distances - stride), distances.square())
    return handles, templates + renewal * gap, gap.square().sum(dim=1), distances, counted.sum()


def _system(task: _Task, state: KinematicState, seen: _Seen) -> Part[_System]:
    layers, count = task.config.moving_layers, len(task.pairs)
    with gradients():
        base = _there(task, state.latent)
        moving, rest = base.expand(count, -1, -1).split([layers, base.shape[1] - layers], dim=1)
        moving = moving.clone().requires_grad_()  # (N, L, w_dim)
        ws = moving, rest
    reach, quick = task.spacing + 2 * task.grain, task.generator.quick
    features: Features = yield View(quick, ws, task.config.feature_resolution, seen.places, reach)
    with gradients():
        *sums, sure = recorded(quick.recordings, _moving, (task.grain,), features, seen.handles, task.patch)
    jacobian = torch.stack((yield Derivatives(tuple(sums), moving)), dim=1)  # (N, 2, L, w_dim)
    rows, wish = jacobian.flatten(0, 1), task.targets - seen.handles
    wish = (wish * (task.stride / wish.norm(dim=1, keepdim=True).clamp(min=task.stride))).flatten()
    weights = (sure / sure.max().clamp(min=1e-12)).clamp(min=LEAST_SURE).repeat_interleave(2)  # (2 N,)
    damping = normal(rows, task.metric)[0].diagonal().mean().clamp(min=1e-12) * state.damping
    if seen.change is None:
        return _System(rows, wish, damping / weights)
    with gradients():
        held = seen.change.rows
    return _System(
        torch.cat([rows, held * task.mask_weight]),
        torch.cat([wish, -seen.change.values * task.mask_weight]),
        torch.cat([damping / weights, damping.expand(len(held))]),
    )


def _moving(grain: float, features: Features, handles: Tensor, patch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The sums, over handles of which each latent moves its own alone, of `motion` along x and y; how sure each is."""
    moved, sure = motion(features, handles, patch, grain)
    return moved[:, 0].sum(), moved[:, 1].sum(), sure


def _step(task: _Task, state: KinematicState, seen: _Seen) -> Part[tuple[KinematicState, _Seen]]:
    """One step on: the first of a few, each with more damping, that lowers the loss; else where it was."""
    system, found = (yield from _system(task, state, seen)), seen
    for attempt in range(TRIES):
        moved = _moved(task, state, seen, system)
        found = yield from _look(task, moved)
        if found.loss < state.loss:
            calmer = max(state.damping / 2, task.damping) if attempt == 0 else state.damping
            waited, least = (0, found.loss) if found.loss < 0.9 * state.least else (state.waited + 1, state.least)
            moved = replace(moved, handles=found.places, damping=calmer, loss=found.loss, waited=waited, least=least)
            return moved, found
        state, system = replace(state, damping=4 * state.damping, pull=state.pull / 2), system.stiffer(4)
    if not math.isfinite(found.loss):
        raise FloatingPointError(Said(DIVERGED, {"step": state.index + 1}))
    return replace(state, index=state.index + 1, waited=task.config.patience), seen


def _moved(task: _Task, state: KinematicState, seen: _Seen, system: _System) -> KinematicState:
    """The latent changed, and the handles looked for where they should be by now."""
    layers = task.config.moving_layers
    latent = _there(task, state.latent).clone()
    rest = state.pull * (task.origin - latent)[0, :layers]
    change = solve(system.rows, task.metric, system.wish, system.damping, rest, task.compliance)  # (L, w_dim)
    latent[:, :layers] += change
    moves = (system.rows.flatten(1) @ change.flatten())[: 2 * len(task.pairs)].view(-1, 2)  # (N, 2)
    furthest = 1.25 * task.stride
    moves = (moves * (furthest / moves.norm(dim=1, keepdim=True).clamp(min=furthest))).nan_to_num()
    latent, looked = received(latent, pushed_inside(seen.handles + moves, task.generator.image_size))
    return replace(state, index=state.index + 1, latent=latent, looked=to_points(looked), templates=seen.renewed)


def _reasons(task: _Task, state: KinematicState, seen: _Seen) -> Part[tuple[Stuck | None, ...]]:
    """Why each handle has not arrived, from what it would do alone, with the others and with the mask."""
    system, count = (yield from _system(task, replace(state, damping=task.damping), seen)), len(task.pairs)

    def ahead(of: _System, handle: int, row: int) -> float:
        """How far a step would move a handle, whose rows in the system start at `row`, along its wish."""
        change = solve(of.rows, task.metric, of.wish, of.damping, torch.zeros_like(of.rows[0]))
        move = of.rows[row : row + 2].flatten(1) @ change.flatten()
        return (move @ system.wish[2 * handle : 2 * handle + 2]).item()

    def reason(i: int) -> Stuck | None:
        if seen.distances[i] <= task.tolerance:
            return None
        if seen.lost[i]:
            return "lost"
        together = ahead(system.of(0, 2 * count), i, 2 * i)
        if together < OPPOSED * ahead(system.of(2 * i, 2 * i + 2), i, 0):
            return "other handles"
        return "mask" if task.held and ahead(system, i, 2 * i) < OPPOSED * together else "limit"

    return tuple(reason(i) for i in range(count))
