"""Rows of the mask: they measure what changes outside it, and their derivatives say from where."""

import copy

import pytest
import torch

from draggan.engine.fixed import FixedRows, fixed_rows
from tests.networks import tiny_generator


@pytest.fixture(scope="module")
def held():
    generator = tiny_generator(64).double()
    origin = generator.latent(1).double()
    mask = torch.zeros(generator.image_size)
    mask[:20, 5:] = 1
    return generator, origin, FixedRows(generator, origin, mask, 6, 64)


def some(origin, size):
    return origin + size * torch.randn(origin.shape, generator=torch.Generator().manual_seed(1), dtype=origin.dtype)


def test_nothing_has_changed_where_the_drag_began(held):
    _, origin, fixed = held
    assert fixed.at(origin).size == 0


def test_the_change_is_relative_and_its_combinations_have_its_size(held):
    generator, origin, fixed = held
    latent = some(origin, 0.3)
    before, after = (generator.trunk(w, 32).features for w in (origin, latent))
    outside = fixed.held.fixed.expand_as(before)
    expected = ((after - before) * outside).norm() / (before.square().mean() * outside.sum()).sqrt()
    assert fixed.at(latent).size.item() == pytest.approx(expected.item())
    change, *combinations = fixed.at(latent).values
    assert change.item() == pytest.approx(expected.item())
    assert torch.stack(combinations).norm().item() == pytest.approx(expected.item(), rel=0.3)


def test_where_all_may_change_nothing_is_outside():
    """Of a picture that is smaller than the coarsest map."""
    generator = tiny_generator(16)
    origin = generator.latent(1)
    change = FixedRows(generator, origin, torch.ones(16, 16), 4, 3).at(some(origin, 0.3))
    assert change.values.tolist() == [0] * 4
    assert change.rows.abs().max() == 0


def test_its_derivative_is_exact_wherever_the_drag_is(held):
    _, origin, fixed = held
    latent, way = some(origin, 0.3), some(0 * origin, 1.0)
    way[:, 6:] = 0
    rows = fixed.at(latent).rows
    measured = (fixed.at(latent + 1e-6 * way).size - fixed.at(latent - 1e-6 * way).size) / 2e-6
    torch.testing.assert_close(rows[:1].flatten(1) @ way[0, :6].flatten(), measured, rtol=1e-4, atol=1e-6)


def test_the_combinations_have_their_derivatives_where_the_drag_began(held):
    _, origin, fixed = held
    way = some(0 * origin, 1.0)
    way[:, 6:] = 0
    plus, minus = (fixed.at(origin + sign * 1e-6 * way).values[1:] for sign in (1, -1))
    expected = fixed.basis.flatten(1) @ way[0, :6].flatten()
    torch.testing.assert_close(expected, (plus - minus) / 2e-6, rtol=1e-4, atol=1e-6)


def test_those_of_late_are_not_made_again():
    generator = tiny_generator(64)
    origin, mask = generator.latent(1), torch.zeros(generator.image_size)

    def made(network=generator, latent=origin, row=0, layers=6, count=3):
        return fixed_rows(network, latent, mask.index_fill(0, torch.tensor(row), 1), layers, count)

    first = made()
    assert made(latent=origin.clone()) is first
    others = made(latent=generator.latent(2)), made(row=1), made(layers=5), made(count=4)
    assert len({first, *others}) == 5
    assert made() is not first, "the fifth is one too many"
    assert torch.equal(made().basis, first.basis)
    assert torch.equal(made(tiny_generator(64)).projections, first.projections), "nor does another process draw others"
    assert made(copy.deepcopy(generator)).generator is not generator
    kept = made()
    generator.double()
    assert made() is not kept
