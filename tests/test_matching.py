"""Where a handle lies, and how its place moves with the latent: against known shifts and finite differences."""

import pytest
import torch

from draggan.engine.features import whole
from draggan.engine.matching import describe, lattice, locate, motion, slopes
from draggan.engine.views import around
from draggan.geometry import Point, inside, square, to_tensor
from draggan.stylegan2.generator import Trunk
from tests.networks import tiny_generator


@pytest.fixture(scope="module")
def exact():
    """A generator in double precision, a latent of it, two handles, and the patch they are described by."""
    generator = tiny_generator(64).double()
    latent = generator.latent(1).double()
    return generator, latent, (Point(20.3, 22.6), Point(44.2, 37.7)), square(1, latent) * 1.5


def pattern(shift, size=48):
    """A smooth map, shifted by (dx, dy) pixels. shift (.., 2) -> (1, 4, size, size)"""
    y, x = torch.meshgrid(torch.arange(size).to(shift), torch.arange(size).to(shift), indexing="ij")
    dx, dy = shift.unbind(-1)
    waves = [torch.sin((x - dx) / s) + torch.cos((y - dy) / t) for s, t in ((3, 5), (4, 3), (6, 4), (5, 7))]
    return torch.stack(waves)[None]


def derivative(moved, latents):
    """J of (N, 2) that changes with latents (N, L, w_dim), one for each handle. -> (N, 2, L, w_dim)"""
    rows = [torch.autograd.grad(moved[:, i].sum(), latents, retain_graph=True)[0] for i in (0, 1)]
    return torch.stack(rows, dim=1)


def test_descriptors_are_of_length_one_whatever_the_brightness(exact):
    generator, latent, places, patch = exact
    trunk, handles = generator.trunk(latent, 64), to_tensor(places, latent)[:, None]
    found, brighter = (
        describe(whole(Trunk((light * trunk.features,)), (64, 64), 2), handles, patch)[:, 0] for light in (1, 3)
    )
    torch.testing.assert_close(found.norm(dim=1), torch.ones_like(found[:, 0]))
    torch.testing.assert_close(found, brighter)


def test_a_lattice_knows_the_points_of_each_patch():
    patch = square(1, torch.zeros(1)) * 3
    near = lattice(patch, 5, 2)
    torch.testing.assert_close(near.offsets, 2 * square(2, patch))
    torch.testing.assert_close(near.points[near.at], near.offsets[:, None] + patch)
    assert len(near.points.unique(dim=0)) == len(near.points)


def test_what_is_shifted_moves_with_the_shift():
    latents = torch.zeros(1, 1, 2, dtype=torch.float64, requires_grad=True)  # dx, dy
    features = whole(Trunk((pattern(latents[0, 0]),)), (48, 48), 1)
    place = torch.tensor([[24.0, 23.0]], dtype=torch.float64)
    moved, _ = motion(features, place, square(1, place) * 2)
    jacobian = derivative(moved, latents)
    torch.testing.assert_close(jacobian[0, :, 0], torch.eye(2, dtype=torch.float64), atol=0.15, rtol=0)


