"""The StyleGAN2 generator: z -> w -> feature maps -> picture. Knows nothing of files, models or drags.

Names, shapes and numerics of the tensors are those of the StyleGAN2-ADA PyTorch networks, because the pretrained
models come that way. Every tensor is a frozen buffer: gradients reach w and never a weight.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from draggan.stylegan2 import ops
from draggan.stylegan2.config import GeneratorConfig
from draggan.stylegan2.convolution import arranged

NoiseMode = Literal["const", "none", "random"]
Latents = (
    Tensor | Sequence[Tensor]
)  # (N, num_ws, w_dim), or (N, w_dim) for each layer: then some may be without gradient


@dataclass(frozen=True, eq=False)
class Trunk:
    """Synthesis stopped after a block: what `Generator.tail` goes on from."""

    maps: tuple[Tensor, ...]  # the output of each block so far, 4 x 4 first: (N, C_r, h_r, w_r)

    @property
    def features(self) -> Tensor:
        """The feature map F of the last block run. (N, C, h, w)"""
        return self.maps[-1]

    def detach(self) -> "Trunk":
        return Trunk(tuple(m.detach() for m in self.maps))


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
        self.register_buffer("power", torch.empty(outs, ins), persistent=False)  # squares of the weight, by tap

    def arrange(self) -> None:
        """Lays the weight out as the convolutions read it, and prepares what does not depend on w."""
        self.weight = arranged(self.weight, self.up)
        self.power = self.weight.square().sum(dim=(2, 3))
        self.noisy = bool(self.noise_strength != 0)

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode) -> Tensor:
        styles = self.affine(w)
        x = ops.modulated_conv2d(x, self.weight, styles, up=self.up)  # (N, outs, h, w)
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
        styles = self.affine(w) / self.weight.shape[1] ** 0.5
        x = ops.modulated_conv2d(x, self.weight, styles) + self.bias[:, None, None]
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


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


class MappingNetwork(nn.Module):
    """z -> w: an MLP with a small learning rate; with classes, an embedding of the class beside z."""

    w_avg: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.layers = config.num_mapping_layers
        self.register_buffer("w_avg", torch.empty(config.w_dim))
        self.embed = Dense(config.c_dim, config.w_dim) if config.c_dim else None
        ins = config.z_dim + (config.w_dim if config.c_dim else 0)
        for i in range(self.layers):
            self.add_module(f"fc{i}", Dense(ins, config.w_dim, config.mapping_lr_multiplier))
            ins = config.w_dim

    def forward(self, z: Tensor, c: Tensor | None) -> Tensor:
        x = ops.normalize_second_moment(z)
        if self.embed is not None:
            x = torch.cat([x, ops.normalize_second_moment(self.embed(c))], dim=1)  # (N, z_dim + w_dim)
        for i in range(self.layers):
            x = ops.leaky_relu(getattr(self, f"fc{i}")(x))
        return x  # (N, w_dim)


class SynthesisNetwork(nn.Module):
    """The blocks by their resolution: `b4`, `b8`, ..."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        for i, resolution in enumerate(config.resolutions):
            self.add_module(f"b{resolution}", SynthesisBlock(config, i))

    def blocks(self) -> tuple[SynthesisBlock, ...]:
        return tuple(self.children())  # type: ignore[return-value]


