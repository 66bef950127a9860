"""Generators of the published shapes with random weights: as slow as the trained ones."""

from draggan.stylegan2.config import GeneratorConfig
from draggan.stylegan2.generator import Generator
from tests.networks import random_tensors


def config_f(resolution: int) -> GeneratorConfig:
    """The shape of config-f (Karras et al. 2020): channel base 32768, at most 512, z and w 512, 8 mapping layers."""
    resolutions = tuple(4 << i for i in range((resolution // 4).bit_length()))
    channels = tuple(min(512, 32768 // r) for r in resolutions)
    return GeneratorConfig(512, 512, 0, 8, resolutions, channels)


def random_generator(resolution: int) -> Generator:
    """A network of that shape."""
    config = config_f(resolution)
    return Generator(config, random_tensors(config))
