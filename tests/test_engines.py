"""The engines by name: each drags, and takes its own settings."""

import math
from dataclasses import replace
from itertools import islice, pairwise

import pytest
import torch

from draggan.engine import kinematics, paper
from draggan.engine.engines import DEFAULT, ENGINES, drag, engine_of
from draggan.engine.kinematics import KinematicConfig
from draggan.engine.paper import DragConfig
from draggan.geometry import DragPair, Point
from draggan.stylegan2.generator import Generator
from tests.networks import random_tensors, tiny_config, tiny_generator

FEW = {  # steps
    "kinematics": engine_of("kinematics").settings(max_steps=3),
    "draggan": engine_of("draggan").settings(lr=0.02, max_steps=6),
}
REMEDY = {"kinematics": "raise damping, or lower stride", "draggan": "lower lr, the step size"}


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_drags_and_goes_on(name):
    generator, engine = tiny_generator(64), engine_of(name)
    latent, pairs = generator.latent(1), [DragPair(Point(20, 20), Point(50, 30))]
    first, second, *_ = drag(generator, latent, pairs, None, engine.settings(max_steps=2))
    assert torch.equal(first.latent, latent)
    assert not torch.equal(second.latent, latent)
    again = next(drag(generator, latent, pairs, None, engine.settings(), resume=second.state))
    assert torch.equal(again.latent, second.latent)
    assert again.handles == second.handles


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_first_drag_works_whatever_the_caller_does_with_gradients(name, context):
    engine, pairs, mask = engine_of(name), [DragPair(Point(20, 20), Point(50, 30))], torch.ones(64, 64)
    mask[:, 55:] = 0
    latent, settings = tiny_generator(64).latent(1), engine.settings(max_steps=3)
    *_, expected = drag(tiny_generator(64), latent, pairs, mask, settings)
    generator = tiny_generator(64)
    with context():
        *_, step = drag(generator, latent, pairs, mask, settings)
    assert torch.equal(step.latent, expected.latent)
    *_, again = drag(generator, latent, pairs, mask, settings)
    assert torch.equal(again.latent, expected.latent)


@pytest.mark.parametrize("name", ENGINES)
def test_what_its_owner_changes_is_another(name):
    """The latent and the mask, also before the first step, and the latents of the steps."""
    engine, generator, pairs = engine_of(name), tiny_generator(64), [DragPair(Point(20, 20), Point(50, 30))]
    latent, mask, settings = generator.latent(1), torch.ones(64, 64), engine.settings(max_steps=3)
    mask[:, 55:] = 0
    *_, expected = drag(generator, latent.clone(), pairs, mask.clone(), settings)
    steps = drag(generator, latent, pairs, mask, settings)
    latent.zero_()
    mask.zero_()
    for step in steps:
        end = step.latent.clone()
        step.latent.zero_()
    assert torch.equal(end, expected.latent)
    assert torch.equal(end, step.state.latent)
    assert torch.equal(step.state.origin, expected.state.origin)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("width", [4, 2])
def test_handles_at_the_border_stay_in_the_picture(name, width):
    generator = tiny_generator(32, width=width)
    size = generator.image_size
    right, bottom = size[1] - 1, size[0] - 1
    ends = ((0, 0, right, bottom), (right, 0, 0, 0), (0, bottom, 0, 0), (right + 0.5, bottom + 0.5, 3, 3))
    pairs = [DragPair(Point(hx, hy), Point(tx, ty)) for hx, hy, tx, ty in ends]
    for step in drag(generator, generator.latent(1), pairs, config=FEW[name]):
        assert all(handle.inside(size) for handle in step.handles)
        assert math.isfinite(step.loss)
        assert step.latent.isfinite().all()


@pytest.mark.parametrize("name", ENGINES)
def test_drags_in_low_precision_say_how_they_are_had(name):
    pairs = [DragPair(Point(20, 20), Point(50, 30))]
    with pytest.raises(ValueError, match=r"need a generator of float32 .* load it with draggan.load"):
        drag(tiny_generator(64).bfloat16(), tiny_generator(64).latent(1), pairs, None, engine_of(name).settings())
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match="and no autocast"):
        drag(tiny_generator(64), tiny_generator(64).latent(1), pairs, None, engine_of(name).settings())


