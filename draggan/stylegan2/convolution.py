"""The two 3 x 3 convolutions of the network, made for weights that have no gradient.

They multiply in the type that the weight is kept in; what comes out is again of the type of what went in.

On a CPU, small maps with large weights are multiplied as matrices: reading the weights is what they cost, and the
library's convolutions rearrange them at each call. Everything else is the library's.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.stylegan2.alone import shared
from draggan.stylegan2.lowpass import FIR, blur
from draggan.stylegan2.squares import Squares, cut

SMALL = 128  # cells, before any doubling, up to which matrices are faster: `python -m benchmarks.convolution`
LARGE = 1 << 19  # numbers in a weight from which rearranging it is what costs
IN_PART = ("cpu",)  # types of devices that can be asked where gradients are zero without waiting for them
PLAIN_ON = ("mps",)  # likewise: they read weights of another layout wrongly, or have no gradients of what comes of it
MOST_THREADS = 4  # that are given parts of a product of their own; with more was not measured


def conv3x3(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """x (N, in, h, w), weight (out, in, 3, 3) -> (N, out, h + 2 padding - 2, w + 2 padding - 2)."""
    if _as_matrix(x, weight):
        return _Conv3x3.apply(F.pad(x, (padding,) * 4) if padding else x, weight)
    if padding == 0 and _on_windows(x, weight):
        return _Valid3x3.apply(x.to(weight.dtype), weight).to(x.dtype)
    return F.conv2d(x.to(weight.dtype), weight, padding=padding).to(x.dtype)


def doubling3x3(x: Tensor, weight: Tensor, squares: Squares | None = None) -> Tensor:
    """Transposed convolution of stride 2, then the low-pass filter, whose gain of 4 makes up for the zeros between.

    x (N, in, h, w), weight (out, in, 3, 3) -> (N, out, 2 h, 2 w), or of that a square of each sample (N, out, s, s),
    at least 2 places from the border: nearer to it what lies beside x would be missing.
    """
    if _as_matrix(x, weight):
        corners = [(0, 0)] if squares is None else squares.corners.tolist()
        size = [2 * side for side in x.shape[2:]] if squares is None else [squares.size] * 2
        return _Doubling3x3.apply(x, weight, corners, size)
    edge = 0 if squares is None else 1
    if squares is not None and _on_windows(x, weight):
        y = _Transposed3x3.apply(x.to(weight.dtype), weight).to(x.dtype)
    else:
        y = F.conv_transpose2d(x.to(weight.dtype), weight.transpose(0, 1), stride=2, padding=edge).to(x.dtype)
    y = blur(y, gain=4, padding=1 - edge)  # from place 2 edge on
    if squares is None:
        return y
    return cut(y, Squares(squares.corners - 2, squares.size, beyond=False), torch.arange(len(y), device=y.device))


def arranged(weight: Tensor, up: bool) -> Tensor:
    """The same weight, laid out in memory so that its matrices need no copy, or as its device wants it."""
    layout = torch.contiguous_format if weight.device.type in PLAIN_ON else torch.channels_last
    if up:
        return weight.transpose(0, 1).contiguous(memory_format=layout).transpose(0, 1)
    return weight.contiguous(memory_format=layout)


def _as_matrix(x: Tensor, weight: Tensor) -> bool:
    if weight.requires_grad:  # matrices have gradients for their input alone
        return False
    cells = x.shape[0] * x.shape[2] * x.shape[3]
    return x.device.type == "cpu" and weight.shape[2] == 3 and weight.numel() >= LARGE and cells <= SMALL


def _on_windows(x: Tensor, weight: Tensor) -> bool:
    """Whether gradients may be had of a part alone: those of windows are zero but around the handles."""
    return x.device.type in IN_PART and not weight.requires_grad


class _Valid3x3(torch.autograd.Function):
    """The library's convolution without padding. Its gradient is computed where what comes in is not zero."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.weight, ctx.size = weight, x.shape[2:]
        return F.conv2d(x, weight)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:
        down, across = _lit(grads[0])
        part = F.conv_transpose2d(grads[0][:, :, down, across], ctx.weight)
        return _placed(part, ctx.size, down.start, across.start), None


