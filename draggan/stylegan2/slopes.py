"""Gradients of several tensors at once, from the slopes of what is made of them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def derived(
    found: Sequence[Tensor], slopes: Sequence[Tensor], by: Sequence[Tensor], *, allow_unused: bool = False
) -> tuple[Tensor | None, ...]:
    """The gradients by `by`, given those by `found`; they can be had again.

    As of torch.autograd.grad, which imports a compiler where it is handed slopes: that takes a second or more.
    """
    each = [(f, slope) for f, slope in zip(found, slopes, strict=True) if f.requires_grad]
    sums, weights = zip(*each, strict=True)
    one = _Weighted.apply(weights, *sums)
    return torch.autograd.grad(one, by, retain_graph=True, allow_unused=allow_unused)


class _Weighted(torch.autograd.Function):
    """A number whose gradients are the weights."""

    @staticmethod
    def forward(ctx, weights: tuple[Tensor, ...], *found: Tensor) -> Tensor:
        ctx.weights = weights
        return found[0].new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx, slope: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return (None, *ctx.weights)
