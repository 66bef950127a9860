"""The synthesis network evaluated only on windows of a feature map, exactly.

A window of a block's output depends on a slightly larger window of its input, so a few small windows at 128 x 128 cost
a fraction of the whole map, forward and backward. Inside, convolutions run without padding; what lies outside the map
is set to zero after each layer, as the padding of the whole network does. From the block on where the windows would
cost as much as the map, downwards, blocks are run whole.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from draggan.stylegan2 import alone, ops
from draggan.stylegan2.config import GeneratorConfig
from draggan.stylegan2.convolution import SMALL
from draggan.stylegan2.device import sent
from draggan.stylegan2.generator import Generator, Latents
from draggan.stylegan2.layers import SynthesisBlock, SynthesisLayer
from draggan.stylegan2.squares import Squares, cut

RECORDED_COST = 4e9  # `total_cost` of 128 x 128 whole: with less, asking for the operations may cost more than they do
WINDOW_COST = 1.3  # of a multiplication in a window against one in a whole map: small convolutions are less efficient


@dataclass(frozen=True)
class Windows:
    """Square windows of one size, in cells of a map. They may reach beyond the map."""

    corners: tuple[tuple[int, int], ...]  # (top, left) of each
    size: int
    steady: bool = False  # whether they are evaluated as any windows of this size could be: the same shapes, wherever

    def source(self) -> "Windows":
        """The windows of the block before that these are made from, when the block has twice its resolution.

        Backwards through a block: one cell around for the 3 x 3 kernel, then y[m] of the doubling layer reads
        x[(m - 3) / 2 .. (m + 2) / 2] (a transposed 3 x 3 kernel of stride 2 and four taps of the FIR).
        """
        corners = tuple(((top - 3) // 2, (left - 3) // 2) for top, left in self.corners)
        places = (0, 1) if self.steady else {place for corner in self.corners for place in corner}
        return Windows(corners, max((p + self.size + 4) // 2 - (p - 3) // 2 for p in places), self.steady)

    def grown(self) -> "Windows":
        """One cell more on each side."""
        return Windows(tuple((top - 1, left - 1) for top, left in self.corners), self.size + 2, self.steady)

    def beyond(self, map_size: tuple[int, int]) -> bool:
        """Whether any reaches beyond the map; of steady ones, whether any could."""
        return self.steady or any(
            place < 0 or place + self.size > end
            for corner in self.corners
            for place, end in zip(corner, map_size, strict=True)
        )

    def sent(self, device: torch.device) -> Tensor:
        """The corners on a device. (N, 2)"""
        return sent(torch.tensor(self.corners).reshape(-1, 2), device)


def evaluate(
    generator: Generator, ws: Latents, resolution: int, windows: Windows, owners: Sequence[int] | None = None
) -> Tensor:
    """The features of the block of `resolution` on windows of its map. -> (N, C, s, s)

    ws (S, num_ws, w_dim); owners: the latent of each window; None: the only one, or each its own. The same values as
    in `generator.trunk(ws, resolution).features`, zero outside the map; gradients reach ws.
    """
    config, device = generator.config, generator.device
    parts, levels = generator.parts_of(ws), _levels(config, resolution, windows)
    latents, count = len(parts[0]), len(windows.corners)
    whole, cost = _cheapest(config, tuple(level.size for level in levels), count * WINDOW_COST, latents)
    sizes = [config.map_size(resolution) for resolution in config.resolutions[whole : len(levels)]]
    shapes = tuple(
        _Shape(level.size, level.beyond(size), level.grown().beyond(size))
        for level, size in zip(levels[whole:], sizes, strict=True)
    )
    rows = [*chain.from_iterable(zip(*level.corners, strict=True) for level in levels[whole:])]
    if owners is None:
        owners = range(count) if latents > 1 else [0] * count
    places = sent(torch.tensor([*rows, owners]), device)  # at once, and looked at there
    constants = generator, whole, shapes
    cells = max(latents * math.prod(sizes[0]), count * max(shape.size + 2 for shape in shapes) ** 2)
    if device.type in alone.ALONE_ON and cells <= SMALL:  # what costs most are products, which are shared
        return alone.run(partial(_evaluated, *constants), places, *parts)[0]
    if cost > RECORDED_COST:
        return _evaluated(*constants, places, *parts)[0]
    return generator.recordings.run(_evaluated, constants, places, *parts)[0]


class _Shape(NamedTuple):
    """Of the windows on one level."""

    size: int
    beyond: bool  # whether any may reach beyond the map
    grown_beyond: bool  # one cell larger on each side


def _evaluated(
    generator: Generator, whole: int, shapes: tuple[_Shape, ...], places: Tensor, *parts: Tensor
) -> tuple[Tensor]:
    """`evaluate` with the windows of every level from the last block that is run whole.

    places (2 levels + 1, N): of each level top and left, then the latent. parts (S, L, w_dim) each
    """
    config, owners = generator.config, places[-1]
    corners = places[:-1].unflatten(0, (-1, 2)).transpose(1, 2)  # (levels, N, 2)
    levels = [Squares(at, shape.size, shape.beyond) for at, shape in zip(corners, shapes, strict=True)]
    x = cut(generator.trunk(parts, config.resolutions[whole]).features, levels[0], owners)
    if len(parts[0]) > 1:
        parts = tuple(part.index_select(0, owners) for part in parts)  # (N, L, w_dim)
    layers = generator.layers_of(parts)
    for i, (source, windows, shape) in enumerate(zip(levels, levels[1:], shapes[1:], strict=False), whole + 1):
        block, size = generator.synthesis.blocks()[i], config.map_size(config.resolutions[i])
        x = _block(block, x, layers[2 * i - 1 : 2 * i + 1], source, windows, shape.grown_beyond, size)
    return (x,)


def total_cost(config: GeneratorConfig, resolution: int, windows: Windows | None, latents: int = 1) -> float:
    """What the features of a block cost on windows, or whole (None): multiplications per tap, weighed."""
    if windows is None:
        return latents * sum(_whole_cost(config, i) for i in range(config.resolutions.index(resolution) + 1))
    sizes = tuple(level.size for level in _levels(config, resolution, windows))
    return _cheapest(config, sizes, len(windows.corners) * WINDOW_COST, latents)[1]


def _block(
    block: SynthesisBlock,
    x: Tensor,
    ws: Sequence[Tensor],
    source: Squares,
    windows: Squares,
    grown_beyond: bool,
    map_size: tuple[int, int],
) -> Tensor:
    """One block: its input on the windows `source` -> its output on `windows`. ws (1 or N, w_dim) for both layers."""
    assert block.conv0 is not None, "the first block is always run whole"
    needed = Squares(windows.corners - 1, windows.size + 2, grown_beyond)
    styles = block.conv0.affine(ws[0])
    inner = Squares(needed.corners - 2 * source.corners, needed.size, beyond=False)
    x = ops.modulated_doubling(x, block.conv0.weight, styles, inner)
    x = _activated(block.conv0, x, styles, needed, map_size)
    styles = block.conv1.affine(ws[1])
    x = ops.modulated_conv2d(x, block.conv1.weight, styles, padded=False)
    return _activated(block.conv1, x, styles, windows, map_size)


def _activated(layer: SynthesisLayer, x: Tensor, styles: Tensor, windows: Squares, map_size: tuple[int, int]) -> Tensor:
    """Demodulation, noise, bias and activation on windows of a layer's map. x (N, C, s, s)."""
    rows, columns, inside = windows.places(map_size)
    noise = layer.noise_const[rows, columns][:, None] * layer.noise_strength if layer.noisy else None
    x = ops.activate(x, ops.demodulation(styles, layer.power), layer.bias, noise, layer.clamp)
    return x if inside is None else x * inside.to(x)


