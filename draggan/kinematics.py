"""Dragging as inverse kinematics: each step solves for the change of the latent that moves the handles as wished.

A handle lies where its surroundings look most like they did at the start, p(w) = argmin_q |D_w(q) - t|^2, so the
implicit function theorem gives its derivative: dp/dw = -(G G^T)^-1 G dD/dw with G = dD/dq. A damped least-squares step
(Levenberg-Marquardt; Nakamura and Hanafusa 1986 for arms) then moves all handles at once, and what the handles leave
free pulls the latent back to where the drag began: of all ways to arrive, the one that changes least.

Takes the place of `draggan.engine.drag`: the same arguments, the same steps.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.engine import DragState, DragStep, Space, check, check_space, feature_block, forward_pass, gradients
from draggan.features import Features, apart
from draggan.fixed import FixedRows
from draggan.geometry import DragPair, Point, inside, square, to_points, to_tensor
from draggan.stylegan2.generator import Generator

Stuck = Literal["lost", "mask", "other handles", "limit"]
REFINEMENTS = 2  # Gauss-Newton steps from the nearest pixel
LOST = 0.8  # squared distance of unit descriptors, 0 .. 4, beyond which a handle no longer looks like itself
LEAST_SURE = 0.02  # of the surest handle: no handle counts less
STIFFEST = 1.0  # largest damping
FREEDOM = 0.3  # length of the way back against that of the task's change, at most
EPSILON = 1e-3  # added to G G^T: a patch without texture does not run away


@dataclass(frozen=True)
class KinematicConfig:
    """How to drag. Lengths are parts of the picture's longer side."""

    max_steps: int = 40  # steps of one call
    space: Space = "w_plus"  # the moving layers each have a latent of their own, or in "w" share one change
    moving_layers: int = 6  # the first layers of the latent; the rest keeps the looks
    feature_resolution: int = 128  # the block whose output is F; of a smaller generator the last
    stride: float = 4 / 256  # furthest that a handle is moved in a step
    search: float = 5 / 256  # half-width of the square in which a handle is looked for around its predicted place
    spacing: float = 3 / 256  # between the 3 x 3 places that describe a handle
    damping: float = 0.05  # of the least-squares step, as a part of the system's mean diagonal; grows where needed
    pull: float = 0.6  # part of the way back to the first latent that each step takes where the handles allow it
    mask_weight: float = 20.0  # how much what lies outside the mask resists; at 20 as much as the handles pull
    patience: int = 6  # steps without progress after which a drag gives up
    tolerance: float | None = None  # pixels at which a handle has arrived; None: 1, with more than 5 points 2

    def __post_init__(self) -> None:
        check_space(self.space)
        for name in ("stride", "search", "spacing"):
            if not 0 < getattr(self, name) <= 0.25:
                raise ValueError(f"{name} is {getattr(self, name)} of the picture's side: it must be in 0 .. 0.25")
        if self.max_steps < 0 or self.moving_layers < 1 or self.patience < 1:
            raise ValueError("max_steps must be at least 0, moving_layers and patience at least 1")
        if not 0 < self.damping < math.inf:
            raise ValueError(f"damping is {self.damping}: it must be a positive number")
        if not 0 <= self.pull < 1:
            raise ValueError(f"pull is {self.pull}: it must be at least 0 and less than 1")
        if not 0 <= self.mask_weight < math.inf:
            raise ValueError(f"mask_weight is {self.mask_weight}: it must be 0 or more")
        if self.tolerance is not None and not 0 < self.tolerance < math.inf:
            raise ValueError(f"tolerance is {self.tolerance}: it must be a positive number of pixels")


@dataclass(frozen=True, eq=False)
class KinematicState(DragState):
    """What a drag goes on from; `looked` is where each handle was predicted to be, `adam` stays empty."""

    damping: float
    pull: float


