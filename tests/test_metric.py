"""What the metric of a model measures: how w varies, and how much of the picture a change changes."""

from dataclasses import replace

import pytest
import torch

from draggan.engine.engines import drag
from draggan.engine.kinematics import KinematicConfig
from draggan.engine.metric import EVEN, PIECES, Metric, metric_of, seen_of
from draggan.geometry import DragPair, Point
from draggan.precision import in_precision
from draggan.stylegan2.distribution import Distribution
from draggan.stylegan2.generator import Generator
from tests.networks import random_tensors, tiny_config, tiny_generator


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


@pytest.mark.parametrize("survey", [lambda generator: metric_of(generator, 4), Distribution])
def test_a_model_whose_w_vary_beyond_all_numbers_is_refused_and_one_of_a_single_number_is_not(survey):
    tensors = random_tensors(tiny_config())
    for layer in ("fc0", "fc1"):
        tensors[f"mapping.{layer}.weight"] *= 1e30
    with pytest.raises(ValueError, match="its training has failed, or its file is damaged"):
        survey(Generator(tiny_config(), tensors))
    single = replace(tiny_config(), w_dim=1)
    survey(Generator(single, random_tensors(single)))


def test_what_is_seen_of_a_change_is_the_pictures_mean_change():
    generator, layers = tiny_generator(64).double(), 6
    seen = torch.cat([seen_of(generator, layers, piece) for piece in range(PIECES)])
    z = torch.randn(200, generator.config.z_dim, generator=torch.Generator().manual_seed(5))
    ws = generator.map(z)
    for seed in range(3):
        way = torch.zeros_like(ws[:1])
        way[:, :layers] = torch.randn(layers, ws.shape[2], generator=torch.Generator().manual_seed(seed))
        change = (generator.preview(ws + 1e-5 * way, 32) - generator.preview(ws - 1e-5 * way, 32)) / 2e-5
        told = (seen.flatten(1) @ way[0, :layers].flatten()).square().sum()
        assert told.item() == pytest.approx(change.square().mean().item(), rel=0.35)


@pytest.mark.parametrize("resolution", [32, 64])
def test_between_pictures_of_any_model_what_is_seen_is_as_large_as_what_is_unusual(resolution):
    generator = tiny_generator(resolution)
    metric = metric_of(generator, 6)
    z = torch.randn(4000, generator.config.z_dim, generator=torch.Generator().manual_seed(5))
    ways = generator.map(z)[:, 0] - generator.map(z.flip(0))[:, 0]  # (4000, w_dim)
    seen = (ways @ metric.seen.sum(dim=1).T).square().sum(dim=1).mean()
    unusual = (ways * torch.linalg.solve(metric.covariance, ways.T).T).sum(dim=1).mean()
    assert (seen / unusual).item() == pytest.approx(EVEN, rel=0.1)


def test_the_same_model_with_other_numbers_for_its_w_drags_alike():
    """Twice the w, which all layers take half of."""
    config = tiny_config(64)
    tensors = random_tensors(config)
    scale = {"mapping.fc1.weight": 2, "mapping.fc1.bias": 2, "mapping.w_avg": 2}
    scale |= {name: 0.5 for name in tensors if name.endswith("affine.weight")}
    usual, twice = (
        Generator(config, {name: t * by.get(name, 1) for name, t in tensors.items()}).double() for by in ({}, scale)
    )
    latent = usual.latent(1).double()
    torch.testing.assert_close(twice.latent(1).double(), 2 * latent)
    pairs = [DragPair(Point(20, 20), Point(50, 30)), DragPair(Point(40, 8), Point(42, 12))]
    (*_, a), (*_, b) = (
        drag(g, g.latent(1).double(), pairs, config=KinematicConfig(max_steps=4)) for g in (usual, twice)
    )
    assert (a.latent - latent).norm() > 0.1
    torch.testing.assert_close(b.latent, 2 * a.latent, rtol=1e-4, atol=1e-5)
    assert max(map(Point.distance, a.handles, b.handles)) < 1e-3


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
