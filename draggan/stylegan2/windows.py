"""The synthesis network evaluated only on windows of a feature map, exactly.

A window of a block's output depends on a slightly larger window of its input, so a few small windows at 128 x 128 cost
a fraction of the whole map, forward and backward. Inside, convolutions run without padding; what lies outside the map
is set to zero after each layer, as the padding of the whole network does. From the block on where the windows would
cost as much as the map, downwards, blocks are run whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.stylegan2 import ops
from draggan.stylegan2.config import GeneratorConfig
from draggan.stylegan2.generator import Generator, Latents
from draggan.stylegan2.layers import SynthesisBlock, SynthesisLayer

WINDOW_COST = 1.3  # of a multiplication in a window against one in a whole map: small convolutions are less efficient


@dataclass(frozen=True)
class Windows:
    """Square windows of one size, in cells of a map. They may reach beyond the map."""

    corners: tuple[tuple[int, int], ...]  # (top, left) of each
    size: int

    def source(self) -> "Windows":
        """The windows of the block before that these are made from, when the block has twice its resolution.

        Backwards through a block: one cell around for the 3 x 3 kernel, then y[m] of the doubling layer reads
        x[(m - 3) / 2 .. (m + 2) / 2] (a transposed 3 x 3 kernel of stride 2 and four taps of the FIR).
        """
        corners = tuple(((top - 3) // 2, (left - 3) // 2) for top, left in self.corners)
        ends = [(place + self.size + 4) // 2 - start for a, b in zip(self.corners, corners, strict=True)
                for place, start in zip(a, b, strict=True)]  # fmt: skip
        return Windows(corners, max(ends))

    def grown(self) -> "Windows":
        """One cell more on each side."""
        return Windows(tuple((top - 1, left - 1) for top, left in self.corners), self.size + 2)

    def places(self, map_size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Rows (N, s, 1) and columns (N, 1, s) on the map, and where they lie on it (N, 1, s, s); None: everywhere."""
        side = torch.arange(self.size)
        top, left = torch.tensor(self.corners).reshape(-1, 2).T[:, :, None]  # (N, 1)
        rows, columns = (top + side)[:, :, None], (left + side)[:, None, :]
        inside = (rows >= 0) & (rows < map_size[0]) & (columns >= 0) & (columns < map_size[1])  # (N, s, s)
        return rows, columns, None if inside.all() else inside[:, None]


def evaluate(
    generator: Generator, ws: Latents, resolution: int, windows: Windows, owners: Sequence[int] | None = None
) -> Tensor:
    """The features of the block of `resolution` on windows of its map. -> (N, C, s, s)

    ws (S, num_ws, w_dim); owners: the latent of each window; None: the only one, or each its own. The same values as
    in `generator.trunk(ws, resolution).features`, zero outside the map; gradients reach ws.
    """
    config = generator.config
    levels = _levels(config, resolution, windows)
    layers = generator.layers_of(ws)
    latents = len(layers[0])
    if owners is not None and (latents == 1 or tuple(owners) == tuple(range(latents))):
        owners = None
    whole, _ = _cheapest(config, levels, latents)
    x = crop(generator.trunk(layers, config.resolutions[whole]).features, levels[whole], owners)
    if owners is not None:
        rows = torch.tensor(owners, device=x.device)
        layers = tuple(w.index_select(0, rows) for w in layers)  # (N, w_dim)
    for i in range(whole + 1, len(levels)):
        block, size = generator.synthesis.blocks()[i], config.map_size(config.resolutions[i])
        x = _block(block, x, layers[2 * i - 1 : 2 * i + 1], levels[i - 1], levels[i], size)
    return x


def total_cost(config: GeneratorConfig, resolution: int, windows: Windows | None, latents: int = 1) -> float:
    """What the features of a block cost on windows, or whole (None): multiplications per tap, weighed."""
    if windows is None:
        return latents * sum(_whole_cost(config, i) for i in range(config.resolutions.index(resolution) + 1))
    return _cheapest(config, _levels(config, resolution, windows), latents)[1]


def crop(features: Tensor, windows: Windows, owners: Sequence[int] | None = None) -> Tensor:
    """features (S, C, h, w) -> (N, C, s, s), zero outside the map. owners: as `evaluate` takes them."""
    height, width = features.shape[2:]
    tops, lefts = zip(*windows.corners, strict=True)
    above, before = max(0, -min(tops)), max(0, -min(lefts))
    below, behind = max(0, max(tops) + windows.size - height), max(0, max(lefts) + windows.size - width)
    if above or before or below or behind:
        features = F.pad(features, (before, behind, above, below))
    return _cut(features, [(t + above, u + before) for t, u in windows.corners], windows.size, owners)