@dataclass(frozen=True, eq=False)
class KinematicStep(DragStep):
    """A step, and of the last one why a handle did not arrive; `loss` is the handles' mean squared distance."""

    stuck: tuple[Stuck | None, ...]  # of each handle; None: it arrived, or is on its way


def drag(
    generator: Generator,
    latent: Tensor,
    pairs: Sequence[DragPair],
    mask: Tensor | None = None,
    config: KinematicConfig = KinematicConfig(),
    resume: DragState | None = None,
) -> Iterator[KinematicStep]:
    """Moves each handle to its target, all at once, yielding after each step.

    Arguments, order of steps and errors are those of `draggan.engine.drag`. A drag that no longer comes nearer goes
    back to the step at which the handles were nearest and ends there; that step says of each handle why.
    """
    if resume is not None and not isinstance(resume, KinematicState):
        raise ValueError("the state to go on from belongs to another engine: start from its latent instead")
    config = replace(config, feature_resolution=feature_block(generator, config.feature_resolution))
    pairs, mask = check(generator, latent, pairs, mask, config.moving_layers, resume)
    return _drag(generator, latent.detach(), pairs, mask, config, resume)


def describe(features: Features, places: Tensor, patch: Tensor) -> Tensor:
    """What lies at places, whatever its brightness: the directions of the features on a patch, of length 1 together.

    places (N, K, 2) and patch (P, 2) in pixels -> (N, K, P C). Half the squared distance of two such descriptors is
    1 minus their mean cosine similarity.
    """
    count, tried, _ = places.shape
    found = features.sample((places[:, :, None] + patch).reshape(count, -1, 2))  # (N, K P, C)
    return F.normalize(found, dim=2, eps=1e-6).reshape(count, tried, -1) / math.sqrt(len(patch))


def slopes(features: Features, places: Tensor, patch: Tensor) -> Tensor:
    """G: how the descriptor changes with the place, by central differences of a pixel. places (N, 2) -> (N, 2, P C)"""
    steps = places.new_tensor([[1, 0], [0, 1], [-1, 0], [0, -1]])
    around = describe(features, places[:, None] + steps, patch)  # (N, 4, P C)
    return (around[:, :2] - around[:, 2:]) / 2


def locate(features: Features, predicted: Tensor, templates: Tensor, patch: Tensor, half_width: float) -> Tensor:
    """Where each handle lies: the pixel around its predicted place that looks most like it, then between pixels.

    predicted (N, 2) in pixels, templates (N, P C) -> (N, 2). Never leaves the picture.
    """
    places = predicted[:, None] + square(half_width, predicted)  # (N, K, 2)
    distance = (describe(features, places, patch) - templates[:, None]).square().sum(dim=2)  # (N, K)
    best = distance.masked_fill(~inside(places, features.image_size), math.inf).argmin(dim=1)
    pixel = handles = places[torch.arange(len(places), device=best.device), best]  # (N, 2)
    for _ in range(REFINEMENTS):
        slope = slopes(features, handles, patch)  # (N, 2, P C)
        gap = describe(features, handles[:, None], patch)[:, 0] - templates  # (N, P C)
        step = torch.linalg.solve(_curvature(slope), (slope @ gap[:, :, None])[:, :, 0])
        handles = pixel + (handles - step - pixel).clamp(-1, 1)
    height, width = features.image_size
    return handles.clamp(handles.new_tensor(-0.5), handles.new_tensor([width, height]) - 0.5)


