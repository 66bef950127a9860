"""The operations of StyleGAN2 (Karras et al. 2020) in plain PyTorch: any device, any float type, no compiled code.

Weights are never differentiated: they are frozen buffers of a pretrained network, so modulation scales the
activations, which is the same sum (section 2.2 of the paper, equations 1 and 3) and needs no weight per sample.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.stylegan2.convolution import conv3x3, doubling3x3
from draggan.stylegan2.squares import Squares

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2)


def normalize_second_moment(x: Tensor) -> Tensor:
    """x (N, C) scaled so that the mean of its squares over C is 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def dense(x: Tensor, weight: Tensor, bias: Tensor, lr_multiplier: float = 1.0) -> Tensor:
    """Fully connected layer with equalised learning rate. x (N, in), weight (out, in), bias (out,) -> (N, out)."""
    return F.linear(x * (lr_multiplier / math.sqrt(weight.shape[1])), weight, bias * lr_multiplier)


def leaky_relu(x: Tensor, clamp: float | None = None) -> Tensor:
    """Leaky ReLU that keeps the second moment (gain sqrt 2), limited to +-`clamp` where the network was trained so."""
    x = F.leaky_relu(x, LRELU_SLOPE) * LRELU_GAIN
    return x if clamp is None else x.clamp(-clamp, clamp)


def upsample2x(image: Tensor) -> Tensor:
    """Zero insertion, then the FIR kernel. image (N, C, h, w) -> (N, C, 2 h, 2 w).

    With the taps [1, 3, 3, 1] that is bilinear interpolation of a picture surrounded by zeros.
    """
    padded = F.pad(image, (1, 1, 1, 1))  # (N, C, h + 2, w + 2)
    doubled = F.interpolate(padded, scale_factor=2, mode="bilinear", align_corners=False)  # (N, C, 2 h + 4, 2 w + 4)
    return doubled[:, :, 2:-2, 2:-2]  # (N, C, 2 h, 2 w)


def modulated_conv2d(x: Tensor, weight: Tensor, styles: Tensor, *, padded: bool = True) -> Tensor:
    """Convolution whose input channels are scaled by `styles`; see `demodulation` for the other half.

    x (N, in, h, w), weight (out, in, k, k), styles (N or 1, in) -> (N, out, h, w). Without `padded` only what needs
    nothing from beside x comes out: for k = 3 (h - 2, w - 2) from place 1 of the padded result on.
    """
    x = x * styles[:, :, None, None]
    if weight.shape[2:] == (1, 1):
        return F.conv2d(x, weight)  # (N, out, h, w)
    return conv3x3(x, weight, padding=1 if padded else 0)  # (N, out, h, w)


def modulated_doubling(x: Tensor, weight: Tensor, styles: Tensor, squares: Squares | None = None) -> Tensor:
    """As `modulated_conv2d`, by a transposed convolution of stride 2 that the low-pass filter follows.

    -> (N, out, 2 h, 2 w), or of these of each sample a square (N, out, s, s), which needs nothing from beside x.
    """
    return doubling3x3(x * styles[:, :, None, None], weight, squares)


def demodulation(styles: Tensor, power: Tensor) -> Tensor:
    """The factor that brings the output of a modulated convolution back to unit variance. -> (N, out)

    styles (N, in); power (out, in): the squares of the weight, summed over its taps.
    """
    return (styles.square() @ power.T + 1e-8).rsqrt()


def activate(x: Tensor, scale: Tensor, bias: Tensor, noise: Tensor | None = None, clamp: float | None = None) -> Tensor:
    """leaky_relu(x * scale + noise + bias), with the fewest passes over x: its gain goes into what is added first.

    x (N, C, h, w), scale (N or 1, C), bias (C,), noise broadcast to x.
    """
    x = torch.addcmul(bias[:, None, None] * LRELU_GAIN, x, scale[:, :, None, None] * LRELU_GAIN)
    if noise is not None:
        x.add_(noise * LRELU_GAIN)
    x = F.leaky_relu_(x, LRELU_SLOPE)
    return x if clamp is None else x.clamp(-clamp, clamp)
