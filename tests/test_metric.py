"""What the metric of a model measures: how w varies, and how much of the picture a change changes."""

import pytest
import torch

from draggan.geometry import DragPair, Point
from draggan.kinematics import KinematicConfig, drag
from draggan.metric import Metric, metric_of
from draggan.precision import in_precision
from tests.networks import tiny_generator


@pytest.mark.parametrize("c_dim", [0, 3])
def test_w_varies_most_along_the_metrics_largest_axis(c_dim):
    generator = tiny_generator(c_dim=c_dim)
    covariance = metric_of(generator, 4).covariance
    assert covariance.diagonal().mean().item() == pytest.approx(1, rel=1e-4)
    latents = torch.cat([generator.latent(s, class_index=s % 3 if c_dim else None)[:, 0] for s in range(300)])
    axes = torch.linalg.eigh(covariance)[1]
    along = (latents @ axes).var(dim=0)
    assert along[-1] > along.mean()
    assert along[0] < along.mean()


def test_what_is_seen_of_a_change_is_the_pictures_mean_change():
    generator, layers = tiny_generator(64).double(), 6
    seen = metric_of(generator, layers).seen
    z = torch.randn(200, generator.config.z_dim, generator=torch.Generator().manual_seed(5))
    ws = generator.map(z)
    for seed in range(3):
        way = torch.zeros_like(ws[:1])
        way[:, :layers] = torch.randn(layers, ws.shape[2], generator=torch.Generator().manual_seed(seed))
        change = (generator.preview(ws + 1e-5 * way, 32) - generator.preview(ws - 1e-5 * way, 32)) / 2e-5
        told = (seen.flatten(1) @ way[0, :layers].flatten()).square().sum()
        assert told.item() == pytest.approx(change.square().mean().item(), rel=0.35)


def test_every_moving_layer_is_seen():
    generator = tiny_generator(64)
    for layers in (1, 6, generator.num_ws):
        seen = metric_of(generator, layers).seen
        assert seen.shape[1] == layers
        assert (seen.square().sum(dim=(0, 2)) > 0).all()


def test_with_more_weight_less_is_seen_of_the_least_change():
    rng = torch.Generator().manual_seed(0)
    rows, seen = torch.randn(2, 3, 8, generator=rng), torch.randn(5, 3, 8, generator=rng)
    shown = []
    for visible in (0.0, 0.1, 1.0, 10.0):
        spread = Metric(torch.eye(8), 0.5, seen, visible).spread(rows)[0].flatten()
        step = spread / (spread @ rows[0].flatten())  # moves the first row by 1
        shown.append((seen.flatten(1) @ step).norm().item())
    assert shown == sorted(shown, reverse=True)
    assert shown[-1] < 0.5 * shown[0]


def test_a_network_is_looked_at_once():
    generator = tiny_generator(64)
    assert generator.known(metric_of, 4) is generator.known(metric_of, 4)
    assert generator.known(metric_of, 4) is not generator.known(metric_of, 6)
    tuned = generator.changed({"synthesis.b4.const": torch.ones_like(generator.get_buffer("synthesis.b4.const"))})
    assert tuned.known(metric_of, 4) is generator.known(metric_of, 4), "of the model, not of one picture's"
    assert tuned.changed({}).dragging_in(torch.bfloat16).known(metric_of, 4) is generator.known(metric_of, 4)


def test_a_network_that_was_moved_is_looked_at_where_it_is():
    moved = in_precision(tiny_generator(64), "fp32").double()
    assert moved.known(metric_of, 4).seen.dtype == torch.float64
    pairs = [DragPair(Point(20, 20), Point(30, 20))]
    *_, last = drag(moved, moved.latent(1), pairs, config=KinematicConfig(max_steps=1))
    assert last.index == 1
