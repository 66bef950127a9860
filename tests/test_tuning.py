"""The weights move so that a latent makes a picture, and the shared generator does not."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from draggan.inversion.likeness import comparisons, psnr
from draggan.inversion.tuning import TuningConfig, tune
from draggan.stylegan2.delta import Delta, changed
from tests.networks import tiny_generator

SHORT = TuningConfig(steps=60, lr=0.02, first_block=32, anchors=3, locality=0.5)  # a large step wants a firm hold


@pytest.fixture(scope="module")
def generator():
    return tiny_generator(64, width=2)


@pytest.fixture(scope="module")
def latent(generator):
    return generator.latent(4)


@pytest.fixture(scope="module")
def picture(generator, latent):
    """What the latent makes with other weights of the last blocks."""
    rng, tensors = torch.Generator().manual_seed(0), generator.state_dict()
    names = [f"synthesis.b{r}.{conv}.weight" for r in (32, 64) for conv in ("conv0", "conv1")]
    other = {name: (torch.randn(tensors[name].shape, generator=rng) * 0.15).half() for name in names}
    return changed(generator, Delta(other)).render(latent).clamp(-1, 1)


@pytest.fixture(scope="module")
def steps(generator, latent, picture):
    return list(tune(generator, latent, picture, SHORT))


def test_the_latent_makes_the_picture_better(generator, latent, picture, steps):
    assert steps[0].psnr == pytest.approx(psnr(generator.render(latent), picture), abs=1e-3)
    assert steps[-1].psnr > steps[0].psnr + 3
    tuned = changed(generator, steps[-1].delta())
    assert psnr(tuned.render(latent), picture) == pytest.approx(steps[-1].psnr, abs=0.02)  # in half precision
    assert psnr(tuned.render(latent), steps[-1].image()) > 50


def test_before_the_first_step_nothing_has_changed(generator, latent, steps):
    tuned = changed(generator, steps[0].delta())
    assert torch.equal(tuned.render(latent), generator.render(latent))


def test_steps_are_numbered_and_each_is_the_best_so_far(steps):
    assert [s.index for s in steps] == list(range(61))
    assert [s.last for s in steps] == [False] * 60 + [True]
    assert steps[-1].psnr > max(s.psnr for s in steps) - 0.5  # the best by the loss, which is not the PSNR alone
    assert steps[-1].losses == ("pyramid", "squares")


def test_with_a_step_too_large_the_best_so_far_is_kept(generator, latent):
    picture, losses = generator.render(generator.latent(5)).clamp(-1, 1), []
    for step in tune(generator, latent, picture, replace(SHORT, steps=12, lr=0.5)):
        compare = comparisons(0, generator.device).values()
        losses.append(sum(weight * loss(step.image(), picture).item() for weight, loss in compare))
    assert all(b <= a + 1e-6 for a, b in pairwise(losses))


def test_only_the_last_blocks_change_and_the_generator_does_not(generator, latent, picture):
    before = {name: t.clone() for name, t in generator.state_dict().items()}
    *_, last = tune(generator, latent, picture, replace(SHORT, steps=2))
    delta = last.delta()
    assert all(name.startswith(("synthesis.b32.", "synthesis.b64.")) for name in delta.changes)
    assert all(change.dtype == torch.float16 for change in delta.changes.values())
    assert all(torch.equal(t, before[name]) for name, t in generator.state_dict().items())
    assert not any(t.requires_grad for t in generator.state_dict().values())


def test_what_keeps_other_pictures_keeps_them(generator, latent, picture):
    others = torch.cat([generator.latent(seed) for seed in range(50, 58)])
    kept = []
    for locality in (0.0, 3.0):
        *_, last = tune(generator, latent, picture, replace(SHORT, locality=locality))
        kept.append(psnr(changed(generator, last.delta()).render(others), generator.render(others)))
    assert kept[1] > kept[0] + 1


def test_small_maps_pass_gradients_to_the_weights(latent, picture, generator):
    """The convolutions of small maps are made for weights without gradients."""
    *_, last = tune(generator, latent, picture, replace(SHORT, first_block=8, steps=1, lr=1e-4))
    delta = last.delta()
    assert all(delta.changes[f"synthesis.b{r}.{c}.weight"].any() for r in (8, 16, 32, 64) for c in ("conv0", "conv1"))


def test_bad_input_is_told(generator, latent, picture):
    with pytest.raises(ValueError, match="picture of shape"):
        tune(generator, latent, picture[..., :9], SHORT)
    with pytest.raises(ValueError, match="latent of shape"):
        tune(generator, latent[:, :3], picture, SHORT)
    with pytest.raises(ValueError, match=r"first_block 48 is not one of this generator's \(8, 16, 32, 64\)"):
        next(tune(generator, latent, picture, replace(SHORT, first_block=48)))
    for field, value in (("lr", 0), ("steps", 0), ("locality", -1), ("anchors", 0)):
        with pytest.raises(ValueError, match=field):
            TuningConfig(**{field: value})
