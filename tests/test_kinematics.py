"""Dragging as inverse kinematics: what it promises."""

import math

import pytest
import torch

from benchmarks.cases import read_cases
from draggan.engine import fixed, kinematics
from draggan.engine.engines import drag
from draggan.engine.kinematics import KinematicConfig
from draggan.engine.paper import DragConfig
from draggan.geometry import DragPair, Point
from draggan.inversion.likeness import psnr
from draggan.stylegan2.generator import Generator
from tests.networks import random_tensors, tiny_config, tiny_generator

FEW = KinematicConfig(max_steps=3)


def pairs_of(*coordinates):
    return [DragPair(Point(a, b), Point(c, d)) for a, b, c, d in coordinates]


def test_it_arrives_in_a_few_steps(plush):
    latent, pairs = plush.latent(3, 0.7), pairs_of((183, 145, 168, 145))
    steps = list(drag(plush, latent, pairs))
    assert steps[-1].arrived
    assert steps[-1].distances[0] <= 1
    assert len(steps) <= 8
    assert {step.state.waited for step in steps} == {0}, "each comes nearer by more than a tenth"
    assert torch.equal(steps[0].latent, latent)
    assert [step.index for step in steps] == list(range(len(steps)))
    assert [step.last for step in steps] == [False] * (len(steps) - 1) + [True]
    torch.testing.assert_close(steps[-1].image(), plush.render(steps[-1].latent))
    assert (steps[-1].latent - latent)[0, 8:].abs().max() == 0


def test_with_the_target_put_back_the_picture_comes_back(plush):
    latent, pairs = plush.latent(3, 0.7), pairs_of((183, 145, 168, 145))
    start = plush.render(latent)
    *_, there = drag(plush, latent, pairs)
    *_, back = drag(plush, latent, pairs_of((183, 145, 183, 145)), resume=there.state)
    assert back.arrived
    assert psnr(there.image(), start) < 25
    assert psnr(back.image(), start) > 35


def test_many_handles_give_way_to_the_way_back(plush):
    case = next(case for case in read_cases() if case.kind == "all8")
    latent, home = plush.latent(case.seed), [DragPair(pair.handle, pair.handle) for pair in case.pairs]
    *_, there = drag(plush, latent, case.pairs)
    *_, back = drag(plush, latent, home, resume=there.state)
    assert psnr(back.image(), plush.render(latent)) > 33  # 25 where a handle that is unsure holds as fast as any


def test_a_handle_at_its_target_stays_there_while_another_moves(plush):
    anchor = (72, 60, 72, 60)
    *_, step = drag(plush, plush.latent(3, 0.7), pairs_of((183, 145, 168, 145), anchor))
    assert step.handles[1].distance(Point(72, 60)) <= 2


@pytest.mark.parametrize("masked", [False, True])
def test_going_on_is_as_if_it_had_not_stopped(masked):
    generator, mask = tiny_generator(64), None
    if masked:
        mask = torch.zeros(64, 64)
        mask[:40] = 1
    latent, pairs = generator.latent(1), pairs_of((20, 20, 50, 30), (40, 8, 60, 60))
    whole_way = list(drag(generator, latent, pairs, mask, KinematicConfig(max_steps=6)))
    for at in range(len(whole_way) - 1):
        state = whole_way[at].state
        rest = list(drag(generator, latent, pairs, mask, KinematicConfig(max_steps=6 - at), resume=state))
        assert len(rest) == len(whole_way) - at
        for step, expected in zip(rest, whole_way[at:], strict=True):
            assert torch.equal(step.latent, expected.latent)
            assert (step.handles, step.loss, step.last) == (expected.handles, expected.loss, expected.last)


