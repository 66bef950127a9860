"""The two 3 x 3 convolutions of the network, made for weights that have no gradient.

They multiply in the type that the weight is kept in; what comes out is again of the type of what went in.

On a CPU, small maps with large weights are multiplied as one matrix: reading the weights is what they cost, and the
library's convolutions rearrange them at each call. Everything else is the library's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SMALL = 400  # cells up to which the matrix is faster, measured by `python -m benchmarks.convolution`
SMALL_UP = 900  # the same before a map is doubled
LARGE = 1 << 20  # numbers in a weight from which rearranging it is what costs


def conv3x3(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """x (N, in, h, w), weight (out, in, 3, 3) -> (N, out, h + 2 padding - 2, w + 2 padding - 2)."""
    narrow = x.to(weight.dtype)
    if _as_matrix(x, weight, SMALL):
        return _Conv3x3.apply(F.pad(narrow, (padding,) * 4) if padding else narrow, weight).to(x.dtype)
    return F.conv2d(narrow, weight, padding=padding).to(x.dtype)


def conv_transpose3x3(x: Tensor, weight: Tensor, crop: int) -> Tensor:
    """Stride 2. x (N, in, h, w), weight (out, in, 3, 3) -> (N, out, 2 h + 1 - 2 crop, 2 w + 1 - 2 crop)."""
    narrow = x.to(weight.dtype)
    if _as_matrix(x, weight, SMALL_UP):
        y = _ConvTranspose3x3.apply(narrow, weight).to(x.dtype)
        return y[:, :, crop:-crop, crop:-crop] if crop else y
    return F.conv_transpose2d(narrow, weight.transpose(0, 1), stride=2, padding=crop).to(x.dtype)


def arranged(weight: Tensor, up: bool) -> Tensor:
    """The same weight, laid out in memory so that its matrix needs no copy."""
    if up:
        return weight.transpose(0, 1).contiguous(memory_format=torch.channels_last).transpose(0, 1)
    return weight.contiguous(memory_format=torch.channels_last)


def _as_matrix(x: Tensor, weight: Tensor, small: int) -> bool:
    if weight.requires_grad:  # the matrix has gradients for its input alone
        return False
    cells = x.shape[0] * x.shape[2] * x.shape[3]
    return x.device.type == "cpu" and weight.shape[2] == 3 and weight.numel() >= LARGE and cells <= small


class _Conv3x3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.matrix, ctx.size = weight.permute(0, 2, 3, 1).flatten(1), x.shape[2:]  # (out, 9 in)
        y = _gather(x.permute(0, 2, 3, 1), stride=1) @ ctx.matrix.T  # (N, h - 2, w - 2, out)
        return y.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:
        taps = grads[0].permute(0, 2, 3, 1) @ ctx.matrix  # (N, h - 2, w - 2, 9 in)
        return _scatter(taps, ctx.size, stride=1).permute(0, 3, 1, 2), None


class _ConvTranspose3x3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.matrix = weight.permute(1, 2, 3, 0).flatten(1)  # (in, 9 out)
        taps = x.permute(0, 2, 3, 1) @ ctx.matrix  # (N, h, w, 9 out)
        y = _scatter(taps, (2 * x.shape[2] + 1, 2 * x.shape[3] + 1), stride=2)  # (N, 2 h + 1, 2 w + 1, out)
        return y.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:
        x = _gather(grads[0].permute(0, 2, 3, 1), stride=2) @ ctx.matrix.T  # (N, h, w, in)
        return x.permute(0, 3, 1, 2), None


def _gather(x: Tensor, stride: int) -> Tensor:
    """x (N, H, W, C) -> (N, h, w, 9 C): what each place of a 3 x 3 kernel reads."""
    height, width = ((size - 3) // stride + 1 for size in x.shape[1:3])
    ends = range(3)
    return torch.cat([_tap(x, i, j, height, width, stride) for i in ends for j in ends], dim=3)


def _scatter(taps: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """The adjoint of `_gather`: taps (N, h, w, 9 C) -> (N, H, W, C), (H, W) = size."""
    count, height, width, channels = taps.shape[0], taps.shape[1], taps.shape[2], taps.shape[3] // 9
    x = taps.new_zeros(count, *size, channels)
    for k, part in enumerate(taps.split(channels, dim=3)):
        _tap(x, k // 3, k % 3, height, width, stride).add_(part)
    return x


def _tap(x: Tensor, i: int, j: int, height: int, width: int, stride: int) -> Tensor:
    """What the places of a map read through one tap of the kernel. x (N, H, W, C) -> a view (N, h, w, C)."""
    return x[:, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride]