class _Transposed3x3(torch.autograd.Function):
    """Likewise the transposed convolution of stride 2, without the first and the last place."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.weight, ctx.size = weight.transpose(0, 1), x.shape[2:]  # (in, out, 3, 3)
        return F.conv_transpose2d(x, ctx.weight, stride=2, padding=1)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:
        (top, bottom), (left, right) = (  # of the places a of x, each of which came to 2 a - 1 .. 2 a + 1
            (lit.start // 2, min(lit.stop // 2, size - 1)) for lit, size in zip(_lit(grads[0]), ctx.size, strict=True)
        )
        read = _cropped(grads[0], 2 * top - 1, 2 * bottom + 2, 2 * left - 1, 2 * right + 2)
        return _placed(F.conv2d(read, ctx.weight, stride=2), ctx.size, top, left), None


def _lit(grad: Tensor) -> tuple[slice, slice]:
    """The rows and the columns outside of which a gradient (N, C, h, w) is zero."""
    lit = grad.any(dim=1).any(dim=0)  # (h, w)
    return _span(lit.any(dim=1)), _span(lit.any(dim=0))


def _span(lit: Tensor) -> slice:
    """From the first to the last that is true; one place where none is."""
    places = lit.nonzero().flatten().tolist() or [0]
    return slice(places[0], places[-1] + 1)


def _cropped(x: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    """Rows top .. bottom - 1 and columns left .. right - 1 of x (N, C, h, w), zero where these lie beyond it."""
    height, width = x.shape[2:]
    return F.pad(x, (-left, right - width, -top, bottom - height))


def _placed(part: Tensor, size: Sequence[int], top: int, left: int) -> Tensor:
    """A map of a size (h, w), zero but for a part (N, C, ..) of it that begins at top, left."""
    return _cropped(part, -top, size[0] - top, -left, size[1] - left)


class _Conv3x3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        height, width = (side - 2 for side in x.shape[2:])
        ctx.weight = weight.permute(0, 2, 3, 1).flatten(1, 2)  # (out, 9, in)
        ctx.axes = _same(height, x.dtype), _same(width, x.dtype)
        cells = x.permute(0, 2, 3, 1).to(weight.dtype)  # (N, h, w, in)
        taps = [cells[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        y = _product(torch.cat(taps, dim=3), ctx.weight.flatten(1))  # (N, h - 2, w - 2, out)
        return y.to(x.dtype).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:
        taps = _through_taps(grads[0].permute(0, 2, 3, 1), ctx.weight)
        return _summed(taps, *ctx.axes).permute(0, 3, 1, 2), None


class _Doubling3x3(torch.autograd.Function):
    """Of the doubled and filtered map what lies at corners (1 or N places) and has a size (height, width)."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, corners: Sequence[Sequence[int]], size: Sequence[int]) -> Tensor:
        ctx.weight = weight.permute(1, 2, 3, 0).flatten(1, 2)  # (in, 9, out)
        firsts = zip(*corners, strict=True)
        ctx.axes = [_doubled(*axis, x.dtype) for axis in zip(x.shape[2:], firsts, size, strict=True)]
        taps = _through_taps(x.permute(0, 2, 3, 1), ctx.weight)
        return _summed(taps, *ctx.axes).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        taps = _separated(grads[0].permute(0, 2, 3, 1), *ctx.axes).permute(0, 2, 4, 1, 3, 5)  # (N, h, w, 3, 3, out)
        taps = taps.to(ctx.weight.dtype, memory_format=torch.contiguous_format).flatten(3)
        x = _product(taps, ctx.weight.flatten(1))  # (N, h, w, in)
        return x.to(grads[0].dtype).permute(0, 3, 1, 2), None, None, None


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """x (.., K), weight (out, K) -> (.., out)"""
    with shared():
        cells, parts = x.flatten(0, -2), _parts(weight.dtype, len(weight))
        weights = weight.reshape(parts, -1, weight.shape[1])  # (parts, out / parts, K)
        y = torch.bmm(cells.expand(parts, *cells.shape), weights.transpose(1, 2))
    return y.transpose(0, 1).reshape(*x.shape[:-1], -1)


