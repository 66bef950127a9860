"""Where a handle lies: the place whose surroundings look most like its own did, and how that place moves with w.

p(w) = argmin_q |D_w(q) - t|^2 over descriptors D, so the implicit function theorem gives its derivative:
dp/dw = -(G G^T)^-1 G dD/dw with G = dD/dq (the Gauss-Newton form; Lucas and Kanade 1981).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.engine.features import Features
from draggan.geometry import inside, pushed_inside, square

REFINEMENTS = 2  # Gauss-Newton steps from the nearest place of the lattice
EPSILON = 1e-3  # added to G G^T: a patch without texture does not run away


def describe(features: Features, places: Tensor, patch: Tensor) -> Tensor:
    """What lies at places, whatever its brightness: the directions of the features on a patch, of length 1 together.

    places (N, K, 2) and patch (P, 2) in pixels -> (N, K, P C). Half the squared distance of two such descriptors is
    1 minus their mean cosine similarity.
    """
    count, tried, _ = places.shape
    found = features.sample((places[:, :, None] + patch).reshape(count, -1, 2))  # (N, K P, C)
    return F.normalize(found, dim=2, eps=1e-6).reshape(count, tried, -1) / math.sqrt(len(patch))


@dataclass(frozen=True, eq=False)
class Lattice:
    """The places around a handle at which it is looked for, and the points of the picture that their patches read."""

    offsets: Tensor  # (K, 2), the nearest first
    points: Tensor  # (S, 2): the patches of neighbouring places overlap, so each point is read once
    at: Tensor  # (K, P), whole numbers: the points of each place's patch


def lattice(patch: Tensor, half_width: float, grain: float = 1.0) -> Lattice:
    """A square of places. patch (P, 2) and half_width in pixels, grain: pixels from one place to the next."""
    offsets = grain * square(half_width / grain, patch.cpu())  # (K, 2)
    points, at = torch.unique((offsets[:, None] + patch.cpu()).flatten(0, 1), dim=0, return_inverse=True)
    return Lattice(offsets.to(patch), points.to(patch), at.view(-1, len(patch)).to(patch.device))


def slopes(features: Features, places: Tensor, patch: Tensor, grain: float = 1.0) -> Tensor:
    """G: how the descriptor changes over `grain` pixels, by central differences of as much. places (N, 2)
    -> (N, 2, P C)"""
    ways = grain * torch.eye(2, dtype=places.dtype, device=places.device)
    around = describe(features, places[:, None] + torch.cat([ways, -ways]), patch)  # (N, 4, P C)
    return (around[:, :2] - around[:, 2:]) / 2


def locate(
    features: Features, predicted: Tensor, templates: Tensor, patch: Tensor, near: Lattice, grain: float = 1.0
) -> Tensor:
    """Where each handle lies: the place of a lattice around its predicted one that looks most like it, then between.

    predicted (N, 2), patch (P, 2) and grain in pixels, as those of the lattice, templates (N, P C) -> (N, 2). Never
    leaves the picture.
    """
    each = enumerate(zip(predicted, templates, strict=True))
    found = [_likeness(features.of(i), place + near.points, template, near.at) for i, (place, template) in each]
    places = predicted[:, None] + near.offsets  # (N, K, 2)
    best = torch.stack(found).masked_fill(~inside(places, features.image_size), -math.inf).argmax(dim=1)
    handles = nearest = places.gather(1, best[:, None, None].expand(-1, -1, 2))[:, 0]  # (N, 2)
    for _ in range(REFINEMENTS):
        slope = slopes(features, handles, patch, grain)  # (N, 2, P C)
        gap = describe(features, handles[:, None], patch)[:, 0] - templates  # (N, P C)
        step = grain * (_inverse(slope) @ (slope @ gap[:, :, None]))[:, :, 0]
        handles = nearest + (handles - step - nearest).nan_to_num().clamp(-grain, grain)
    return pushed_inside(handles, features.image_size)


def motion(features: Features, handles: Tensor, patch: Tensor, grain: float = 1.0) -> tuple[Tensor, Tensor]:
    """What changes with the latent as the handles' places do, and how surely each is held by its surroundings.

    -> (N, 2), whose derivative is J = dp/dw in pixels, and whose value says nothing; (N,): the smaller eigenvalue of
    G G^T.
    """
    slope = slopes(features.detach(), handles, patch, grain)  # (N, 2, P C)
    pull = _inverse(slope) @ slope  # (N, 2, P C)
    moved = -grain * (pull * describe(features, handles[:, None], patch)).sum(dim=2)  # (N, 2)
    a, b, c = _entries(slope)
    return moved, (a + c) / 2 - torch.hypot((a - c) / 2, b)


def _likeness(features: Features, lattice: Tensor, template: Tensor, at: Tensor) -> Tensor:
    """How like what one handle is looked for by each place is: the product of the descriptors, all of one length.

    lattice (S, 2) and at (K, P) as those of `Lattice`, moved to the handle; template (P C,) -> (K,)
    """
    directions = F.normalize(features.sample(lattice[None])[0], dim=1, eps=1e-6)  # (S, C)
    return (directions @ template.view(at.shape[1], -1).T).gather(0, at).sum(dim=1)


def _entries(slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """G G^T of each handle, (N,) each: its first, its mixed and its second entry. slope (N, 2, P C)"""
    first, second = slope.unbind(1)
    return first.square().sum(dim=1), (first * second).sum(dim=1), second.square().sum(dim=1)


def _inverse(slope: Tensor) -> Tensor:
    """The inverse of G G^T of each handle, which is kept invertible. (N, 2, 2)"""
    a, b, c = _entries(slope)
    a, c = a + EPSILON, c + EPSILON
    return torch.stack([c, -b, -b, a], dim=1).view(-1, 2, 2) / (a * c - b * b)[:, None, None]
