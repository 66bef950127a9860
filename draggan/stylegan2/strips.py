"""The upper blocks a few rows at a time: the same picture of one latent, without gradients, in little memory.

Rows stream through the layers from the top down. A layer takes strips of its input, keeps the last two rows for the
next one, because its kernel reaches one row up and one down, and gives strips of its output. So nothing is computed
twice, no map is ever whole, and what a layer leaves is still in the processor's cache when the next one reads it. The
weights of these layers are small: modulation, demodulation and gain are multiplied into them.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.stylegan2 import ops
from draggan.stylegan2.layers import NoiseMode, SynthesisBlock, SynthesisLayer, ToRGB
from draggan.stylegan2.lowpass import blur

ROWS = 16  # of the first map that are taken at a time


def colours(
    blocks: Sequence[SynthesisBlock], features: Tensor, ws: Sequence[Tensor], noise_mode: NoiseMode
) -> list[Tensor]:
    """What the blocks above a feature map add to the picture: for each (1, 3, h, w), the size of its map.

    features (1, C, h, w): what the first of them reads. ws (1, w_dim) for each layer from there on: three a block, of
    which the last, for the colours, is also the first of the next block.
    """
    maps: list[Tensor] = []
    rows = ROWS if features.device.type == "cpu" else features.shape[2]  # an accelerator takes a map whole
    strips: Iterable[Tensor] = features.split(rows, dim=2)
    for i, block in enumerate(blocks):
        assert block.conv0 is not None, "the first block has no map below it"
        first, second, third = ws[2 * i : 2 * i + 3]
        strips = _layer(block.conv0, strips, first, noise_mode)
        strips = _layer(block.conv1, strips, second, noise_mode)
        maps.append(features.new_empty(1, len(block.torgb.weight), *block.conv1.noise_const.shape))
        strips = _seen(block.torgb, strips, third, maps[-1])
    for _ in strips:
        pass
    return maps


def _layer(layer: SynthesisLayer, strips: Iterable[Tensor], w: Tensor, noise_mode: NoiseMode) -> Iterator[Tensor]:
    """Strips of a layer's input (1, in, n, w) -> strips of its output (1, out, n', w'), from the top down."""
    styles = layer.affine(w)  # (1, in)
    scale = ops.demodulation(styles, layer.power) * ops.LRELU_GAIN  # (1, out)
    weight = (layer.weight * styles[0, :, None, None] * scale[0, :, None, None, None]).to(layer.weight.dtype)
    bias = layer.bias * ops.LRELU_GAIN
    noise = layer.noise_const * (layer.noise_strength * ops.LRELU_GAIN)  # (h', w')
    above, taken, given = None, 0, 0
    for x in strips:
        taken += x.shape[2]
        x, above = _joined(above, x, last=taken * (2 if layer.up else 1) == len(noise))
        if layer.up:
            x = F.conv_transpose2d(x.to(weight.dtype), weight.transpose(0, 1), stride=2, padding=(1, 0))
            x = blur(x.to(bias.dtype), gain=4, padding=(0, 1), bias=bias)  # (1, out, 2 n - 4, 2 w)
        else:
            x = F.conv2d(x.to(weight.dtype), weight, bias.to(weight.dtype), padding=(0, 1)).to(bias.dtype)
        rows = slice(given, given + x.shape[2])
        if layer.noisy and noise_mode == "const":
            x += noise[rows]
        elif layer.noisy and noise_mode == "random":
            x += torch.randn_like(x[:, :1]) * (layer.noise_strength * ops.LRELU_GAIN)
        F.leaky_relu_(x, ops.LRELU_SLOPE)
        given = rows.stop
        yield x if layer.clamp is None else x.clamp_(-layer.clamp, layer.clamp)


def _joined(above: Tensor | None, strip: Tensor, last: bool) -> tuple[Tensor, Tensor]:
    """A strip with the two rows above it, and its own last two; beyond the map's first and last row there are zeros."""
    outside = torch.zeros_like(strip[:, :, :1])
    joined = torch.cat([outside if above is None else above, strip, *[outside] * last], dim=2)
    return joined, strip[:, :, -2:].clone()


def _seen(torgb: ToRGB, strips: Iterable[Tensor], w: Tensor, image: Tensor) -> Iterator[Tensor]:
    """The strips as they come; their colours are written into image (1, 3, h, w)."""
    weight, row = torgb.weight * torgb.styles(w)[0, :, None, None], 0
    for strip in strips:
        colours = F.conv2d(strip, weight, torgb.bias)  # (1, 3, n, w)
        image[:, :, row : row + strip.shape[2]] = torgb.clamped(colours)
        row += strip.shape[2]
        yield strip
