"""Dragging as inverse kinematics: its derivative against finite differences, its step, and what it promises."""

import math

import pytest
import torch

from draggan.engine import DragConfig
from draggan.engine import drag as published
from draggan.features import apart, whole
from draggan.geometry import DragPair, Point, square, to_tensor
from draggan.kinematics import KinematicConfig, describe, drag, locate, sensitivity, slopes, solve
from draggan.stylegan2.generator import Trunk
from tests.networks import tiny_generator

FEW = KinematicConfig(max_steps=3)


def pairs_of(*coordinates):
    return [DragPair(Point(a, b), Point(c, d)) for a, b, c, d in coordinates]


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


def test_what_is_shifted_moves_with_the_shift():
    latents = torch.zeros(1, 1, 2, dtype=torch.float64, requires_grad=True)  # dx, dy
    features = whole(Trunk((pattern(latents[0, 0]),)), (48, 48), 1)
    place = torch.tensor([[24.0, 23.0]], dtype=torch.float64)
    jacobian, _ = sensitivity(features, place, square(1, place) * 2, latents)
    torch.testing.assert_close(jacobian[0, :, 0], torch.eye(2, dtype=torch.float64), atol=0.15, rtol=0)


def test_the_derivative_agrees_with_finite_differences(exact):
    generator, latent, places, patch = exact
    handles = to_tensor(places, latent)

    def features(w):
        moving = w[:, :6].expand(2, -1, -1).clone().requires_grad_()
        ws = torch.cat([moving, latent[:, 6:].expand(2, -1, -1)], dim=1)
        return apart(generator, ws, 64, places, 8), moving

    here, moving = features(latent)
    jacobian, _ = sensitivity(here, handles, patch, moving)
    slope = slopes(here.detach(), handles, patch)
    inverse = torch.linalg.inv(slope @ slope.transpose(1, 2) + 1e-3 * torch.eye(2, dtype=torch.float64)) @ slope
    for seed in range(3):
        way = torch.randn(6, latent.shape[2], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        plus, minus = (
            describe(features(latent[:, :6] + sign * 1e-6 * way)[0], handles[:, None], patch)[:, 0] for sign in (1, -1)
        )
        measured = -(inverse @ ((plus - minus) / 2e-6)[:, :, None])[:, :, 0]  # (2, 2)
        torch.testing.assert_close(jacobian.flatten(2) @ way.flatten(), measured, rtol=1e-4, atol=1e-6)


def test_each_handle_has_its_own_gradient(exact):
    generator, latent, places, _ = exact
    ws = latent.expand(2, -1, -1).clone().requires_grad_()
    features = apart(generator, ws, 64, places, 4)
    everywhere = whole(generator.trunk(latent, 64), generator.image_size, 2)
    points = to_tensor(places, latent)[:, None]
    torch.testing.assert_close(features.sample(points), everywhere.sample(points))
    (gradient,) = torch.autograd.grad(features.sample(points)[0].sum(), ws)
    assert gradient[0].abs().max() > 0
    assert gradient[1].abs().max() == 0


def test_a_step_does_what_is_wished_and_changes_least():
    rng = torch.Generator().manual_seed(0)
    jacobian = torch.randn(4, 50, generator=rng, dtype=torch.float64)
    wish = torch.randn(4, generator=rng, dtype=torch.float64)
    change = solve(jacobian, wish, torch.ones(4, dtype=torch.float64), 1e-9, torch.zeros(50, dtype=torch.float64))
    torch.testing.assert_close(jacobian @ change, wish)
    torch.testing.assert_close(change, torch.linalg.pinv(jacobian) @ wish)
    rest = torch.randn(50, generator=rng, dtype=torch.float64)
    pulled = solve(jacobian, wish, torch.ones(4, dtype=torch.float64), 1e-9, rest)
    torch.testing.assert_close(jacobian @ pulled, wish, atol=0.02, rtol=0.02)
    assert (pulled - change) @ rest > 0


def test_damping_shortens_the_step_and_weights_choose_whose():
    jacobian, wish = torch.eye(2, 5), torch.ones(2)
    stiff = solve(jacobian, wish, torch.tensor([1.0, 0.1]), 0.5, torch.zeros(5))
    torch.testing.assert_close(stiff[:2], torch.tensor([1 / 1.5, 1 / 6]))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.4, -1.3), (-3.0, 3.6)])
def test_a_moved_pattern_is_found_between_pixels(shift):
    def moved(dx, dy):
        return whole(Trunk((pattern(torch.tensor([dx, dy])),)), (48, 48), 1)

    place = torch.tensor([[24.0, 23.0]])
    patch = square(1, place) * 2
    template = describe(moved(0.0, 0.0), place[:, None], patch)[:, 0]
    found = locate(moved(*shift), place, template, patch, 5)
    torch.testing.assert_close(found, place + torch.tensor([shift]), atol=0.15, rtol=0)