@pytest.mark.parametrize("masked", [False, True])
def test_a_larger_picture_of_the_same_features_is_dragged_alike(masked):
    """The blocks above those that a drag reads make more pixels of the same places."""
    config = tiny_config(512)
    tensors = random_tensors(config)
    large = Generator(config, tensors)
    small = Generator(tiny_config(256), {name: t for name, t in tensors.items() if ".b512." not in name})
    ends, mask = [], torch.ones(256, 256).triu()
    for generator, scale in ((small, 1), (large, 2)):
        places = [tuple((v + 0.5) * scale - 0.5 for v in p) for p in ((80, 80, 110, 90), (160, 40, 150, 70))]
        held = mask.repeat_interleave(scale, 0).repeat_interleave(scale, 1) if masked else None
        config = KinematicConfig(max_steps=4, tolerance=float(scale))
        *_, last = drag(generator, generator.latent(1), pairs_of(*places), held, config)
        ends.append((last.latent[:, :14], [((h.x + 0.5) / scale, (h.y + 0.5) / scale) for h in last.handles]))
    assert (ends[0][0] - small.latent(1)).norm() > 0.1
    torch.testing.assert_close(*(latent for latent, _ in ends), rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(*(torch.tensor(handles) for _, handles in ends), rtol=0, atol=0.05)


def test_going_on_looks_once(monkeypatch):
    """A live drag goes on after every few steps, with another target."""
    generator, mask = tiny_generator(64), torch.zeros(64, 64)
    mask[:40] = 1
    first, second = pairs_of((20, 20, 50, 30)), pairs_of((20, 20, 40, 35))
    *_, there = drag(generator, generator.latent(1), first, mask, FEW)
    looked, views = [], kinematics._view
    monkeypatch.setattr(kinematics, "_view", lambda *given: looked.append(given) or views(*given))
    monkeypatch.setattr(fixed, "FixedRows", None)  # what the mask holds is known
    again = next(drag(generator, generator.latent(1), second, mask, FEW, there.state))
    assert torch.equal(again.latent, there.latent)
    assert len(looked) == 1


def test_a_drag_that_gave_up_tries_anew_with_another_target():
    generator = tiny_generator(64)
    latent, pairs = generator.latent(1), pairs_of((20, 20, 50, 30))
    *_, over = drag(generator, latent, pairs)
    assert not over.arrived
    assert over.state.damping > 0.05
    assert over.state.pull < KinematicConfig().pull
    first = next(drag(generator, latent, pairs_of((20, 20, 40, 30)), resume=over.state))
    assert not first.last
    assert first.handles == over.handles
    assert (first.state.damping, first.state.pull, first.state.least) == (0.05, KinematicConfig().pull, first.loss)


def test_w_moves_all_layers_alike():
    generator = tiny_generator(64)
    latent = generator.latent(1)
    steps = list(drag(generator, latent, pairs_of((20, 20, 50, 30)), config=KinematicConfig(max_steps=1, space="w")))
    gone = (steps[-1].latent - latent)[0]
    torch.testing.assert_close(gone[:6], gone[:1].expand(6, -1))


def test_the_farther_the_handles_go_together_the_less_it_counts_what_is_seen():
    generator = tiny_generator(64)

    def metric(*coordinates, **settings):
        return kinematics._metric(generator, pairs_of(*coordinates), KinematicConfig(moving_layers=4, **settings))

    far, no_way = (20, 20, 36, 20), (5, 5, 5, 5)
    assert metric(far, far, visible=2.0).visible == 2.0 / 0.5**2
    assert metric(no_way, stride=0.25).visible == KinematicConfig().visible / 0.25**2
    assert [metric(far, shared=0.3, space=space).shared for space in ("w_plus", "w")] == [0.3, 1]


def test_sixty_eight_points():
    generator = tiny_generator(64)
    places = [(x, y) for y in range(2, 62, 8) for x in range(2, 62, 7)][:68]
    *_, step = drag(generator, generator.latent(1), pairs_of(*((x, y, 63 - x, 63 - y) for x, y in places)), config=FEW)
    assert len(step.handles) == len(step.distances) == len(step.stuck) == 68


def test_many_handles_are_damped_more_than_few():
    generator = tiny_generator(64)
    six = [(8 * i, 20, 8 * i + 6, 24) for i in range(1, 7)]

    def first(pairs, **settings):
        return next(drag(generator, generator.latent(1), pairs_of(*pairs), config=KinematicConfig(**settings)))

    assert [first(pairs).state.damping for pairs in (six[:5], six)] == [0.05, 0.4]
    assert [first(pairs, damping=0.2).state.damping for pairs in (six[:5], six)] == [0.2, 0.2]


def test_the_loss_never_rises_and_where_it_no_longer_falls_the_drag_says_why():
    generator = tiny_generator(64)
    pairs = pairs_of((30, 30, 60, 30), (32, 30, 2, 30))  # torn apart
    steps = list(drag(generator, generator.latent(1), pairs, config=KinematicConfig(max_steps=200, patience=2)))
    assert len(steps) == 1 + 2, "each of which gains less than a tenth"
    assert not steps[-1].arrived
    losses = [step.loss for step in steps]
    assert losses == sorted(losses, reverse=True)
    assert any(steps[-1].stuck)
    assert all(reason is None for step in steps[:-1] for reason in step.stuck)


def test_handles_that_want_opposite_things_oppose_each_other(plush):
    pairs = pairs_of((128, 150, 158, 150), (131, 150, 101, 150), (60, 60, 60, 60))
    *_, step = drag(plush, plush.latent(6, 0.7), pairs)
    assert step.stuck == ("other handles", "other handles", None), "the last is where it shall be"


@pytest.mark.parametrize(("unlike", "reason"), [(math.inf, "limit"), (-1, "lost")])
def test_a_handle_that_nothing_opposes_is_at_the_limit_or_lost(monkeypatch, unlike, reason):
    monkeypatch.setattr(kinematics, "LOST", unlike)
    generator, mask = tiny_generator(64), torch.ones(64, 64)
    mask[60:, 60:] = 0  # far from all that moves
    for given in (None, mask):
        *_, step = drag(generator, generator.latent(1), pairs_of((20, 20, 50, 30)), given)
        assert step.stuck == (reason,)


def test_a_handle_that_its_surroundings_hold_in_one_direction_alone_is_dragged_too(monkeypatch):
    """On a straight edge, along which all looks the same."""
    motion = kinematics.motion
    monkeypatch.setattr(kinematics, "motion", lambda *given: (motion(*given)[0], torch.zeros(1)))
    generator = tiny_generator(64)
    first, *_, last = drag(generator, generator.latent(1), pairs_of((20, 20, 50, 30)), config=FEW)
    assert last.loss < first.loss


def test_a_handle_with_less_than_a_stride_to_go_is_looked_for_no_farther():
    generator, config = tiny_generator(64), KinematicConfig(max_steps=1, stride=0.25)
    first, last = drag(generator, generator.latent(1), pairs_of((20, 20, 24, 22)), config=config)
    assert last.distances[0] < first.distances[0]


def test_the_mask_holds_the_rest_of_the_picture(plush):
    latent = plush.latent(3, 0.7)
    mask = torch.zeros(256, 256)
    mask[:110] = 1  # the ears may move
    start, change = plush.render(latent), []
    for given in (None, mask):
        *_, step = drag(plush, latent, pairs_of((175, 52, 165, 58)), given)
        assert step.distances[0] < 6
        change.append((step.image() - start).abs().mean(dim=1)[0][mask == 0].mean().item())
    assert change[1] < 0.007
    assert change[1] < 0.5 * change[0]


def test_with_a_mask_a_drag_that_has_arrived_goes_on_until_it_gains_little():
    """What the mask has lost may still come back."""
    generator, config, mask = tiny_generator(64), KinematicConfig(tolerance=40), torch.zeros(64, 64)
    mask[:40] = 1
    for given, steps in ((None, 1), (mask, 2)):
        way = list(drag(generator, generator.latent(1), pairs_of((20, 20, 50, 30)), given, config))
        assert [step.arrived for step in way] == [True] * steps


def test_a_mask_that_forbids_the_drag_is_named(plush):
    mask = torch.zeros(256, 256)
    mask[140:180, 110:150] = 1  # the nose alone: it would have to leave the head
    *_, step = drag(plush, plush.latent(4, 0.7), pairs_of((131, 155, 95, 150)), mask)
    assert step.last
    assert step.stuck == ("mask",)


@pytest.mark.parametrize("configs", [(FEW, DragConfig(max_steps=1)), (DragConfig(max_steps=1), FEW)])
def test_a_state_of_another_engine_is_refused(configs):
    generator = tiny_generator()
    pairs = pairs_of((5, 5, 20, 20))
    other = next(drag(generator, generator.latent(1), pairs, config=configs[0]))
    with pytest.raises(ValueError, match="belongs to another engine"):
        drag(generator, generator.latent(1), pairs, config=configs[1], resume=other.state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": "z"}, "'z' is not one of w_plus, w"),
        ({"stride": 0}, "stride is 0"),
        ({"search": 0.5}, "search is 0.5"),
        ({"damping": math.inf}, "damping is inf"),
        ({"pull": 1.5}, "pull is 1.5"),
        ({"renewal": -1}, "renewal is -1"),
        ({"moving_layers": 0}, "moving_layers is 0"),
        ({"mask_weight": -1}, "mask_weight is -1"),
        ({"mask_rows": 0}, "mask_rows is 0: it must be in 1 .. 1024"),
        ({"mask_rows": 10**6}, "mask_rows is 1000000"),
        ({"patience": 0}, "patience"),
        ({"tolerance": 0}, "tolerance is 0"),
        ({"max_steps": 2.5}, "max_steps is 2.5: it must be a whole number"),
        ({"patience": 2.5}, "patience is 2.5"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        KinematicConfig(**settings)