@pytest.mark.parametrize("name", ENGINES)
def test_pairs_in_another_order_are_the_same_drag(name):
    engine, generator = engine_of(name), tiny_generator(64)
    latent, pairs = generator.latent(1), [DragPair(Point(20, 20), Point(50, 30)), DragPair(Point(40, 8), Point(60, 60))]
    *_, last = drag(generator, latent, pairs, None, engine.settings(max_steps=2))
    again = next(drag(generator, latent, pairs[::-1], None, engine.settings(), resume=last.state))
    assert again.handles == again.state.handles == last.handles[::-1]
    for handle, pair, distance in zip(again.handles, pairs[::-1], again.distances, strict=True):
        assert handle.distance(pair.target) == pytest.approx(distance, rel=1e-5)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("channels", [(8, 8, 8, 6, 4), (8,) * 5], ids=["of other numbers", "of as many numbers"])
def test_a_state_of_other_features_is_refused(name, channels):
    config = replace(tiny_config(64), channels=channels)
    engine, generator = engine_of(name), Generator(config, random_tensors(config))
    latent, pairs = generator.latent(1), [DragPair(Point(20, 20), Point(50, 30))]
    *_, last = drag(generator, latent, pairs, None, engine.settings(max_steps=1))
    with pytest.raises(ValueError, match="another feature_resolution"):
        drag(generator, latent, pairs, None, engine.settings(feature_resolution=32), resume=last.state)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_features_beyond_all_numbers_are_a_clear_error(name, value):
    engine, generator = engine_of(name), tiny_generator(64)
    given = generator, generator.latent(1), [DragPair(Point(20, 20), Point(50, 30))]
    steps = drag(*given, config=engine.settings())
    kept = [next(steps), next(steps)]
    generator.synthesis.b64.conv1.bias[0] = value
    with pytest.raises(FloatingPointError, match=f"diverged at step 2: .*{REMEDY[name]}"):
        next(steps)
    assert all(step.latent.isfinite().all() for step in kept)
    with pytest.raises(FloatingPointError, match=f"diverged at step 0: .*{REMEDY[name]}"):
        next(drag(*given, config=engine.settings()))


def test_settings_that_are_not_given_stay_at_their_defaults():
    for engine in ENGINES.values():
        assert engine.settings(max_steps=None) == engine.settings()
        assert engine.settings(max_steps=7).max_steps == 7


def test_what_there_is_not_is_named():
    with pytest.raises(ValueError, match="'adam' is not one of kinematics, draggan"):
        engine_of("adam")
    with pytest.raises(ValueError, match="lr is not a setting of this engine: draggan has it"):
        engine_of(DEFAULT).settings(lr=1)
    with pytest.raises(ValueError, match=r"size is not a setting of this engine: it has max_steps, .*stride"):
        engine_of(DEFAULT).settings(size=1)


@pytest.mark.parametrize("name", ENGINES)
def test_the_settings_and_the_state_say_which_engine_drags(name):
    generator, engine = tiny_generator(64), engine_of(name)
    given = generator, generator.latent(1), [DragPair(Point(20, 20), Point(50, 30))], None
    *_, expected = drag(*given, engine.settings(max_steps=2))
    *_, last = drag(*given, engine.settings(max_steps=2))
    assert type(last.state) is engine.module().State
    assert torch.equal(last.latent, expected.latent)
    assert type(next(drag(*given, resume=last.state)).state) is engine.module().State
    assert type(next(drag(*given)).state) is ENGINES[DEFAULT].module().State


def test_other_settings_are_refused():
    generator = tiny_generator(64)
    with pytest.raises(ValueError, match="config is a dict: it must be a KinematicConfig or DragConfig"):
        drag(generator, generator.latent(1), [DragPair(Point(20, 20), Point(50, 30))], config={"lr": 1})


PAIRS = [DragPair(Point(20, 20), Point(50, 30)), DragPair(Point(40, 8), Point(60, 60))]


