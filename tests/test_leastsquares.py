"""The step of the kinematic engine: it does the wish, and changes least in its metric."""

import pytest
import torch

from draggan.engine.leastsquares import solve
from draggan.engine.metric import Metric

LAYERS, WIDTH = 3, 20


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def metric(shared, rng, visible=0.7):
    root = torch.randn(WIDTH, WIDTH, generator=rng, dtype=torch.float64)
    seen = torch.randn(6, LAYERS, WIDTH, generator=rng, dtype=torch.float64)
    return Metric(root @ root.T / WIDTH, shared, seen, visible)


def whole(metric):
    """What the metric spreads by, as one matrix."""
    between = metric.shared * torch.ones(LAYERS, LAYERS) + (1 - metric.shared) * torch.eye(LAYERS)
    seen = metric.seen.flatten(1)
    likely = torch.kron(between.double(), metric.covariance)
    return torch.linalg.inv(torch.linalg.inv(likely) + metric.visible * seen.T @ seen)


@pytest.mark.parametrize("visible", [0.0, 0.7])
@pytest.mark.parametrize("shared", [0.0, 0.4, 0.9])
def test_a_step_does_what_is_wished_and_changes_least(shared, visible, rng):
    measure = metric(shared, rng, visible)
    rows = torch.randn(4, LAYERS, WIDTH, generator=rng, dtype=torch.float64)
    wish = torch.randn(4, generator=rng, dtype=torch.float64)
    change = solve(rows, measure, wish, torch.full((4,), 1e-9).double(), torch.zeros(LAYERS, WIDTH).double())
    torch.testing.assert_close(rows.flatten(1) @ change.flatten(), wish, rtol=1e-6, atol=1e-6)
    root = torch.linalg.cholesky(whole(measure))
    least = root @ torch.linalg.pinv(rows.flatten(1) @ root) @ wish  # of all that do it, the shortest by Mahalanobis
    torch.testing.assert_close(change.flatten(), least, rtol=1e-5, atol=1e-6)


def test_the_way_back_moves_no_row(rng):
    measure = metric(0.5, rng)
    rows = torch.randn(4, LAYERS, WIDTH, generator=rng, dtype=torch.float64)
    rest = torch.randn(LAYERS, WIDTH, generator=rng, dtype=torch.float64)
    nothing = torch.zeros(4, dtype=torch.float64)
    change = solve(rows, measure, nothing, nothing + 0.1, rest)
    assert (rows.flatten(1) @ change.flatten()).norm() < 0.02 * (rows.flatten(1) @ rest.flatten()).norm()
    assert (change * rest).sum() > 0


def test_a_row_gives_way_by_as_much_as_it_is_damped():
    rows, measure = torch.eye(2, 5)[:, None], Metric(torch.eye(5), 0.0, torch.zeros(1, 1, 5))
    change = solve(rows, measure, torch.zeros(2), torch.tensor([1.0, 20.0]), torch.ones(1, 5), compliance=0.05)
    torch.testing.assert_close(change[0], torch.tensor([0.05 / 1.05, 1 / 2, 1, 1, 1]), rtol=0.02, atol=0)


def test_damping_shortens_the_step_and_chooses_whose():
    rows, wish = torch.eye(2, 5)[:, None], torch.ones(2)
    stiff = solve(
        rows, Metric(torch.eye(5), 0.0, torch.zeros(1, 1, 5)), wish, torch.tensor([0.5, 5.0]), torch.zeros(1, 5)
    )
    torch.testing.assert_close(stiff[0, :2], torch.tensor([1 / 1.5, 1 / 6]))


def test_layers_that_share_all_change_alike(rng):
    rows = torch.randn(4, LAYERS, WIDTH, generator=rng, dtype=torch.float64)
    step = solve(rows, metric(1.0, rng, visible=0), torch.ones(4).double(), torch.ones(4).double(), 0 * rows[0])
    torch.testing.assert_close(step, step[:1].expand(LAYERS, -1))
