"""Inversion and tuning as one run."""

import copy

import pytest
import torch
import torch.nn.functional as F

from draggan.inversion.invert import InversionConfig, invert
from draggan.inversion.likeness import psnr
from draggan.inversion.reconstruct import reconstruct
from draggan.stylegan2 import convolution
from draggan.stylegan2.delta import changed
from tests.networks import tiny_generator

SHORT = InversionConfig(samples=64, candidates=3, refinements=2, steps=3)


@pytest.fixture(scope="module")
def generator():
    return tiny_generator(64)


@pytest.fixture(scope="module")
def picture(generator):
    return generator.render(generator.latent(9)).clamp(-1, 1)


def test_it_is_the_inversion_and_then_the_tuning_of_what_it_found(generator, picture):
    *_, alone = invert(generator, picture, SHORT)
    run = reconstruct(generator, picture, SHORT)
    found = next(best for best in run if best.step.last)
    assert torch.equal(found.latent, alone.latent)
    assert found.psnr() == alone.psnr()
    assert found.delta() is None
    first, last = next(run), next(run)
    assert first.step.index == 0
    assert torch.equal(last.latent, alone.latent)
    assert (last.found.last, last.step.index, last.step.last) == (True, 1, False)


def test_each_one_can_be_used(generator, picture):
    run = reconstruct(generator, picture, SHORT)
    for best in run:
        if best.tuned and best.step.index == 12:
            break
    image = changed(generator, best.delta()).render(best.latent)
    assert psnr(image, picture) == pytest.approx(best.psnr(), abs=0.05), "16 bits a weight"
    assert psnr(image, best.image()) > 50
    assert best.psnr() > best.found.psnr()


def test_without_tuning_the_weights_stay(generator, picture):
    *_, last = reconstruct(generator, picture, SHORT, tuning=False)
    assert last.step is last.found
    assert last.found.last
    assert torch.equal(last.image(), generator.render(last.latent))


def test_what_is_pooled_with_gradients_lies_plainly_where_the_weights_do(generator, picture, monkeypatch):
    """Where they must, the device has no gradients of pooled maps that lie otherwise."""
    pooled, real = [], F.avg_pool2d

    def seen(x, *args, **named):
        if x.requires_grad:
            pooled.append(x.is_contiguous())
        return real(x, *args, **named)

    monkeypatch.setattr(F, "avg_pool2d", seen)
    monkeypatch.setattr(convolution, "PLAIN_ON", ("cpu",))
    assert list(reconstruct(copy.deepcopy(generator).to("cpu"), picture, SHORT))[-1].step.last
    assert pooled
    assert all(pooled)
