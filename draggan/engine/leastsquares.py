"""The change of the latent that does what is wished of it and is small, as `metric.py` measures it."""

import torch
from torch import Tensor

from draggan.engine.metric import Metric

EPSILON = 1e-3  # of the system's diagonal, so that rows which say the same can be solved


def solve(rows: Tensor, metric: Metric, wish: Tensor, damping: Tensor, rest: Tensor, compliance: float = 0.0) -> Tensor:
    """The change of the moving layers that does what is wished, damped, and beyond that goes as `rest` wants.

    rows (R, L, w_dim): a Jacobian; wish (R,); damping (R,), of the system's own scale; rest (L, w_dim);
    compliance: the part of the damping by which a row gives way to `rest`, 0 for not at all
    -> (L, w_dim). dw = r + S J^T (J S J^T + M)^-1 v, S being what the metric spreads by and r the part of `rest` that
    moves no row: the least change that does the wish (Levenberg-Marquardt; damped least squares of Nakamura and
    Hanafusa 1986).
    """
    system, spread = normal(rows, metric)
    flat = rows.flatten(1)
    diagonal = system.diagonal()
    solvable = EPSILON * diagonal.clamp(min=EPSILON * diagonal.mean())  # with rows of 0 too
    kept = system + (solvable + compliance * damping).diag()
    free = rest - torch.tensordot(_solved(kept, flat @ rest.flatten()), spread, 1)
    return free + torch.tensordot(_solved(system + damping.diag(), wish), spread, 1)


def normal(rows: Tensor, metric: Metric) -> tuple[Tensor, Tensor]:
    """J S J^T (R, R) and S J^T as (R, L, w_dim)."""
    spread = metric.spread(rows)
    return rows.flatten(1) @ spread.flatten(1).T, spread


def _solved(system: Tensor, wish: Tensor) -> Tensor:
    """Without asking whether that went well, for which a GPU would be waited for."""
    return torch.linalg.solve_ex(system, wish)[0]
