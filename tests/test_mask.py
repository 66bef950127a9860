"""The mask term: over the whole map, and estimated from windows."""

import pytest
import torch

from draggan.engine import mask as m
from draggan.engine.features import whole
from draggan.engine.mask import hold
from draggan.engine.views import around
from draggan.geometry import Point
from tests.networks import tiny_generator


@pytest.fixture(scope="module", params=[4, 2], ids=["square", "high"])
def scene(request):
    """A generator, what a mask holds, and another latent with the features around a handle."""
    generator = tiny_generator(64, width=request.param).double()
    origin = generator.latent(1).double()
    mask = torch.zeros(generator.image_size)
    mask[:20, 5:] = 1
    ws = (origin + 0.1 * torch.randn(origin.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    return generator, hold(generator, origin, mask, 64), ws, around(generator, ws, 64, [Point(9, 9)], 3)


@pytest.fixture(autouse=True)
def cheap_windows(monkeypatch):
    """Windows pay even on a tiny network."""
    monkeypatch.setattr("draggan.stylegan2.windows.WINDOW_COST", 1e-3)


def test_the_loss_is_the_mean_over_map_and_channels(scene):
    generator, held, ws, _ = scene
    features = generator.trunk(ws, 64).features
    change, fixed = (features - held.reference).abs(), held.fixed.expand_as(features)
    total = sum((c * f).item() for c, f in zip(change.flatten(), fixed.flatten(), strict=True) if f > 0)
    assert held.loss(features).item() == pytest.approx(total / features.numel())


def test_a_mask_is_averaged_to_cells():
    generator = tiny_generator(64)
    mask = torch.zeros(64, 64)
    mask[:3] = 1
    fixed = hold(generator, generator.latent(1), mask, 16).fixed
    assert fixed[0, 0, :, 0].tolist() == [0.25] + [1.0] * 15


def test_nothing_has_changed_at_the_origin(scene):
    generator, held, _, _ = scene
    origin = generator.latent(1).double()
    features = around(generator, origin, 64, [Point(9, 9)], 3)
    assert held.estimate(generator, origin, features, 4, 0).item() < 1e-12


@pytest.mark.parametrize("step", range(3))
def test_all_windows_together_are_the_loss(scene, step):
    generator, held, ws, features = scene
    expected = held.loss(generator.trunk(ws, 64).features)
    estimate = held.estimate(generator, ws, features, 10**6, step)
    torch.testing.assert_close(estimate, expected)
    for a, b in zip(*(torch.autograd.grad(x, ws, retain_graph=True) for x in (estimate, expected)), strict=True):
        torch.testing.assert_close(a, b)


def test_the_estimate_is_unbiased(scene):
    generator, held, ws, features = scene
    expected = held.loss(generator.trunk(ws, 64).features).item()
    with torch.no_grad():
        estimates = torch.stack([held.estimate(generator, ws, features, 3, step) for step in range(300)])
    error = estimates.std().item() / 300**0.5
    assert estimates.std().item() > 0
    assert abs(estimates.mean().item() - expected) < 4 * error


def test_the_draw_depends_on_the_step_alone(scene):
    generator, held, ws, features = scene
    first, again, other = (held.estimate(generator, ws, features, 2, step).item() for step in (5, 5, 6))
    assert first == again != other


def test_the_whole_map_where_it_is_known_or_cheaper(scene, monkeypatch):
    generator, held, ws, features = scene
    expected = held.loss(generator.trunk(ws, 64).features).item()
    known = whole(generator.trunk(ws, 64), generator.image_size, 1)
    assert held.estimate(generator, ws, known, 1, 0).item() == pytest.approx(expected)
    assert held.estimate(generator, ws, features, None, 0).item() == pytest.approx(expected)
    monkeypatch.setattr("draggan.stylegan2.windows.WINDOW_COST", 1e6)
    assert held.estimate(generator, ws, features, 1, 0).item() == pytest.approx(expected)


def test_tiles_cover_what_is_fixed_and_no_more(scene):
    _, held, _, _ = scene
    for step in range(20):
        tiles = held._tiles(torch.Generator().manual_seed(step))
        assert len(set(tiles)) == len(tiles)
        seen = torch.zeros_like(held.fixed[0, 0])
        for top, left in tiles:
            part = held.fixed[0, 0, max(top, 0) : top + m.TILE, max(left, 0) : left + m.TILE]
            assert part.max() > 0
            seen[max(top, 0) : top + m.TILE, max(left, 0) : left + m.TILE] += 1
        assert (seen[held.fixed[0, 0] > 0] == 1).all()