def test_it_arrives_in_a_few_steps(plush):
    latent, pairs = plush.latent(3, 0.7), pairs_of((183, 145, 168, 145))
    steps = list(drag(plush, latent, pairs))
    assert steps[-1].arrived
    assert steps[-1].distances[0] <= 1
    assert len(steps) <= 8
    assert torch.equal(steps[0].latent, latent)
    assert [step.index for step in steps] == list(range(len(steps)))
    assert [step.last for step in steps] == [False] * (len(steps) - 1) + [True]
    torch.testing.assert_close(steps[-1].image(), plush.render(steps[-1].latent))
    assert (steps[-1].latent - latent)[0, 6:].abs().max() == 0


def test_a_handle_at_its_target_stays_there_while_another_moves(plush):
    anchor = (72, 60, 72, 60)
    *_, step = drag(plush, plush.latent(3, 0.7), pairs_of((183, 145, 168, 145), anchor))
    assert step.handles[1].distance(Point(72, 60)) <= 2


def test_going_on_is_as_if_it_had_not_stopped():
    generator = tiny_generator(64)
    latent, pairs = generator.latent(1), pairs_of((20, 20, 50, 30), (40, 8, 60, 60))
    config = KinematicConfig(max_steps=4, patience=100)
    whole_way = list(drag(generator, latent, pairs, config=config))
    paused = whole_way[2]
    assert not paused.last
    rest = list(drag(generator, latent, pairs, config=KinematicConfig(max_steps=2, patience=100), resume=paused.state))
    assert torch.equal(rest[0].latent, paused.latent)
    assert rest[0].handles == paused.handles
    assert torch.equal(rest[1].latent, whole_way[3].latent)


def test_w_moves_all_layers_alike():
    generator = tiny_generator(64)
    latent = generator.latent(1)
    steps = list(drag(generator, latent, pairs_of((20, 20, 50, 30)), config=KinematicConfig(max_steps=1, space="w")))
    gone = (steps[-1].latent - latent)[0]
    torch.testing.assert_close(gone[:6], gone[:1].expand(6, -1))


@pytest.mark.parametrize("width", [4, 2])
def test_handles_at_the_border_stay_in_the_picture(width):
    generator = tiny_generator(32, width=width)
    height, wide = generator.image_size
    right, bottom = wide - 1, height - 1
    pairs = pairs_of((0, 0, right, bottom), (right, 0, 0, 0), (0, bottom, 0, 0), (right + 0.5, bottom + 0.5, 3, 3))
    for step in drag(generator, generator.latent(1), pairs, config=FEW):
        assert all(handle.inside((height, wide)) for handle in step.handles)
        assert step.latent.isfinite().all()


def test_sixty_eight_points():
    generator = tiny_generator(64)
    places = [(x, y) for y in range(2, 62, 8) for x in range(2, 62, 7)][:68]
    *_, step = drag(generator, generator.latent(1), pairs_of(*((x, y, 63 - x, 63 - y) for x, y in places)), config=FEW)
    assert len(step.handles) == len(step.distances) == len(step.stuck) == 68


def test_it_gives_up_at_its_nearest_step_and_says_why():
    generator = tiny_generator(64)
    pairs = pairs_of((30, 30, 60, 30), (32, 30, 2, 30))  # torn apart
    config = KinematicConfig(max_steps=200, patience=2)
    steps = list(drag(generator, generator.latent(1), pairs, config=config))
    assert len(steps) < 200
    assert not steps[-1].arrived
    assert steps[-1].loss == min(step.loss for step in steps)
    assert any(steps[-1].stuck)
    assert all(reason is None for step in steps[:-1] for reason in step.stuck)


def test_the_mask_holds_the_rest_of_the_picture(plush):
    latent = plush.latent(3, 0.7)
    mask = torch.zeros(256, 256)
    mask[:110] = 1  # the ears may move
    pairs, config = pairs_of((175, 52, 165, 58)), KinematicConfig(max_steps=8)
    start, change = plush.render(latent), []
    for given in (None, mask):
        *_, step = drag(plush, latent, pairs, given, config)
        assert step.distances[0] < 6
        change.append((step.image() - start).abs().mean(dim=1)[0][mask == 0].mean().item())
    assert change[1] < 0.7 * change[0]


def test_a_state_of_another_engine_is_refused():
    generator = tiny_generator()
    pairs = pairs_of((5, 5, 20, 20))
    other = next(published(generator, generator.latent(1), pairs, config=DragConfig(max_steps=1)))
    with pytest.raises(ValueError, match="belongs to another engine"):
        drag(generator, generator.latent(1), pairs, resume=other.state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": "z"}, "'z' is not one of w_plus, w"),
        ({"stride": 0}, "stride is 0"),
        ({"search": 0.5}, "search is 0.5"),
        ({"damping": math.inf}, "damping is inf"),
        ({"pull": 1}, "pull is 1"),
        ({"mask_weight": -1}, "mask_weight is -1"),
        ({"patience": 0}, "patience"),
        ({"tolerance": 0}, "tolerance is 0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        KinematicConfig(**settings)