def _levels(config: GeneratorConfig, resolution: int, windows: Windows) -> list[Windows]:
    """The windows of every block from the first up to that of `resolution`."""
    levels = [windows]
    for _ in range(config.resolutions.index(resolution)):
        levels.insert(0, levels[0].source())
    return levels


@lru_cache(maxsize=1024)  # asked for at every step
def _cheapest(config: GeneratorConfig, sizes: tuple[int, ...], weight: float, latents: int) -> tuple[int, float]:
    """The last block that is better run whole, once for each latent, and what all of it then costs.

    sizes: of the windows on each level from the first block's up; weight: what they cost beside one in a whole map
    """
    wholes = [latents * _whole_cost(config, i) for i in range(len(sizes))]
    windowed = [0.0] + [_window_cost(config, i, sizes) * weight for i in range(1, len(sizes))]
    totals = [sum(wholes[: i + 1]) + sum(windowed[i + 1 :]) for i in range(len(sizes))]
    best = min(range(len(totals)), key=totals.__getitem__)
    return best, totals[best]


def _whole_cost(config: GeneratorConfig, block: int) -> float:
    outs, ins = config.channels[block], config.channels[max(block - 1, 0)]
    cells = config.const_height * config.const_width * 4**block
    return outs * outs * cells + (outs * ins * cells / 4 if block else 0)


def _window_cost(config: GeneratorConfig, block: int, sizes: tuple[int, ...]) -> float:
    outs, ins = config.channels[block], config.channels[block - 1]
    return outs * outs * sizes[block] ** 2 + outs * ins * sizes[block - 1] ** 2
