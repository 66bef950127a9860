"""The edits that a user may make to a picture's points, mask and drag."""

import pickle

import numpy as np
import pytest
import torch

from draggan.engine import MAX_PAIRS, DragConfig
from draggan.geometry import DragPair, Point
from draggan.session import new_session
from tests.networks import tiny_generator

CONFIG = DragConfig(lr=0.02, max_steps=3)


@pytest.fixture(scope="module")
def generator():
    return tiny_generator(32, width=2)


@pytest.fixture
def session(generator):
    return new_session(generator, "tiny", seed=3, truncation_psi=0.7)


def test_a_new_session_has_a_picture_and_no_points(generator, session):
    assert torch.equal(session.latent, generator.latent(3, 0.7))
    assert session.image_size == (32, 16)
    assert session.pairs == ()
    assert session.phase == "ready"


def test_two_clicks_make_a_pair(session):
    once = session.click(Point(1, 2))
    assert once.pending == Point(1, 2)
    twice = once.click(Point(9, 8))
    assert twice.pairs == (DragPair(Point(1, 2), Point(9, 8)),)
    assert twice.pending is None
    assert session.pairs == ()


def test_undo_takes_back_click_by_click(session):
    done = session.click(Point(1, 2)).click(Point(9, 8)).click(Point(3, 3))
    assert done.undo_point().pending is None
    assert done.undo_point().undo_point().pending == Point(1, 2)
    empty = done.undo_point().undo_point().undo_point()
    assert empty.pending is None
    assert empty.pairs == ()
    assert empty.undo_point() is empty


def test_clicks_that_make_no_sense_are_refused(session):
    with pytest.raises(ValueError, match="outside the picture"):
        session.click(Point(16, 2))
    with pytest.raises(ValueError, match=r"a handle at \(1, 2\) already"):
        session.click(Point(1, 2)).click(Point(9, 8)).click(Point(1, 2))
    full = session
    for i in range(MAX_PAIRS):
        full = full.click(Point(i % 16, i // 16)).click(Point(0, 0))
    with pytest.raises(ValueError, match="68 points already"):
        full.click(Point(9, 20))


def test_a_drag_moves_latent_and_handles_and_can_go_on(generator, session):
    session = session.click(Point(1, 2)).click(Point(9, 8))
    started, steps = session, list(session.run(generator, CONFIG))
    phases = []
    for step in steps:
        session = session.advance(step)
        phases.append(session.phase)
    assert phases == ["dragging"] * 3 + ["limit"]
    assert session.steps == 3
    assert session.handles == steps[-1].handles
    assert session.pairs == started.pairs
    assert not torch.equal(session.latent, started.latent)
    again = next(session.run(generator, CONFIG))
    assert again.index == 3
    assert torch.equal(again.latent, session.latent)


def test_stop_keeps_the_last_step(generator, session):
    session = session.click(Point(1, 2)).click(Point(9, 8))
    moved = session.advance(next(session.run(generator, CONFIG)))
    assert moved.phase == "dragging"
    assert moved.stop().phase == "stopped"
    assert moved.stop().drag is moved.drag
    assert session.stop() is session


def test_reset_goes_back_and_clear_stays(generator, session):
    session = session.click(Point(1, 2)).click(Point(9, 8))
    moved = session
    for step in session.run(generator, CONFIG):
        moved = moved.advance(step)
    assert torch.equal(moved.reset().latent, session.start)
    assert moved.reset().handles == (Point(1, 2),)
    assert torch.equal(moved.clear_points().latent, moved.latent)
    assert moved.clear_points().pairs == ()
    assert moved.clear_points().drag is None


def test_a_handle_taken_back_after_a_drag_waits_where_it_is_now(generator, session):
    session = session.click(Point(1, 2)).click(Point(9, 8))
    for step in list(session.run(generator, CONFIG)):
        session = session.advance(step)
    assert session.undo_point().pending == session.handles[0]


def test_a_mask_must_fit(session):
    mask = np.zeros((32, 16), dtype=bool)
    assert session.with_mask(mask).mask is mask
    assert session.with_mask(mask).with_mask(None).mask is None
    with pytest.raises(ValueError, match="mask of 32 x 16 pixels"):
        session.with_mask(np.zeros((16, 32), dtype=bool))


def test_nothing_to_drag_is_said(generator, session):
    with pytest.raises(ValueError, match="nothing to drag yet"):
        session.run(generator, CONFIG)


def test_a_tab_costs_less_than_two_megabytes(plush):
    session = new_session(plush, "plush-256", 1, 0.7).with_mask(np.ones((256, 256), dtype=bool))
    for i in range(MAX_PAIRS):
        session = session.click(Point(3 * i, 100)).click(Point(3 * i + 20, 120))
    for step in session.run(plush, DragConfig(max_steps=1)):
        session = session.advance(step)
    assert len(pickle.dumps(session)) < 2_000_000
