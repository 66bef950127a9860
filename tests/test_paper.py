"""The drag: its parts against slow plain versions, and what it promises as a whole."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from draggan.engine import course, paper
from draggan.engine.engines import drag, engine_of
from draggan.engine.features import whole
from draggan.engine.paper import DragConfig, motion_supervision, track
from draggan.engine.steps import MAX_PAIRS
from draggan.geometry import DragPair, Point, disc, square, to_tensor
from draggan.stylegan2.config import GeneratorConfig
from draggan.stylegan2.generator import Generator, Trunk
from tests.networks import random_tensors, tiny_generator

FAST = DragConfig(lr=0.02, max_steps=6)


def of(features, size, handles):
    """A whole map as the engine reads it."""
    return whole(Trunk((features,)), size, handles)


def resized(features, size):
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)[0]  # (C, H, W)


def between(big, x, y):
    """Bilinear interpolation of big (C, H, W) by hand, the border going on."""
    height, width = big.shape[1:]
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    a, b = x - left, y - top
    upper = big[:, top, left] * (1 - a) + big[:, top, left + 1] * a
    lower = big[:, top + 1, left] * (1 - a) + big[:, top + 1, left + 1] * a
    return upper * (1 - b) + lower * b


def plain_supervision(features, handles, targets, radius, size):
    """Equation 1 handle by handle and pixel by pixel, on the map resized to the picture."""
    big, total = resized(features, size), 0.0
    for (hx, hy), (tx, ty) in zip(handles, targets, strict=True):
        length = math.hypot(tx - hx, ty - hy)
        dx, dy = ((tx - hx) / length, (ty - hy) / length) if length else (0.0, 0.0)
        terms = []
        for y in range(size[0]):
            for x in range(size[1]):
                if math.hypot(x - hx, y - hy) < radius or (x, y) == (hx, hy):
                    terms.append((big[:, y, x].detach() - between(big, x + dx, y + dy)).abs().mean())
        total = total + torch.stack(terms).mean()
    return total


def plain_track(features, handles, templates, half_width, size):
    """Equation 3 by trying every pixel. -> for each handle the places that are nearest, within rounding"""
    big, found = resized(features, size), []
    for (hx, hy), template in zip(handles, templates, strict=True):
        places = [
            (x, y)
            for y in range(hy - half_width, hy + half_width + 1)
            for x in range(hx - half_width, hx + half_width + 1)
            if 0 <= x < size[1] and 0 <= y < size[0]
        ]
        distance = {p: (big[:, p[1], p[0]] - template).abs().sum().item() for p in places}
        found.append({p for p in places if distance[p] <= min(distance.values()) + 1e-5})
    return found


# On a map as large as the picture, or along an axis of it, the two readings of "bilinear" are the same.
@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
@pytest.mark.parametrize("radius", [0.4, 1.5, 3.0])
def test_motion_supervision_is_equation_1(size, radius):
    features = torch.randn(1, 4, *size, dtype=torch.float64, requires_grad=True)
    handles = [(0, 0), (5, 6), (size[1] - 1, size[0] - 1), (3, 3)]
    targets = [(7, 2), (5, 9), (2, 2), (3, 3)]
    args = [torch.tensor(points, dtype=torch.float64) for points in (handles, targets)]
    ours = motion_supervision(of(features, size, 4), *args, disc(radius, features))
    plain = plain_supervision(features, handles, targets, radius, size)
    torch.testing.assert_close(ours, plain)
    for a, b in zip(torch.autograd.grad(ours, features), torch.autograd.grad(plain, features), strict=True):
        torch.testing.assert_close(a, b)


def test_motion_supervision_on_a_coarser_map():
    features = torch.randn(1, 4, 8, 8, dtype=torch.float64)
    handles, targets = [(9, 9), (4, 12)], [(15, 9), (4, 0)]
    args = [torch.tensor(points, dtype=torch.float64) for points in (handles, targets)]
    ours = motion_supervision(of(features, (16, 16), 2), *args, disc(3, features))
    torch.testing.assert_close(ours, plain_supervision(features, handles, targets, 3, (16, 16)))


def test_nothing_pulls_a_handle_at_its_target():
    features = torch.randn(1, 4, 8, 8, requires_grad=True)
    place = torch.tensor([[3.0, 3.0]])
    loss = motion_supervision(of(features, (8, 8), 1), place, place, disc(2, features))
    assert loss == 0
    assert torch.autograd.grad(loss, features)[0].abs().max() == 0


@pytest.mark.parametrize(("cells", "size"), [((16, 16), (16, 16)), ((8, 8), (16, 16)), ((8, 4), (24, 12))])
@pytest.mark.parametrize("half_width", [1, 4])
def test_track_is_equation_3(cells, size, half_width):
    features = torch.randn(1, 4, *cells)
    handles = [(0, 0), (5, 6), (size[1] - 1, size[0] - 1)]
    templates = torch.randn(3, 4)
    ours = track(of(features, size, 3), torch.tensor(handles).float(), templates, square(half_width, features))
    for place, nearest in zip(ours.tolist(), plain_track(features, handles, templates, half_width, size), strict=True):
        assert tuple(place) in nearest


def test_track_stays_where_nothing_is_nearer():
    handles = torch.tensor([[3.0, 4.0]])
    assert torch.equal(
        track(of(torch.zeros(1, 2, 8, 8), (8, 8), 1), handles, torch.zeros(1, 2), square(3, handles)), handles
    )


def pairs_of(*coordinates):
    return [DragPair(Point(a, b), Point(c, d)) for a, b, c, d in coordinates]


def test_a_drag_arrives_on_the_embedded_model(plush):
    latent = plush.latent(3, 0.7)
    pairs = pairs_of((183, 145, 168, 145))
    steps = list(drag(plush, latent, pairs, config=DragConfig(max_steps=80)))
    assert [s.index for s in steps] == list(range(len(steps)))
    assert [s.last for s in steps] == [False] * (len(steps) - 1) + [True]
    assert steps[-1].arrived
    assert steps[-1].distances[0] <= 1
    assert steps[0].distances == (15.0,)
    assert torch.equal(steps[0].latent, latent)
    moved = (steps[-1].latent - latent).abs()[0].amax(dim=1)
    assert (moved[:6] > 0).all()
    assert (moved[6:] == 0).all()


def test_all_of_a_step_belongs_to_one_latent(plush):
    pairs = pairs_of((183, 145, 168, 145))
    template, before = None, ()
    for step in drag(plush, plush.latent(3, 0.7), pairs, config=DragConfig(max_steps=3)):
        torch.testing.assert_close(step.image(), plush.render(step.latent), rtol=0, atol=1e-5)
        features = of(plush.trunk(step.latent, 128).features, (256, 256), 1)
        handles = to_tensor(step.handles, step.latent)
        if template is None:
            template = features.sample(handles[:, None])[:, 0]
        else:
            assert torch.equal(track(features, to_tensor(before, handles), template, square(6, handles)), handles)
        before = step.handles
        loss = motion_supervision(features, handles, to_tensor([pairs[0].target], handles), disc(1.5, handles))
        assert step.loss == pytest.approx(loss.item(), rel=1e-4)
        assert step.distances == (step.handles[0].distance(pairs[0].target),)


def test_a_kept_step_still_has_its_picture():
    generator = tiny_generator()
    steps = list(drag(generator, generator.latent(1), pairs_of((5, 5, 20, 20)), config=FAST))
    for step in steps:
        torch.testing.assert_close(step.image(), generator.render(step.latent))
    assert not torch.equal(steps[0].image(), steps[-1].image())


@pytest.mark.parametrize("space", ["w_plus", "w"])
def test_going_on_is_as_if_it_had_not_stopped(space):
    generator = tiny_generator(64)
    latent, pairs = generator.latent(1), pairs_of((20, 20, 50, 30), (40, 8, 60, 60))
    mask = torch.zeros(64, 64)
    mask[:40] = 1
    config = DragConfig(lr=0.02, max_steps=8, space=space)
    whole = list(drag(generator, latent, pairs, mask, config))
    first = list(drag(generator, latent, pairs, mask, DragConfig(lr=0.02, max_steps=3, space=space)))
    rest = list(drag(generator, latent, pairs, mask, config, resume=first[-1].state))
    assert len(whole) == 9
    for a, b in zip(whole, [*first, *rest[1:]], strict=False):
        assert a.index == b.index
        assert a.handles == b.handles
        assert a.loss == b.loss
        assert torch.equal(a.latent, b.latent)
    assert torch.equal(rest[0].latent, first[-1].latent)


def test_a_point_may_join_while_the_drag_is_paused():
    generator = tiny_generator(64)
    old, new = pairs_of((20, 20, 50, 30), (40, 8, 60, 60))
    paused = list(drag(generator, generator.latent(1), [old], config=FAST))[-1]
    step = next(drag(generator, paused.latent, [new, old], config=FAST, resume=paused.state))
    assert step.handles == (new.handle, paused.handles[0])
    assert torch.equal(step.state.templates[1], paused.state.templates[0])
    assert step.index == paused.index


def test_a_state_of_something_else_is_refused():
    generator, pairs = tiny_generator(), pairs_of((5, 5, 20, 20))
    state = list(drag(generator, generator.latent(1), pairs, config=FAST))[-1].state
    larger = tiny_generator(64)
    with pytest.raises(ValueError, match="another generator"):
        drag(larger, larger.latent(1), pairs, config=FAST, resume=state)
    odd = replace(state, templates=(torch.zeros(3),))
    with pytest.raises(ValueError, match="another feature_resolution"):
        drag(generator, generator.latent(1), pairs, config=FAST, resume=odd)


def test_w_moves_all_layers_alike():
    generator = tiny_generator()
    latent = generator.latent(1)
    *_, step = drag(generator, latent, pairs_of((5, 5, 20, 20)), config=DragConfig(lr=0.02, max_steps=4, space="w"))
    assert torch.equal(step.latent[:, :6], step.latent[:, :1].expand(-1, 6, -1))
    assert not torch.equal(step.latent[:, 0], latent[:, 0])
    assert torch.equal(step.latent[:, 6:], latent[:, 6:])


def test_moving_layers_and_feature_block_are_settings():
    generator = tiny_generator(64)
    config = DragConfig(lr=0.02, max_steps=2, moving_layers=2, feature_resolution=16)
    *_, step = drag(generator, generator.latent(1), pairs_of((5, 5, 20, 20)), config=config)
    changed = (step.latent - generator.latent(1)).abs()[0].amax(dim=1) > 0
    assert changed.tolist() == [True] * 2 + [False] * 8


@pytest.mark.parametrize("engine", ["draggan", "kinematics"])
def test_a_generator_with_fewer_layers_than_move_moves_all(engine):
    generator = tiny_generator(8)
    settings = engine_of(engine).settings(max_steps=2)
    *_, step = drag(generator, generator.latent(1), pairs_of((2, 2, 5, 5)), config=settings)
    assert (step.latent - generator.latent(1)).abs()[0, :3].amax(dim=1).min() > 0, "the last one is for colours alone"


def test_the_same_drag_twice_is_the_same():
    generator = tiny_generator()
    runs = [list(drag(generator, generator.latent(1), pairs_of((5, 5, 20, 20)), config=FAST))[-1] for _ in range(2)]
    assert torch.equal(runs[0].latent, runs[1].latent)


def test_a_drag_leaves_its_callers_gradients_on():
    generator = tiny_generator()
    for _ in drag(generator, generator.latent(1), pairs_of((5, 5, 20, 20)), config=FAST):
        assert torch.is_grad_enabled()


def test_handles_move_on_the_smallest_pictures():
    generator, pairs = tiny_generator(32), pairs_of((10, 10, 20, 12))
    *_, step = drag(generator, generator.latent(1), pairs, config=DragConfig(lr=0.05, max_steps=20))
    assert step.handles[0] != pairs[0].handle


def test_a_handle_at_its_target_has_arrived():
    generator = tiny_generator()
    steps = list(drag(generator, generator.latent(1), pairs_of((5, 5, 5, 5)), config=FAST))
    assert len(steps) == 1
    assert steps[0].arrived
    assert steps[0].loss == 0


def test_sixty_eight_points():
    generator = tiny_generator(64)
    places = [(x, y) for y in range(2, 62, 8) for x in range(2, 62, 7)][:MAX_PAIRS]
    pairs = pairs_of(*((x, y, 63 - x, 63 - y) for x, y in places))
    assert len(pairs) == 68
    *_, step = drag(generator, generator.latent(1), pairs, config=DragConfig(lr=0.02, max_steps=2))
    assert len(step.handles) == len(step.distances) == 68


def test_tolerance_is_one_pixel_and_two_above_five_points():
    generator = tiny_generator(64)
    near = pairs_of(*((10 * i + 5, 10, 10 * i + 6.5, 10) for i in range(6)))
    assert not next(drag(generator, generator.latent(1), near[:5], config=FAST)).arrived
    assert next(drag(generator, generator.latent(1), near, config=FAST)).arrived
    assert next(drag(generator, generator.latent(1), near[:1], config=DragConfig(tolerance=1.5))).arrived


def change_of(generator, latent, pairs, mask, where, config):
    *_, step = drag(generator, latent, pairs, mask, config)
    return (step.image() - generator.render(latent)).abs().mean(dim=1)[0][where].mean().item()


@pytest.mark.parametrize("samples", [None, 4])
def test_the_mask_holds_the_rest_of_the_picture(plush, samples):
    latent = plush.latent(3, 0.7)
    mask = torch.zeros(256, 256)
    mask[:110] = 1  # the ears may move
    pairs, config = pairs_of((175, 52, 160, 62)), DragConfig(max_steps=25, mask_samples=samples)
    outside = mask == 0
    free = change_of(plush, latent, pairs, None, outside, config)
    held = change_of(plush, latent, pairs, mask, outside, config)
    assert held <= free / 3


def test_masks_of_one_kind_only():
    generator = tiny_generator()
    latent, pairs = generator.latent(1), pairs_of((5, 5, 20, 20))
    free = list(drag(generator, latent, pairs, None, FAST))
    whole = list(drag(generator, latent, pairs, torch.ones(32, 32), FAST))
    assert torch.equal(free[-1].latent, whole[-1].latent)
    everywhere = torch.ones(32, 32, dtype=torch.bool)
    none = change_of(generator, latent, pairs, torch.zeros(32, 32), everywhere, FAST)
    assert none < change_of(generator, latent, pairs, None, everywhere, FAST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": []}, "0 pairs"),
        ({"pairs": pairs_of((5, 5, 40, 5))}, r"target \(40, 5\) lies outside the picture of 32 x 32"),
        ({"pairs": pairs_of((5, -3, 4, 5))}, r"handle \(5, -3\) lies outside"),
        ({"pairs": pairs_of(*[(5, 5, 6, 6)] * 69)}, "69 pairs .* give 1 to 68"),
        ({"mask": torch.zeros(16, 32)}, r"mask of shape \(16, 32\)"),
        ({"mask": torch.full((32, 32), 255.0)}, r"mask values must lie in 0 \.\. 1"),
        ({"latent": torch.zeros(1, 3, 12)}, r"latent of shape \(1, 3, 12\)"),
        ({"latent": np.zeros((1, 3, 12))}, r"latent of shape \(1, 3, 12\)"),
        ({"latent": torch.full((1, 8, 12), math.nan)}, "latent has values that are not finite numbers"),
        ({"pairs": pairs_of((5, 5, 4, 5))[0]}, "pairs is one pair, .*give a list"),
        ({"pairs": [((5, 5), (4, 5))]}, r"\(\(5, 5\), \(4, 5\)\) is no pair .*write DragPair\(Point"),
        ({"config": DragConfig(feature_resolution=24)}, "feature_resolution 24"),
    ],
)
def test_bad_input_is_named_at_once(change, message):
    generator = tiny_generator()
    usual = {"latent": generator.latent(1), "pairs": pairs_of((5, 5, 20, 20)), "mask": None, "config": FAST}
    with pytest.raises(ValueError, match=message):
        drag(generator, **(usual | change))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0}, "lr is 0"),
        ({"r1": math.inf}, "r1 is inf"),
        ({"r2": 0.5}, "at most 0.25"),
        ({"space": "z"}, "'z' is not one of w_plus, w"),
        ({"max_steps": -1}, "max_steps"),
        ({"mask_weight": -1}, "mask_weight"),
        ({"mask_samples": 0}, "mask_samples is 0"),
        ({"tolerance": 0}, "tolerance is 0"),
        ({"lr": "1e-3"}, "lr is '1e-3': it must be a positive number"),
        ({"lr": None}, "lr is None"),
        ({"moving_layers": 2.5}, "moving_layers is 2.5: it must be a whole number"),
        ({"max_steps": 2.5}, "max_steps is 2.5"),
        ({"mask_samples": 2.5}, "mask_samples is 2.5"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        DragConfig(**settings)


@pytest.fixture(scope="module")
def large() -> Generator:
    """A random network of 512 px, with a quarter of the usual channels."""
    resolutions = tuple(4 << i for i in range(8))
    channels = tuple(min(128, 8192 // r) for r in resolutions)
    config = GeneratorConfig(16, 64, 0, 2, resolutions, channels)
    return Generator(config, random_tensors(config))


@pytest.mark.parametrize(
    ("network", "lr", "pairs"),
    [
        ("plush", 2e-3, pairs_of((183, 145, 150, 145), (75, 60, 60, 60))),
        ("plush", 2e-2, pairs_of((183, 145, 150, 145), (75, 60, 60, 60))),  # handles leap as far as they are looked for
        ("large", 2e-3, pairs_of((300, 200, 340, 240), (100, 400, 140, 380))),
    ],
)
def test_windows_change_nothing_of_a_drag(network, lr, pairs, request, monkeypatch):
    generator = request.getfixturevalue(network)
    latent, config = generator.latent(3, 0.7), DragConfig(lr=lr, max_steps=20)
    windowed = list(drag(generator, latent, pairs, config=config))

    def everywhere(views):
        return [whole(v.generator.trunk(v.ws, v.resolution), v.generator.image_size, len(v.handles)) for v in views]

    monkeypatch.setattr(course, "seen", everywhere)
    followed = paper._followed
    monkeypatch.setattr(paper, "_followed", lambda slack, *given: followed(math.inf, *given))
    plain = list(drag(generator, latent, pairs, config=config))
    assert len(windowed) == len(plain) == 21
    assert plain[-1].handles != plain[0].handles
    ways = [abs(p.x - q.x) for a, b in pairwise(plain) for p, q in zip(a.handles, b.handles, strict=True)]
    assert (max(ways) == config.r2 * generator.image_size[1]) == (lr > 1e-2)
    for a, b in zip(windowed, plain, strict=True):
        assert max(p.distance(q) for p, q in zip(a.handles, b.handles, strict=True)) <= 0.5
        assert (a.latent - b.latent).norm() <= 1e-3 * (b.latent - latent).norm()


def test_distances_fall_on_the_embedded_model(plush):
    steps = list(drag(plush, plush.latent(3, 0.7), pairs_of((183, 145, 168, 145)), config=DragConfig(max_steps=15)))
    assert all(b.distances[0] <= a.distances[0] + 2 for a, b in pairwise(steps))
    assert steps[-1].distances[0] < steps[0].distances[0] - 3
