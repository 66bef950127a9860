"""The optimiser of a drag: Adam (Kingma and Ba 2015, algorithm 1), a step from values to values.

The same numbers as `torch.optim.Adam`, whose first use imports a compiler: a second and 150 MB.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
NAMES = ("step", "exp_avg", "exp_avg_sq")  # steps taken, m and v of the paper: the names that torch gives them

Means = Mapping[str, Tensor]  # by NAMES; empty before the first step


def adam(x: Tensor, gradient: Tensor, means: Means, lr: float) -> tuple[Tensor, Means]:
    """One step for x, any shape, with step size `lr`: -> x and the running means after it. Changes neither."""
    nothing = (torch.zeros(()), torch.zeros_like(x), torch.zeros_like(x))
    steps, mean, square = (means[name] for name in NAMES) if means else nothing
    steps = steps.cpu() + 1  # a number: it stays there, so that an accelerator is not waited for
    mean = mean.lerp(gradient, 1 - BETA1)
    square = (square * BETA2).addcmul(gradient, gradient, value=1 - BETA2)
    t = float(steps)
    scale = square.sqrt() / math.sqrt(1 - BETA2**t) + EPSILON
    x = x.addcdiv(mean, scale, value=-lr / (1 - BETA1**t))
    return x, dict(zip(NAMES, (steps, mean, square), strict=True))
