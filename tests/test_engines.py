"""The engines by name: each drags, and takes its own settings."""

import pytest
import torch

from draggan.engines import DEFAULT, ENGINES, engine_of
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
    with pytest.raises(ValueError, match="size is not a setting of this engine: it has max_steps, .*stride"):
        engine_of(DEFAULT).settings(size=1)