def _parts(dtype: torch.dtype, channels: int) -> int:
    """How many parts a product is computed in, by channels of what comes out: as many as threads, where that is faster
    than how the library divides it."""
    threads = torch.get_num_threads()
    return threads if dtype.itemsize >= 4 and threads <= MOST_THREADS and channels % threads == 0 else 1


def _through_taps(x: Tensor, weight: Tensor) -> Tensor:
    """What each place gives through each tap of the kernel. x (N, h, w, in), weight (in, 9, out) ->
    (N, 3, h, 3, w, out), of the type of x."""
    cells, (count, height, width) = x.to(weight.dtype).flatten(0, 2), x.shape[:3]
    if weight.dtype.itemsize < 4:  # in those types one product is faster, in others nine
        with shared():
            taps = cells @ weight.flatten(1)
        taps = taps.view(count, height, width, 3, 3, -1).permute(0, 3, 1, 4, 2, 5)
    else:
        with shared():
            parts = 9 * _parts(weight.dtype, weight.shape[2])
            taps = torch.bmm(cells.expand(parts, *cells.shape), weight.reshape(len(weight), parts, -1).transpose(0, 1))
        taps = taps.view(3, 3, -1, count, height, width, taps.shape[2]).permute(3, 0, 4, 1, 5, 2, 6).flatten(5)
    return taps.to(x.dtype, memory_format=torch.contiguous_format)


def _summed(taps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Puts what came through the taps where it belongs. taps (N, 3, h, 3, w, C), rows (1 or N, H, 3 h), columns
    (1 or N, W, 3 w): what of it comes where, along each axis -> (N, H, W, C)."""
    count, _, height, _, width, channels = taps.shape
    x = torch.bmm(rows.expand(count, -1, -1), taps.reshape(count, 3 * height, -1))  # (N, H, 3 w C)
    columns = _for_each(columns, count, x.shape[1])
    return torch.bmm(columns, x.view(-1, 3 * width, channels)).view(*x.shape[:2], -1, channels)


def _separated(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The adjoint of `_summed`: x (N, H, W, C) -> (N, 3, h, 3, w, C)."""
    count, height, width, channels = x.shape
    taps = _for_each(columns, count, height).transpose(1, 2).bmm(x.reshape(-1, width, channels))  # (N H, 3 w, C)
    taps = rows.expand(count, -1, -1).transpose(1, 2).bmm(taps.view(count, height, -1))  # (N, 3 h, 3 w C)
    return taps.view(count, 3, rows.shape[2] // 3, 3, columns.shape[2] // 3, channels)


def _for_each(columns: Tensor, count: int, height: int) -> Tensor:
    """The matrices of N samples, (1 or N, W, 3 w), for each of their rows: (N H, W, 3 w)."""
    return columns[:, None].expand(count, height, *columns.shape[1:]).flatten(0, 1)


@lru_cache(maxsize=64)  # few numbers, asked for at every step
def _same(size: int, dtype: torch.dtype) -> Tensor:
    """Along one axis, of a kernel that reads a map of size + 2 places: (1, size + 2, 3 size).

    Place a reads place a + i through tap i, and its gradient goes there.
    """
    tap, place, read = torch.arange(3)[:, None], torch.arange(size), torch.arange(size + 2)
    return (read[:, None, None] == place + tap).to(dtype).flatten(1)[None]


@lru_cache(maxsize=256)
def _doubled(size: int, firsts: tuple[int, ...], count: int, dtype: torch.dtype) -> Tensor:
    """Along one axis, of a map of `size` places that is doubled and filtered, `count` places from each first on:
    (N, count, 3 size).

    Through tap i of the kernel place a comes to 2 a + i, and from there through tap t of the filter to 2 a + i + 1 - t.
    """
    tap, place = torch.arange(3)[:, None], torch.arange(size)
    to = torch.tensor(firsts)[:, None] + torch.arange(count)  # (N, count)
    t = 2 * place + tap + 1 - to[..., None, None]  # (N, count, 3, size)
    fir = torch.tensor([0.0, *FIR, 0.0], dtype=torch.float64) * (2 / sum(FIR))  # of its gain 2 along each axis
    return fir[t.clamp(-1, len(FIR)) + 1].to(dtype).flatten(2)
