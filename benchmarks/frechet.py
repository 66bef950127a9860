"""The Frechet distance between two sets of pictures, on features of the detector."""

import torch
from torch import Tensor


def frechet(first: Tensor, second: Tensor) -> float:
    """The squared Frechet distance of two normal distributions fitted to features (N, C) and (M, C).

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Heusel et al. 2017, section 4.1), in double precision. Raises
    ValueError for fewer than two samples.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"{len(first)} and {len(second)} samples: a covariance needs at least 2 of each")
    a, b = first.double(), second.double()
    gap = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    one, two = torch.cov(a.T), torch.cov(b.T)
    root = _root(one)
    shared = torch.linalg.eigvalsh(root @ two @ root).clamp(min=0).sqrt().sum()  # tr (S1 S2)^(1/2)
    return (gap + one.trace() + two.trace() - 2 * shared).clamp(min=0).item()


def _root(covariance: Tensor) -> Tensor:
    values, axes = torch.linalg.eigh(covariance)
    return (axes * values.clamp(min=0).sqrt()) @ axes.T
