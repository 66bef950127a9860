"""The engines by name: each drags, and takes its own settings."""

import pytest
import torch

from draggan.engines import DEFAULT, ENGINES, drag, engine_of
from draggan.geometry import DragPair, Point
from tests.networks import tiny_generator


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_drags_and_goes_on(name):
    generator, engine = tiny_generator(64), engine_of(name)
    latent, pairs = generator.latent(1), [DragPair(Point(20, 20), Point(50, 30))]
    first, second, *_ = engine.drag(generator, latent, pairs, None, engine.settings(max_steps=2))
    assert torch.equal(first.latent, latent)
    assert not torch.equal(second.latent, latent)
    again = next(engine.drag(generator, latent, pairs, None, engine.settings(), resume=second.state))
    assert torch.equal(again.latent, second.latent)
    assert again.handles == second.handles


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
    *_, expected = engine.drag(*given, engine.settings(max_steps=2))
    *_, last = drag(*given, engine.settings(max_steps=2))
    assert type(last.state) is engine.state
    assert torch.equal(last.latent, expected.latent)
    assert type(next(drag(*given, resume=last.state)).state) is engine.state
    assert type(next(drag(*given)).state) is ENGINES[DEFAULT].state


def test_other_settings_are_refused():
    generator = tiny_generator(64)
    with pytest.raises(ValueError, match="config is a dict: it must be a KinematicConfig or DragConfig"):
        drag(generator, generator.latent(1), [DragPair(Point(20, 20), Point(50, 30))], config={"lr": 1})