def test_the_derivative_agrees_with_finite_differences(exact):
    generator, latent, places, patch = exact
    handles = to_tensor(places, latent)

    def features(w):
        moving = w[:, :6].expand(2, -1, -1).clone().requires_grad_()
        ws = torch.cat([moving, latent[:, 6:].expand(2, -1, -1)], dim=1)
        return around(generator, ws, 64, places, 8), moving

    here, moving = features(latent)
    jacobian = derivative(motion(here, handles, patch)[0], moving)
    slope = slopes(here.detach(), handles, patch)
    inverse = torch.linalg.inv(slope @ slope.transpose(1, 2) + 1e-3 * torch.eye(2, dtype=torch.float64)) @ slope
    for seed in range(3):
        way = torch.randn(6, latent.shape[2], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        plus, minus = (
            describe(features(latent[:, :6] + sign * 1e-6 * way)[0], handles[:, None], patch)[:, 0] for sign in (1, -1)
        )
        measured = -(inverse @ ((plus - minus) / 2e-6)[:, :, None])[:, :, 0]  # (2, 2)
        torch.testing.assert_close(jacobian.flatten(2) @ way.flatten(), measured, rtol=1e-4, atol=1e-6)


def test_how_surely_a_handle_is_held_is_the_smaller_eigenvalue(exact):
    generator, latent, places, patch = exact
    features, handles = around(generator, latent, 64, places, 8), to_tensor(places, latent)
    slope = slopes(features, handles, patch)
    expected = torch.linalg.eigvalsh(slope @ slope.transpose(1, 2))[:, 0]
    torch.testing.assert_close(motion(features, handles, patch)[1], expected)


def test_each_handle_is_looked_for_in_its_own_surroundings(exact):
    generator, latent, places, patch = exact
    ws = torch.cat([latent, generator.latent(2).double()])  # to each handle a latent of its own
    handles, near = to_tensor(places, latent), lattice(patch, 2)
    templates = describe(around(generator, ws, 64, places, 8), handles[:, None] + 1.4, patch)[:, 0]
    found = locate(around(generator, ws, 64, places, 8), handles, templates, patch, near)
    for i in (0, 1):
        here = around(generator, ws[i : i + 1], 64, places[i : i + 1], 8)
        alone = locate(here, handles[i : i + 1], templates[i : i + 1], patch, near)
        torch.testing.assert_close(found[i : i + 1], alone)
    assert (found - handles - 1.4).abs().max() < 0.5


def test_each_handle_has_its_own_gradient(exact):
    generator, latent, places, _ = exact
    ws = latent.expand(2, -1, -1).clone().requires_grad_()
    features = around(generator, ws, 64, places, 4)
    everywhere = whole(generator.trunk(latent, 64), generator.image_size, 2)
    points = to_tensor(places, latent)[:, None]
    torch.testing.assert_close(features.sample(points), everywhere.sample(points))
    (gradient,) = torch.autograd.grad(features.sample(points)[0].sum(), ws)
    assert gradient[0].abs().max() > 0
    assert gradient[1].abs().max() == 0


def moved(dx, dy, side=48):
    """A pattern of 48 cells, shifted by as many, in a picture of `side` pixels."""
    return whole(Trunk((pattern(torch.tensor([dx, dy])),)), (side, side), 1)


@pytest.mark.parametrize("grain", [1, 2, 4])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.4, -1.3), (-3.0, 3.6)])
def test_a_moved_pattern_is_found_between_pixels(shift, grain):
    place = torch.tensor([[24.0, 23.0]]) * grain + (grain - 1) / 2
    patch = square(1, place) * 2 * grain
    template = describe(moved(0.0, 0.0, 48 * grain), place[:, None], patch)[:, 0]
    found = locate(moved(*shift, 48 * grain), place, template, patch, lattice(patch, 5 * grain, grain), grain)
    torch.testing.assert_close(found, place + grain * torch.tensor([shift]), atol=0.15 * grain, rtol=0)


@pytest.mark.parametrize("at", [(21.3, 23.6), (45.2, 1.2)], ids=["middle", "corner"])
@pytest.mark.parametrize(("spacing", "half_width"), [(1, 3), (2, 5), (3, 1.4)])
def test_the_nearest_descriptor_of_all_is_found(spacing, half_width, at):
    """Beside a plain search: every place of the picture described by itself."""
    place = torch.tensor([at])
    patch = square(1, place) * spacing
    template = describe(moved(0.0, 0.0), place[:, None] + torch.tensor([2.2, -1.4]), patch)[:, 0]
    places = place[:, None] + square(half_width, place)
    places = places[inside(places, (48, 48))][None]
    far = (describe(moved(0.0, 0.0), places, patch) - template[:, None]).square().sum(dim=2)
    found = locate(moved(0.0, 0.0), place, template, patch, lattice(patch, half_width))
    assert (found - places[0, far.argmin()]).abs().max() <= 1, "refined from there by a pixel at most"
    reached = (describe(moved(0.0, 0.0), found[:, None], patch) - template[:, None]).square().sum()
    assert reached <= far.min()