def _cut(x: Tensor, corners: Sequence[tuple[int, int]], size: int, owners: Sequence[int] | None = None) -> Tensor:
    """The squares at corners of x (S, C, h, w) -> (N, C, s, s). owners: the sample of each; None: the only one, or
    each its own."""
    if owners is None and len(set(corners)) == 1:
        top, left = corners[0]
        return x[:, :, top : top + size, left : left + size].expand(len(corners), -1, -1, -1)
    if owners is None:
        owners = range(len(corners)) if len(x) > 1 else [0] * len(corners)
    places = [(i, top, left) for i, (top, left) in zip(owners, corners, strict=True)]
    return _Squares.apply(x, places, size)  # type: ignore[return-value]


class _Squares(torch.autograd.Function):
    """`_cut` whose gradient is summed in one tensor of the size of x: autograd's own makes one a square."""

    @staticmethod
    def forward(ctx, x: Tensor, places: Sequence[tuple[int, int, int]], size: int) -> Tensor:
        ctx.shape, ctx.places = x.shape, places
        found = x.new_empty(len(places), x.shape[1], size, size).contiguous(memory_format=torch.channels_last)
        for square, place in zip(found, _squares(x, places, size), strict=True):
            square.copy_(place)
        return found

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None, None]:
        x = grads[0].new_zeros(ctx.shape).contiguous(memory_format=torch.channels_last)
        for place, square in zip(_squares(x, ctx.places, grads[0].shape[2]), grads[0], strict=True):
            place.add_(square)
        return x, None, None


def _squares(x: Tensor, places: Sequence[tuple[int, int, int]], size: int) -> list[Tensor]:
    """Views (C, s, s) of squares of x. places: sample, top, left of each."""
    return [x[i, :, top : top + size, left : left + size] for i, top, left in places]


def _block(
    block: SynthesisBlock,
    x: Tensor,
    ws: Sequence[Tensor],
    source: Windows,
    windows: Windows,
    map_size: tuple[int, int],
) -> Tensor:
    """One block: its input on the windows `source` -> its output on `windows`. ws (1, w_dim) for both its layers."""
    assert block.conv0 is not None, "the first block is always run whole"
    needed = windows.grown()
    styles = block.conv0.affine(ws[0])
    x = ops.modulated_conv2d(x, block.conv0.weight, styles, up=True, padded=False)  # from place 2 corner + 2 on
    shifts = [(a[0] - 2 * b[0] - 2, a[1] - 2 * b[1] - 2) for a, b in zip(needed.corners, source.corners, strict=True)]
    x = _activated(block.conv0, _cut(x, shifts, needed.size), styles, needed, map_size)
    styles = block.conv1.affine(ws[1])
    x = ops.modulated_conv2d(x, block.conv1.weight, styles, padded=False)
    return _activated(block.conv1, x, styles, windows, map_size)


def _activated(layer: SynthesisLayer, x: Tensor, styles: Tensor, windows: Windows, map_size: tuple[int, int]) -> Tensor:
    """Demodulation, noise, bias and activation on windows of a layer's map. x (N, C, s, s)."""
    rows, columns, inside = windows.places(map_size)
    noise = None
    if layer.noisy:
        rows, columns = rows.clamp(0, map_size[0] - 1), columns.clamp(0, map_size[1] - 1)
        noise = layer.noise_const[rows.to(x.device), columns.to(x.device)][:, None] * layer.noise_strength
    x = ops.activate(x, ops.demodulation(styles, layer.power), layer.bias, noise, layer.clamp)
    return x if inside is None else x * inside.to(x)


def _levels(config: GeneratorConfig, resolution: int, windows: Windows) -> list[Windows]:
    """The windows of every block from the first up to that of `resolution`."""
    levels = [windows]
    for _ in range(config.resolutions.index(resolution)):
        levels.insert(0, levels[0].source())
    return levels


def _cheapest(config: GeneratorConfig, levels: list[Windows], latents: int = 1) -> tuple[int, float]:
    """The last block that is better run whole, once for each latent, and what all of it then costs."""
    wholes = [latents * _whole_cost(config, i) for i in range(len(levels))]
    windowed = [0.0] + [_window_cost(config, i, levels) for i in range(1, len(levels))]
    totals = [sum(wholes[: i + 1]) + sum(windowed[i + 1 :]) for i in range(len(levels))]
    best = min(range(len(totals)), key=totals.__getitem__)
    return best, totals[best]


def _whole_cost(config: GeneratorConfig, block: int) -> float:
    outs, ins = config.channels[block], config.channels[max(block - 1, 0)]
    cells = config.const_height * config.const_width * 4**block
    return outs * outs * cells + (outs * ins * cells / 4 if block else 0)


def _window_cost(config: GeneratorConfig, block: int, levels: list[Windows]) -> float:
    outs, ins = config.channels[block], config.channels[block - 1]
    taps = outs * outs * levels[block].size ** 2 + outs * ins * levels[block - 1].size ** 2
    return taps * len(levels[block].corners) * WINDOW_COST
