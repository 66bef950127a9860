"""Small generators with random weights, for tests that need a network but not a trained one."""

import torch
from torch import Tensor

from draggan.stylegan2.config import GeneratorConfig
from draggan.stylegan2.generator import Generator


def random_tensors(config: GeneratorConfig, seed: int = 0) -> dict[str, Tensor]:
    """Tensors as an untrained network of this config has them, with noise and biases that matter."""
    rng = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in config.tensor_shapes().items():
        scale = 1.0
        if name.endswith((".bias", "noise_strength")):
            scale = 0.1
        elif name.startswith("mapping.fc") and name.endswith("weight"):
            scale = 1 / config.mapping_lr_multiplier
        elif name.startswith("synthesis.") and name.endswith("affine.weight"):
            scale = 0.3
        tensors[name] = torch.randn(shape, generator=rng) * scale
        if name.endswith("affine.bias"):
            tensors[name] += 1
    return tensors


def tiny_config(resolution: int = 32, *, width: int = 4, c_dim: int = 0, conv_clamp: float | None = None):
    """A generator of 8 channels whose pictures are `resolution` pixels high; width 2 makes them half as wide."""
    blocks = tuple(4 << i for i in range((resolution // 4).bit_length()))
    return GeneratorConfig(
        z_dim=16,
        w_dim=12,
        c_dim=c_dim,
        num_mapping_layers=2,
        resolutions=blocks,
        channels=(8,) * len(blocks),
        const_width=width,
        conv_clamp=conv_clamp,
    )


def tiny_generator(resolution: int = 32, *, seed: int = 0, **facts) -> Generator:
    config = tiny_config(resolution, **facts)
    return Generator(config, random_tensors(config, seed))
