"""The change of the latent that does what is wished of it and is small, as the model itself varies."""

from dataclasses import dataclass

import torch
from torch import Tensor

from draggan.stylegan2.generator import Generator

SAMPLES = 2048  # codes whose w are looked at
POWER = 0.25  # of the covariance: 0 calls every change of w alike, 1 counts standard deviations
EPSILON = 1e-3  # of the system's diagonal, so that rows which say the same can be solved


@dataclass(frozen=True, eq=False)
class Metric:
    """How a change is measured: by the directions in which w varies, and by whether its layers agree.

    Within a layer a change varies as a power of the covariance of w, and between layers as `shared` of that: at 1 all
    layers change alike and the latent stays one of W, at 0 each goes its own way.
    """

    covariance: Tensor  # (w_dim, w_dim), of mean variance 1
    shared: float  # 0 .. 1

    def spread(self, rows: Tensor) -> Tensor:
        """Rows of a Jacobian (R, L, w_dim) times the covariance of all layers: directions of least change."""
        alike = rows.sum(dim=1, keepdim=True)
        return (self.shared * alike + (1 - self.shared) * rows) @ self.covariance


@torch.no_grad()
def metric_of(generator: Generator, shared: float) -> Metric:
    """From the w of many codes of a fixed seed, of every class alike in a conditional generator."""
    rng = torch.Generator().manual_seed(0)
    z, c = torch.randn(SAMPLES, generator.config.z_dim, generator=rng), None
    if generator.config.c_dim:
        c = torch.eye(generator.config.c_dim)[torch.arange(SAMPLES) % generator.config.c_dim]
    variances, axes = torch.linalg.eigh(torch.cov(generator.map(z, c)[:, 0].T))
    covariance = (axes * variances.clamp(min=0) ** POWER) @ axes.T
    return Metric(covariance / covariance.diagonal().mean(), shared)


def solve(rows: Tensor, metric: Metric, wish: Tensor, damping: Tensor, rest: Tensor) -> Tensor:
    """The change of the moving layers that does what is wished, damped, and beyond that goes as `rest` wants.

    rows (R, L, w_dim): a Jacobian; wish (R,); damping (R,), of the system's own scale; rest (L, w_dim)
    -> (L, w_dim). dw = r + S J^T (J S J^T + M)^-1 v, r being the part of `rest` that moves no row: the least change,
    in the metric, that does the wish (Levenberg-Marquardt; damped least squares of Nakamura and Hanafusa 1986).
    """
    system, spread = normal(rows, metric)
    flat = rows.flatten(1)
    diagonal = system.diagonal()
    kept = system + EPSILON * diagonal.clamp(min=EPSILON * diagonal.mean().item()).diag()  # solvable, rows of 0 too
    free = rest - torch.tensordot(torch.linalg.solve(kept, flat @ rest.flatten()), spread, 1)
    return free + torch.tensordot(torch.linalg.solve(system + damping.diag(), wish), spread, 1)


def normal(rows: Tensor, metric: Metric) -> tuple[Tensor, Tensor]:
    """J S J^T (R, R) and S J^T as (R, L, w_dim)."""
    spread = metric.spread(rows)
    return rows.flatten(1) @ spread.flatten(1).T, spread
