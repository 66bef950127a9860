"""What a step holds in memory: tensors, counted as they come and go, because resident memory says other things too."""

import weakref
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from draggan.engine.engines import drag, engine_of
from draggan.geometry import DragPair, Point
from draggan.stylegan2.generator import Generator
from tests.networks import random_tensors, tiny_config


class Alive(TorchDispatchMode):
    """Counts the bytes of the tensors made while it is open: those alive now, and the most at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self.count(tensor.untyped_storage())
        return made

    def count(self, storage: torch.UntypedStorage) -> None:
        name, size = storage._cdata, storage.nbytes()
        if name not in self.known:
            self.known.add(name)
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self.forget, name, size)

    def forget(self, name: int, size: int) -> None:
        self.known.discard(name)
        self.now -= size


def generator_of(resolution):
    """Wide enough that feature maps are most of what a step holds."""
    config = tiny_config(resolution)
    config = replace(config, channels=(32,) * len(config.channels))
    return Generator(config, random_tensors(config))


def held_by_a_step(generator, name, count):
    """Bytes of the step after the first, with handles all over the picture."""
    engine, size = engine_of(name), generator.image_size[0]
    rng = torch.Generator().manual_seed(3)
    places = (torch.rand(count, 2, generator=rng) * (size - 1)).round().tolist()
    pairs = [DragPair(Point(x, y), Point(size - 1 - x, size - 1 - y)) for x, y in places]
    steps = drag(generator, generator.latent(1), pairs, None, engine.settings(max_steps=2, tolerance=1e-6))
    next(steps)
    with Alive() as alive:
        next(steps)
    return alive.most


def held_by_whole_maps(generator):
    latent = generator.latent(1).requires_grad_()
    with Alive() as alive:
        torch.autograd.grad(generator.trunk(latent, 128).features.sum(), latent)
    return alive.most


def test_alive_counts_what_is_alive():
    with Alive() as alive:
        part = torch.ones(1000)[:10]
        assert alive.now == 4000
        del part
        torch.ones(10)
    assert (alive.now, alive.most) == (0, 4000)


@pytest.mark.parametrize("name", ["draggan", "kinematics"])
def test_many_points_need_no_more_than_whole_maps(name):
    generator = generator_of(256)
    assert held_by_a_step(generator, name, 68) < held_by_whole_maps(generator)


@pytest.mark.parametrize("name", ["draggan", "kinematics"])
def test_a_large_picture_needs_little_more_than_a_small_one(name):
    small, large = (held_by_a_step(generator_of(size), name, 10) for size in (256, 1024))
    assert large < 2 * small