def sensitivity(features: Features, handles: Tensor, patch: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
    """J = dp/dw of every handle, and how surely each is held by its surroundings.

    features: of `latents` (N, L, w_dim), one for each handle. -> J (N, 2, L, w_dim) in pixels; (N,): the smaller
    eigenvalue of G G^T.
    """
    slope = slopes(features.detach(), handles, patch)  # (N, 2, P C)
    inverse = torch.linalg.solve(_curvature(slope), slope)  # (N, 2, P C)
    moved = -(inverse * describe(features, handles[:, None], patch)).sum(dim=2)  # (N, 2)
    rows = [torch.autograd.grad(moved[:, i].sum(), latents, retain_graph=True)[0] for i in (0, 1)]
    return torch.stack(rows, dim=1), torch.linalg.eigvalsh(slope @ slope.transpose(1, 2))[:, 0]


def solve(jacobian: Tensor, wish: Tensor, weights: Tensor, damping: float, rest: Tensor) -> Tensor:
    """The change of w that does what is wished, damped, and beyond that goes as `rest` wants.

    jacobian (R, D), wish (R,), weights (R,): how much each row counts, at most 1; rest (D,) -> (D,).
    dw = r + J^T (J J^T + mu W^-1)^-1 (v - J r), r being the part of `rest` that moves no row.
    """
    system = jacobian @ jacobian.T  # (R, R)
    scale = system.diagonal().mean().clamp(min=torch.finfo(system.dtype).tiny)
    free = rest - jacobian.T @ torch.linalg.solve(system + EPSILON * scale * _identity(system), jacobian @ rest)
    damped = system + (damping * scale / weights).diag()
    task = jacobian.T @ torch.linalg.solve(damped, wish)
    return task + free * (task.norm() / free.norm().clamp(min=1e-12)).clamp(max=FREEDOM)


def _drag(
    generator: Generator,
    latent: Tensor,
    pairs: tuple[DragPair, ...],
    mask: Tensor | None,
    config: KinematicConfig,
    resume: KinematicState | None,
) -> Iterator[KinematicStep]:
    longer, layers, count = max(generator.image_size), config.moving_layers, len(pairs)
    stride, search = config.stride * longer, max(1.0, config.search * longer)
    tolerance = config.tolerance or (1.0 if count <= 5 else 2.0)
    state = resume or KinematicState(0, latent.cpu(), latent.cpu(), (), (), (), (), {}, config.damping, config.pull)
    like = state.latent.to(generator.device, generator.dtype)
    patch = square(1, like) * (config.spacing * longer)  # (9, 2)
    reach = search + config.spacing * longer + 3
    targets = to_tensor([pair.target for pair in pairs], like)  # (N, 2)
    fixed = None if mask is None else FixedRows(generator, state.origin, mask, config)
    known = {place: i for i, place in enumerate(state.starts)}
    rows = [known.get(pair.handle) for pair in pairs]
    looked = tuple(p.handle if i is None else state.looked[i] for i, p in zip(rows, pairs, strict=True))
    kept = [None if i is None else state.templates[i] for i in rows]

    first, best, history = state.index, None, []
    index, damping, pull = state.index, state.damping, state.pull
    with gradients():
        base = like.clone()
        origin = state.origin.to(base)
    while True:
        with gradients():
            moving = base[:, : 1 if config.space == "w" else layers].expand(count, -1, -1).clone().requires_grad_()
            spread = (base[:, :layers] - moving[:1]).detach()  # 0, but in "w" from a latent whose layers differ
            ws = torch.cat([moving + spread, base[:, layers:].expand(count, -1, -1)], dim=1)  # (N, num_ws, w_dim)
            features = apart(generator, ws, config.feature_resolution, looked, reach)
            now = features.detach()
            predicted = to_tensor(looked, base)
            here = describe(now, predicted[:, None], patch)[:, 0]  # (N, P C)
            templates = torch.stack([a if t is None else t.to(a) for a, t in zip(here, kept, strict=True)])
            fresh = torch.tensor([t is None for t in kept], device=base.device)[:, None]
            handles = torch.where(fresh, predicted, locate(now, predicted, templates, patch, search))
            kept = list(templates)
            looks = describe(now, handles[:, None], patch)[:, 0]
        wish = targets - handles
        error = wish.square().sum(dim=1).mean().item()
        if not math.isfinite(error):
            raise FloatingPointError(f"the drag diverged at step {index}: raise damping or lower stride")
        places = to_points(handles)
        distances = tuple(p.distance(pair.target) for p, pair in zip(places, pairs, strict=True))
        arrived = max(distances) <= tolerance
        if history and error > 0.98 * history[-1][0]:
            damping, pull = min(2 * damping, STIFFEST), pull / 2
        elif history:
            damping = max(damping / 1.5, config.damping)
        history.append((error, max(distances)))
        state = KinematicState(
            index=index,
            latent=base.detach().cpu().clone(),
            origin=state.origin,
            starts=tuple(pair.handle for pair in pairs),
            looked=looked,
            handles=places,
            templates=tuple(t.cpu() for t in templates),
            adam={},
            damping=damping,
            pull=pull,
        )
        lost = ((looks - templates).square().sum(dim=1) > LOST).tolist()
        if best is None or error < best[0]:
            best = error, state, distances, lost
        gives_up = not arrived and _stalled([worst for _, worst in history], config.patience)
        last = arrived or gives_up or index - first == config.max_steps
        stuck: tuple[Stuck | None, ...] = (None,) * count
        if last and not arrived:
            error, state, distances, lost = best
            state = replace(state, index=index)
            stuck = _reasons(distances, lost, tolerance, mask is not None)
        shown = forward_pass(generator, state.latent)
        yield KinematicStep(state.latent, state.handles, distances, error, arrived, last, state, shown, stuck)
        if last:
            return
        with gradients():
            jacobian, sure = sensitivity(features, handles, patch, moving)
            wish = wish * (stride / wish.norm(dim=1, keepdim=True).clamp(min=stride))
            weights = (sure / sure.max().clamp(min=1e-12)).clamp(min=LEAST_SURE).repeat_interleave(2)  # (2 N,)
            system, goal = jacobian.flatten(2).flatten(0, 1), wish.flatten()  # (2 N, D), (2 N,)
            if fixed is not None:
                held, drift = fixed(base, moving.shape[1])
                scale = system.square().sum(dim=1).mean() / held.square().sum(dim=1).mean().clamp(min=1e-12)
                force = (scale * config.mask_weight / 20).sqrt()
                system, goal = torch.cat([system, held * force]), torch.cat([goal, -drift * force])
                weights = torch.cat([weights, weights.new_ones(len(held))])
            rest = pull * (origin - base)[0, : moving.shape[1]].flatten()
            change = solve(system, goal, weights, damping, rest)
            moves = (jacobian.flatten(2) @ change).detach()  # (N, 2)
            base = base.clone()
            base[:, :layers] += change.view(1, -1, base.shape[2])
        furthest = 1.25 * stride
        moves = moves * (furthest / moves.norm(dim=1, keepdim=True).clamp(min=furthest))
        looked = tuple(_within(p, generator.image_size) for p in (handles + moves).tolist())
        index += 1


def _curvature(slope: Tensor) -> Tensor:
    """G G^T of each handle, (N, 2, 2), kept invertible."""
    return slope @ slope.transpose(1, 2) + EPSILON * torch.eye(2, dtype=slope.dtype, device=slope.device)


def _identity(system: Tensor) -> Tensor:
    return torch.eye(len(system), dtype=system.dtype, device=system.device)


def _within(place: Sequence[float], image_size: tuple[int, int]) -> Point:
    height, width = image_size
    return Point(min(max(place[0], -0.5), width - 0.5), min(max(place[1], -0.5), height - 0.5))


def _stalled(worst: Sequence[float], patience: int) -> bool:
    """Whether the farthest handle has come no nearer, by a twentieth, in the last steps."""
    return len(worst) > patience and min(worst[-patience:]) > 0.95 * min(worst[:-patience])


def _reasons(
    distances: Sequence[float], lost: Sequence[bool], tolerance: float, masked: bool
) -> tuple[Stuck | None, ...]:
    def reason(distance: float, gone: bool) -> Stuck | None:
        if distance <= tolerance:
            return None
        if gone:
            return "lost"
        return "mask" if masked else "other handles" if len(distances) > 1 else "limit"

    return tuple(reason(d, gone) for d, gone in zip(distances, lost, strict=True))
