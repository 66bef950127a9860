"""A picture becomes the latent that the generator makes it of."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from draggan.inversion import invert as module
from draggan.inversion.invert import InversionConfig, invert
from draggan.inversion.likeness import comparisons, psnr, pyramid, squares
from draggan.inversion.survey import nearest, piece_of, previews
from draggan.stylegan2.distribution import Distribution, draw
from tests.networks import tiny_generator

SHORT = InversionConfig(samples=64, candidates=3, refinements=5, steps=20)


@pytest.fixture(scope="module")
def generator():
    return tiny_generator(32, width=2)


@pytest.fixture(scope="module")
def picture(generator):
    return generator.render(generator.latent(9)).clamp(-1, 1)


@pytest.fixture(scope="module")
def steps(picture):
    """Of a generator of which nothing is known yet."""
    return list(invert(tiny_generator(32, width=2), picture, SHORT))


def test_the_generators_own_picture_comes_back(generator, picture):
    *_, last = invert(generator, picture, replace(SHORT, steps=150))
    assert last.psnr() > 23  # of an untrained network, whose pictures are like noise
    assert torch.equal(last.image(), generator.render(last.latent))
    assert last.latent.shape == (1, generator.num_ws, generator.config.w_dim)
    assert not last.latent.requires_grad


def test_each_step_is_the_best_so_far_and_says_how_far_it_is(steps, picture, generator):
    assert [s.stage for s in steps] == ["search"] * 2 + ["refine"] * 5 + ["fit"] * 20
    assert [s.index for s in steps] == list(range(1, 28))
    assert {s.total for s in steps} == {27}
    assert [s.last for s in steps] == [False] * 26 + [True]
    losses = [compared(s.image(), picture) + SHORT.prior * mean_square(generator, s) for s in steps[7:]]
    assert all(b <= a + 1e-5 for a, b in pairwise(losses))
    assert steps[-1].psnr() > steps[0].psnr()


def compared(image, picture):
    return sum(weight * compare(image, picture).item() for weight, compare in comparisons(0, image.device).values())


def mean_square(generator, step):
    return generator.known(Distribution).whitened(step.latent).square().mean().item()


def test_it_stops_when_it_is_asked_no_further(generator, picture):
    step = next(invert(generator, picture, SHORT))
    assert step.psnr() == pytest.approx(psnr(generator.render(step.latent), picture))


def test_of_the_candidates_the_nearest_is_shown_and_goes_on_at_full_size(generator, monkeypatch):
    seen, descend = [], module._descend

    def spied(*given):
        for fit in descend(*given):
            seen.append(fit)
            yield fit

    monkeypatch.setattr(module, "_descend", spied)
    picture = generator.render(generator.latent(10)).clamp(-1, 1)  # whose nearest is not the first, small or whole
    steps = list(invert(generator, picture, replace(SHORT, steps=1)))
    distribution = generator.known(Distribution)
    assert len(seen[0].codes) == 3
    for step, fit in zip(steps[-6:-1], seen[:5], strict=True):
        shown = distribution.whitened(step.latent)
        assert torch.allclose(shown[0, 0], fit.codes[fit.losses.argmin(), 0], atol=1e-4)
    refined, first = seen[4].codes, seen[5].codes
    latents = distribution.coloured(refined).expand(-1, generator.num_ws, -1)
    wholes = torch.stack([pyramid(generator.render(each[None]), picture)[0] for each in latents])
    assert torch.equal(first[0, 0], refined[wholes.argmin(), 0])


def test_fewer_samples_than_are_drawn_at_once_are_enough(picture):
    generator = tiny_generator(32, width=2)
    steps = list(invert(generator, picture, replace(SHORT, samples=10, steps=1, refinements=0)))
    assert [step.stage for step in steps] == ["search", "fit"]
    assert steps[-1].last
    assert steps[0].total == 2
    next(invert(generator, picture, replace(SHORT, samples=70)))
    assert [generator.knows(piece_of, piece) for piece in range(3)] == [True, True, False]


def test_it_is_the_same_each_time_and_touches_nothing(generator, picture, steps):
    before = {name: t.clone() for name, t in generator.state_dict().items()}
    with torch.inference_mode():
        *_, last = invert(generator, picture.clone(), SHORT)
    assert torch.equal(last.latent, steps[-1].latent)
    assert all(torch.equal(t, before[name]) for name, t in generator.state_dict().items())


def test_what_is_known_of_a_generator_serves_the_next_picture(generator, picture, steps):
    next(invert(generator, picture, replace(SHORT, samples=256)))  # of which some are looked at now
    *_, last = invert(generator, picture, SHORT)
    again = list(invert(generator, picture, SHORT))
    assert [s.stage for s in again] == ["refine"] * 5 + ["fit"] * 20
    assert torch.equal(again[-1].latent, steps[-1].latent)
    assert torch.equal(last.latent, steps[-1].latent)


def test_the_prior_keeps_the_latent_near_the_models_own(generator):
    noise = torch.rand(1, 3, 32, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    far, near = ([*invert(generator, noise, replace(SHORT, prior=p))][-1] for p in (0.0, 1.0))
    distribution = generator.known(Distribution)
    assert distribution.distance(near.latent) < distribution.distance(far.latent)


def test_the_nearest_latents_are_the_nearest(generator):
    latents, _ = generator.known(piece_of, 1)
    picture = generator.render(latents[11:12, None].expand(-1, generator.num_ws, -1))
    found = nearest(generator, picture, 2, 3)
    assert found.shape == (3, generator.config.w_dim)
    assert torch.equal(found[0], latents[11])
    assert not torch.equal(nearest(generator, picture, 1, 1)[0], latents[11]), "which is not of the first piece"


def test_small_pictures_have_the_colours_of_whole_ones():
    generator = tiny_generator(128)
    coarse, fine = previews(generator)
    assert (coarse.resolution, fine.resolution) == (32, 64)
    ws = draw(generator, 8)[:, None].expand(-1, generator.num_ws, -1)
    small, whole = coarse(generator, ws), coarse.shrunk(generator.render(ws))
    assert small.shape == whole.shape == (8, 3, 32, 32)
    assert torch.allclose(small.mean(dim=(0, 2, 3)), whole.mean(dim=(0, 2, 3)), atol=1e-4)


def test_in_whitened_coordinates_the_models_latents_have_unit_variance():
    generator = tiny_generator(c_dim=3)
    distribution, w = Distribution(generator), draw(generator, 8192)
    v = distribution.whitened(w)
    assert v.mean(dim=0).abs().max() < 1e-3
    assert v.var(dim=0).max() < 1.001
    assert torch.allclose(distribution.coloured(v), w, atol=1e-4)


def test_vgg16_is_used_where_its_weights_are_and_it_is_said(generator, picture, monkeypatch, steps, vgg16_home):
    assert steps[-1].losses == ("pyramid", "squares")
    monkeypatch.setenv("TORCH_HOME", str(vgg16_home))
    *_, last = invert(generator, picture, replace(SHORT, steps=2))
    assert last.losses == ("pyramid", "squares", "VGG16")
    assert next(invert(generator, picture, replace(SHORT, perceptual=0.0))).losses == ("pyramid", "squares")


def test_the_pyramid_sees_shifts_of_colour_and_of_edges():
    grey = torch.zeros(1, 3, 32, 16)
    assert pyramid(grey, grey).item() == 0
    assert pyramid(grey + 0.5, grey).item() == pytest.approx(1.0)  # at 32 and at 16 pixels, without gradients
    stripes = grey.clone()
    stripes[..., ::2] = 0.5
    assert pyramid(stripes, grey).item() > pyramid(grey + 0.25, grey).item()


def test_psnr_is_of_what_is_shown():
    black = torch.full((1, 3, 4, 4), -1.0)
    assert psnr(black, black) == math.inf
    assert psnr(black - 5, black) == math.inf
    assert psnr(black + 0.2, black) == pytest.approx(20.0)


def test_what_lies_beyond_white_and_black_is_not_compared():
    black = torch.full((2, 3, 4, 4), -1.0)
    assert squares(black - 5, black[:1]).tolist() == [0, 0]
    assert squares(black + 1, black[:1]).tolist() == [1, 1]


def test_bad_input_is_told(generator, picture):
    with pytest.raises(ValueError, match=r"picture of shape \(1, 3, 8, 8\).*needs \(1, 3, 32, 16\)"):
        invert(generator, picture[..., :8, :8])
    for field, value in (("lr", 0), ("steps", 0), ("prior", -1), ("refinements", -1)):
        with pytest.raises(ValueError, match=field):
            InversionConfig(**{field: value})
