"""Generators of the published shapes with random weights: as slow as the trained ones."""

import torch

from draggan.stylegan2.config import GeneratorConfig
from draggan.stylegan2.generator import Generator


def config_f(resolution: int) -> GeneratorConfig:
    """The shape of config-f (Karras et al. 2020): channel base 32768, at most 512, z and w 512, 8 mapping layers."""
    resolutions = tuple(4 << i for i in range((resolution // 4).bit_length()))
    channels = tuple(min(512, 32768 // r) for r in resolutions)
    return GeneratorConfig(512, 512, 0, 8, resolutions, channels)


def random_generator(config: GeneratorConfig, seed: int = 0) -> Generator:
    """Weights as at the start of training, with a little noise."""
    rng = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in config.tensor_shapes().items():
        scale = 0.1 if name.endswith((".bias", "noise_strength")) else 1.0
        if name.startswith("mapping.fc") and name.endswith("weight"):
            scale = 1 / config.mapping_lr_multiplier
        tensors[name] = torch.randn(shape, generator=rng) * scale
        if name.endswith("affine.bias"):
            tensors[name] += 1
    return Generator(config, tensors)