@pytest.mark.parametrize("name", ENGINES)
def test_max_steps_are_those_of_one_call(name):
    generator, settings = tiny_generator(64), engine_of(name).settings
    *_, last = drag(generator, generator.latent(1), PAIRS, None, settings(max_steps=3, tolerance=1e-6))
    rest = islice(drag(generator, last.latent, PAIRS, None, settings(max_steps=2, tolerance=1e-6), last.state), 9)
    assert [(step.index, step.last) for step in rest] == [(3, False), (4, False), (5, True)]


@pytest.mark.parametrize("settings", [{"space": "w"}, {"moving_layers": 3}])
def test_the_means_of_other_layers_are_left_behind(settings):
    """What moves may change while a drag is paused."""
    generator = tiny_generator(64)
    *_, last = drag(generator, generator.latent(1), PAIRS, config=DragConfig(lr=0.02, max_steps=3))
    config = DragConfig(lr=0.02, max_steps=1, **settings)
    *_, step = drag(generator, last.latent, PAIRS, None, config, last.state)
    *_, anew = drag(generator, last.latent, PAIRS, None, config)
    assert step.state.adam["step"] == 1
    assert step.state.adam["exp_avg"].shape == anew.state.adam["exp_avg"].shape
    assert not torch.equal(step.latent, last.latent)


@pytest.mark.parametrize("name", ENGINES)
def test_each_kept_template_has_its_own_memory(name):
    """Not that of all of them: a state of 68 points would be as large as 68."""
    generator = tiny_generator(64)
    *_, last = drag(generator, generator.latent(1), PAIRS, None, engine_of(name).settings(max_steps=1))
    for template in last.state.templates:
        assert template.untyped_storage().nbytes() == template.nbytes


def test_what_is_looked_at_is_a_part_of_the_longer_side(monkeypatch):
    seen = []
    for name in ("disc", "square"):
        of = getattr(paper, name)
        monkeypatch.setattr(paper, name, lambda r, like, of=of: seen.append(r) or of(r, like))
    generator = tiny_generator(64, width=2)
    next(drag(generator, generator.latent(1), [DragPair(Point(5, 5), Point(9, 9))], config=DragConfig(r1=0.1, r2=0.2)))
    assert generator.image_size == (64, 32)
    assert seen == pytest.approx([6.4, 12.8])


@pytest.mark.parametrize("name", ENGINES)
def test_in_w_a_latent_whose_layers_differ_stays_so(name):
    """After a drag in W+, or in another style."""
    generator = tiny_generator(64)
    latent = torch.cat([generator.latent(seed)[:, i : i + 1] for i, seed in enumerate(range(generator.num_ws))], dim=1)
    config = engine_of(name).settings(max_steps=2, space="w")
    first, *_, last = drag(generator, latent, PAIRS, None, config)
    torch.testing.assert_close(first.latent, latent)
    gone = (last.latent - latent)[0, :6]
    assert gone.norm() > 0
    if name == "draggan":  # the other pulls each layer back to its own
        torch.testing.assert_close(gone, gone[:1].expand(6, -1), atol=1e-5, rtol=0)


def test_where_no_try_helps_the_drag_ends_at_once():
    """The same tries would follow as often as `patience` says."""
    generator = tiny_generator(64)
    torn = [DragPair(Point(30, 30), Point(60, 30)), DragPair(Point(32, 30), Point(2, 30))]
    steps = list(drag(generator, generator.latent(1), torn, config=KinematicConfig(max_steps=200)))
    still = [b.last for a, b in pairwise(steps) if torch.equal(a.latent, b.latent)]
    assert still == [True]


def test_the_damping_never_falls_below_what_was_asked_for():
    generator = tiny_generator(64)
    for least in (0.05, 0.3):
        config = KinematicConfig(max_steps=6, damping=least, tolerance=1e-6)
        assert all(s.state.damping >= least for s in drag(generator, generator.latent(1), PAIRS, config=config))


def test_handles_are_looked_for_on_the_smallest_pictures(monkeypatch):
    """Around where they should be, not there alone."""
    seen, lattice = [], kinematics.lattice
    monkeypatch.setattr(kinematics, "lattice", lambda *given: seen.append(lattice(*given)) or seen[-1])
    generator = tiny_generator(32)
    next(drag(generator, generator.latent(1), [DragPair(Point(5, 5), Point(9, 9))]))
    assert [len(each.offsets) for each in seen] == [9]
