"""Where a handle lies: the place whose surroundings look most like its own did, and how that place moves with w.

p(w) = argmin_q |D_w(q) - t|^2 over descriptors D, so the implicit function theorem gives its derivative:
dp/dw = -(G G^T)^-1 G dD/dw with G = dD/dq (the Gauss-Newton form; Lucas and Kanade 1981).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.features import Features
from draggan.geometry import inside, square

REFINEMENTS = 2  # Gauss-Newton steps from the nearest pixel
AT_ONCE = 128  # places whose descriptors are held at the same time
EPSILON = 1e-3  # added to G G^T: a patch without texture does not run away


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
    each = zip(places, templates, strict=True)
    distance = torch.stack([_gaps(features.of(i), *one, patch) for i, one in enumerate(each)])  # (N, K)
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
    rows = [torch.autograd.grad(moved[:, i].sum(), latents, retain_graph=i == 0)[0] for i in (0, 1)]
    return torch.stack(rows, dim=1), torch.linalg.eigvalsh(slope @ slope.transpose(1, 2))[:, 0]


def _gaps(features: Features, places: Tensor, template: Tensor, patch: Tensor) -> Tensor:
    """|D - t|^2 at places (K, 2) of one handle, a few at a time: descriptors are long. template (P C,) -> (K,)"""
    few = places.split(AT_ONCE)
    return torch.cat([describe(features, some[None], patch)[0].sub_(template).square_().sum(dim=1) for some in few])


def _curvature(slope: Tensor) -> Tensor:
    """G G^T of each handle, (N, 2, 2), kept invertible."""
    return slope @ slope.transpose(1, 2) + EPSILON * torch.eye(2, dtype=slope.dtype, device=slope.device)
