"""The engines by name: each drags, and takes its own settings."""

import math
from dataclasses import replace

import pytest
import torch

from draggan.engines import DEFAULT, ENGINES, drag, engine_of
from draggan.geometry import DragPair, Point
from draggan.stylegan2.generator import Generator
from tests.networks import random_tensors, tiny_config, tiny_generator

FEW = {  # steps
    "kinematics": engine_of("kinematics").settings(max_steps=3),
    "draggan": engine_of("draggan").settings(lr=0.02, max_steps=6),
}
REMEDY = {"kinematics": "raise damping, or lower stride", "draggan": "lower lr"}


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
    engine, pairs = engine_of(name), [DragPair(Point(20, 20), Point(50, 30))]
    latent, settings = tiny_generator(64).latent(1), engine.settings(max_steps=3)
    *_, expected = drag(tiny_generator(64), latent, pairs, None, settings)
    generator = tiny_generator(64)
    with context():
        *_, step = drag(generator, latent, pairs, None, settings)
    assert torch.equal(step.latent, expected.latent)
    *_, again = drag(generator, latent, pairs, None, settings)
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
