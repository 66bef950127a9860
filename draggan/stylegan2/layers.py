"""The layers of the synthesis network, each a module of frozen buffers. Knows nothing of latents or pictures."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from draggan.stylegan2 import ops
from draggan.stylegan2.config import GeneratorConfig
from draggan.stylegan2.convolution import arranged

NoiseMode = Literal["const", "none", "random"]


class Dense(nn.Module):
    weight: Tensor
    bias: Tensor

    def __init__(self, ins: int, outs: int, lr_multiplier: float = 1.0) -> None:
        super().__init__()
        self.lr_multiplier = lr_multiplier
        self.register_buffer("weight", torch.empty(outs, ins))
        self.register_buffer("bias", torch.empty(outs))

    def forward(self, x: Tensor) -> Tensor:
        return ops.dense(x, self.weight, self.bias, self.lr_multiplier)


class SynthesisLayer(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias, leaky ReLU (figure 2c of the paper)."""

    weight: Tensor
    bias: Tensor
    noise_const: Tensor
    noise_strength: Tensor
    power: Tensor

    def __init__(self, config: GeneratorConfig, ins: int, outs: int, size: tuple[int, int], up: bool) -> None:
        super().__init__()
        self.up, self.clamp, self.noisy = up, config.conv_clamp, True
        self.affine = Dense(config.w_dim, ins)
        self.register_buffer("weight", torch.empty(outs, ins, 3, 3))
        self.register_buffer("bias", torch.empty(outs))
        self.register_buffer("noise_const", torch.empty(size))
        self.register_buffer("noise_strength", torch.empty(()))
        self.register_buffer("power", torch.empty(outs, ins), persistent=False)  # sums of its squared taps

    def _apply(self, *args: Any, **kwargs: Any) -> "SynthesisLayer":
        """Of `to` and the like: the weight lies as it is read where it is now."""
        super()._apply(*args, **kwargs)
        self.weight = arranged(self.weight, self.up)
        return self

    def arrange(self) -> None:
        """Lays the weight out as the convolutions read it."""
        self.weight = arranged(self.weight, self.up)
        self.prepare()

    def prepare(self) -> None:
        """What does not depend on w."""
        self.power = self.weight.square().sum(dim=(2, 3))
        self.noisy = bool(self.noise_strength != 0)

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode) -> Tensor:
        styles = self.affine(w)
        convolve = ops.modulated_doubling if self.up else ops.modulated_conv2d
        x = convolve(x, self.weight, styles)  # (N, outs, h, w)
        noise = None
        if self.noisy and noise_mode == "const":
            noise = self.noise_const * self.noise_strength
        elif self.noisy and noise_mode == "random":
            noise = torch.randn_like(x[:, :1]) * self.noise_strength
        return ops.activate(x, ops.demodulation(styles, self.power), self.bias, noise, self.clamp)


class ToRGB(nn.Module):
    """Modulated 1 x 1 convolution to colours, without demodulation."""

    weight: Tensor
    bias: Tensor

    def __init__(self, config: GeneratorConfig, ins: int) -> None:
        super().__init__()
        self.clamp = config.conv_clamp
        self.affine = Dense(config.w_dim, ins)
        self.register_buffer("weight", torch.empty(config.img_channels, ins, 1, 1))
        self.register_buffer("bias", torch.empty(config.img_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.clamped(ops.modulated_conv2d(x, self.weight, self.styles(w)) + self.bias[:, None, None])

    def styles(self, w: Tensor) -> Tensor:
        """The factors of the input channels, (N, in). w (N, w_dim)."""
        return self.affine(w) / self.weight.shape[1] ** 0.5

    def clamped(self, colours: Tensor) -> Tensor:
        return colours if self.clamp is None else colours.clamp(-self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """One resolution: the features go up, `torgb` reads a contribution to the picture off them."""

    const: Tensor  # of the first block only

    def __init__(self, config: GeneratorConfig, index: int) -> None:
        super().__init__()
        resolution, outs = config.resolutions[index], config.channels[index]
        size = config.map_size(resolution)
        if index == 0:
            self.register_buffer("const", torch.empty(outs, *size))
            self.conv0 = None
        else:
            self.conv0 = SynthesisLayer(config, config.channels[index - 1], outs, size, up=True)
        self.conv1 = SynthesisLayer(config, outs, outs, size, up=False)
        self.torgb = ToRGB(config, outs)

    def forward(self, x: Tensor | None, ws: Sequence[Tensor], noise_mode: NoiseMode) -> Tensor:
        """x (N, C, h / 2, w / 2) or None at 4 x 4; ws (N, w_dim) for each of its 1 or 2 layers -> (N, C', h, w)."""
        if self.conv0 is None:
            x = self.const.expand(len(ws[-1]), *self.const.shape)  # (N, C, 4, 4)
        else:
            x = self.conv0(x, ws[0], noise_mode)
        return self.conv1(x, ws[-1], noise_mode)