class Generator(nn.Module):
    """A pretrained generator: immutable, shared by everyone who uses it.

    `tensors` are the network's, by their StyleGAN2-ADA names; they must be exactly those of `config`
    (ValueError otherwise). Computes in float32 unless moved to another type.
    """

    def __init__(self, config: GeneratorConfig, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        config.check({name: tuple(t.shape) for name, t in tensors.items()})
        self.config = config
        with torch.device("meta"):
            self.mapping = MappingNetwork(config)
            self.synthesis = SynthesisNetwork(config)
        self.load_state_dict({n: t.detach().float() for n, t in tensors.items()}, strict=True, assign=True)
        for layer in self.modules():
            if isinstance(layer, SynthesisLayer):
                layer.arrange()
        self.eval()

    @property
    def num_ws(self) -> int:
        return self.config.num_ws

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the pictures, in pixels."""
        return self.config.height, self.config.width

    @property
    def device(self) -> torch.device:
        return self.mapping.w_avg.device

    @property
    def dtype(self) -> torch.dtype:
        return self.mapping.w_avg.dtype

    @torch.no_grad()
    def latent(
        self,
        seed: int,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        class_index: int | None = None,
    ) -> Tensor:
        """The latent of a seed: (1, num_ws, w_dim), on the CPU.

        z is `numpy.random.RandomState(seed).randn(1, z_dim)`, as in the published StyleGAN2 tools.
        truncation_psi 0 gives the average picture, 1 the picture as drawn; it applies to the first
        `truncation_cutoff` layers (all when None). A class-conditional generator needs a class_index.
        """
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed {seed} is not in 0 .. {2**32 - 1}")
        z = torch.from_numpy(np.random.RandomState(seed).randn(1, self.config.z_dim))
        c = None
        if self.config.c_dim:
            if class_index is None or not 0 <= class_index < self.config.c_dim:
                raise ValueError(f"class_index {class_index}: this generator needs one of 0 .. {self.config.c_dim - 1}")
            c = torch.eye(self.config.c_dim)[class_index : class_index + 1]
        elif class_index is not None:
            raise ValueError(f"class_index {class_index}: this generator has no classes, leave it out")
        return self.map(z, c, truncation_psi, truncation_cutoff).cpu()

    def map(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """z (N, z_dim), standard normal; c (N, c_dim), one-hot, of a conditional generator -> ws (N, num_ws, w_dim).

        The truncation trick pulls w towards the mean (Karras et al. 2019, appendix B).
        """
        to = {"device": self.device, "dtype": self.dtype}
        w = self.mapping(z.to(**to), None if c is None else c.to(**to))  # (N, w_dim)
        ws = w[:, None].repeat(1, self.num_ws, 1)  # (N, num_ws, w_dim)
        cut = self.num_ws if truncation_cutoff is None else truncation_cutoff
        if truncation_psi != 1:
            ws[:, :cut] = self.mapping.w_avg.lerp(ws[:, :cut], truncation_psi)
        return ws

    def trunk(self, ws: Latents, resolution: int, noise_mode: NoiseMode = "const") -> Trunk:
        """The synthesis blocks up to the one of `resolution`, and no further. ws (N, num_ws, w_dim)."""
        if resolution not in self.config.resolutions:
            raise ValueError(f"no block of resolution {resolution}: this generator has {self.config.resolutions}")
        layers, maps = self._checked(ws, noise_mode), []
        for i, block in enumerate(self.synthesis.blocks()[: self.config.resolutions.index(resolution) + 1]):
            maps.append(block(maps[-1] if maps else None, _of_block(layers, i), noise_mode))
        return Trunk(tuple(maps))

    def tail(self, trunk: Trunk, ws: Latents, noise_mode: NoiseMode = "const") -> Tensor:
        """The rest of the synthesis, from where `trunk` stopped: the picture (N, 3, H, W), about [-1, 1]."""
        layers = self._checked(ws, noise_mode)
        image = x = None
        for i, block in enumerate(self.synthesis.blocks()):
            x = trunk.maps[i] if i < len(trunk.maps) else block(x, _of_block(layers, i), noise_mode)
            rgb = block.torgb(x, layers[2 * i + 1])  # (N, 3, h_r, w_r)
            image = rgb if image is None else ops.upsample2x(image) + rgb
        assert image is not None, "a generator has at least one block"
        return image

    def preview(self, ws: Latents, resolution: int) -> Tensor:
        """What the blocks up to the one of `resolution` put into the picture: small, quick, and nearly the picture.

        ws (N, num_ws, w_dim) -> (N, 3, h, w), the size of that block's map; of the last block the picture itself.
        """
        layers, image = self.layers_of(ws), None
        for i, (block, x) in enumerate(zip(self.synthesis.blocks(), self.trunk(ws, resolution).maps, strict=False)):
            rgb = block.torgb(x, layers[2 * i + 1])
            image = rgb if image is None else ops.upsample2x(image) + rgb
        assert image is not None, "a generator has at least one block"
        return image

    @torch.no_grad()
    def render(self, ws: Tensor, noise_mode: NoiseMode = "const") -> Tensor:
        """The pictures of latents, without gradients. ws (N, num_ws, w_dim) -> (N, 3, H, W), about [-1, 1]."""
        return self.tail(Trunk(()), ws, noise_mode)

    def layers_of(self, ws: Latents) -> tuple[Tensor, ...]:
        """The w of each layer, (N, w_dim), where this generator computes. Raises ValueError for another shape."""
        layers = ws.unbind(1) if isinstance(ws, Tensor) and ws.ndim == 3 else tuple(ws)
        if len(layers) != self.num_ws or any(w.ndim != 2 or w.shape[1] != self.config.w_dim for w in layers):
            shape = tuple(ws.shape) if isinstance(ws, Tensor) else (1, len(layers), *layers[0].shape[1:])
            raise ValueError(f"latent of shape {shape}, expected (N, {self.num_ws}, {self.config.w_dim})")
        return tuple(w.to(device=self.device, dtype=self.dtype) for w in layers)

    def _checked(self, ws: Latents, noise_mode: NoiseMode) -> tuple[Tensor, ...]:
        if noise_mode not in get_args(NoiseMode):
            raise ValueError(f"noise_mode {noise_mode!r} is not one of {', '.join(get_args(NoiseMode))}")
        return self.layers_of(ws)


def _of_block(layers: Sequence[Tensor], block: int) -> Sequence[Tensor]:
    """The w of a block's one or two convolutions."""
    return layers[max(2 * block - 1, 0) : 2 * block + 1]
