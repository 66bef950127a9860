"""The edits that a user may make to a picture's points, mask and drag."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from draggan import session as module
from draggan.engine.kinematics import KinematicConfig
from draggan.engine.paper import DragConfig
from draggan.engine.steps import MAX_PAIRS
from draggan.film import Film, Frame
from draggan.geometry import DragPair, Point
from draggan.inversion.photo import Photo
from draggan.inversion.picture import Crop, Picture
from draggan.session import HISTORY, HISTORY_BYTES, SHOTS, new_session, photo_session
from draggan.stylegan2.delta import Delta
from tests.networks import tiny_generator

CONFIG = DragConfig(lr=0.02, max_steps=3)


@pytest.fixture(scope="module")
def generator():
    return tiny_generator(32, width=2)


@pytest.fixture
def session(generator):
    return new_session(generator, "tiny", seed=3, truncation_psi=0.7).dragged_by("draggan", CONFIG)


def test_a_new_session_has_a_picture_and_no_points(generator, session):
    assert torch.equal(session.latent, generator.latent(3, 0.7))
    assert session.image_size == (32, 16)
    assert session.pairs == session.distances == ()
    assert (session.phase, session.steps) == ("ready", 0)


def test_two_clicks_make_a_pair(session):
    once = session.click(Point(1, 2))
    assert once.pending == Point(1, 2)
    twice = once.click(Point(9, 8))
    assert twice.pairs == (DragPair(Point(1, 2), Point(9, 8)),)
    assert twice.pending is None
    assert session.pairs == ()


def test_a_pair_can_be_moved_and_removed(session):
    session = session.add(DragPair(Point(1, 2), Point(9, 8))).add(DragPair(Point(3, 3), Point(4, 4)))
    assert session.move(0, "target", Point(5, 5)).pairs[0] == DragPair(Point(1, 2), Point(5, 5))
    assert session.move(1, "handle", Point(5, 5)).pairs[1] == DragPair(Point(5, 5), Point(4, 4))
    assert session.move(1, "handle", Point(3, 3)).pairs == session.pairs
    assert session.remove(0).pairs == session.pairs[1:]
    with pytest.raises(ValueError, match=r"a handle at \(1, 2\) already"):
        session.move(1, "handle", Point(1, 2))
    with pytest.raises(ValueError, match="outside the picture"):
        session.move(1, "target", Point(1, 32))
    with pytest.raises(ValueError, match="no point number 3: there are 2"):
        session.remove(2)


def test_where_a_handle_waits_is_no_place_for_another(session):
    waiting = session.add(DragPair(Point(1, 2), Point(9, 8))).click(Point(5, 5))
    with pytest.raises(ValueError, match=r"a handle at \(5, 5\) already"):
        waiting.move(0, "handle", Point(5, 5))
    assert waiting.move(0, "target", Point(5, 5)).click(Point(7, 7)).handles == (Point(1, 2), Point(5, 5))


def test_a_waiting_handle_can_be_dropped(session):
    assert session.click(Point(1, 2)).drop().pending is None
    assert session.drop() is session


def test_a_moved_handle_starts_anew_and_a_moved_target_does_not(generator, session):
    session = session.add(DragPair(Point(1, 2), Point(9, 8)))
    for step in session.run(generator):
        session = session.advance(step)
    assert session.move(0, "target", Point(2, 20)).handles == session.handles
    assert session.move(0, "handle", Point(2, 20)).handles == (Point(2, 20),)
    step = next(session.move(0, "handle", Point(2, 20)).run(generator))
    assert step.handles == (Point(2, 20),)


@pytest.mark.parametrize(("engine", "settings"), [("draggan", CONFIG), ("kinematics", KinematicConfig(max_steps=1))])
@pytest.mark.parametrize(
    "back",
    [
        lambda s: s.remove(0).add(DragPair(Point(1, 2), Point(9, 8))),
        lambda s: s.remove(0).pull(Point(1, 2), Point(9, 8)),
        lambda s: s.move(0, "handle", Point(2, 20)).move(0, "handle", Point(1, 2)),
        lambda s: s.move(0, "handle", Point(1, 2)),
    ],
)
def test_a_handle_set_where_one_began_that_went_elsewhere_starts_anew(generator, session, engine, settings, back):
    session = session.dragged_by(engine, settings).add(DragPair(Point(1, 2), Point(9, 8)))
    step = next(session.run(generator))
    moved = session.advance(replace(step, state=replace(step.state, handles=(Point(4, 5),), looked=(Point(4, 5),))))
    assert moved.handles == (Point(4, 5),)
    anew = back(moved)
    assert anew.handles == (Point(1, 2),)
    assert next(anew.run(generator)).state.looked == (Point(1, 2),)
    assert same(anew.undo().redo(), anew)


def test_only_where_a_handle_lies_there_is_no_place_for_another(generator, session):
    session = session.add(DragPair(Point(1, 2), Point(9, 8)))
    step = next(session.run(generator))
    moved = session.advance(replace(step, state=replace(step.state, handles=(Point(4, 5),)))).stop()
    both = moved.click(Point(1, 2)).click(Point(7, 7))
    assert both.handles == (Point(4, 5), Point(1.01, 2)), "the first began there: it is told apart by that"
    assert next(both.run(generator)).state.looked == (step.state.looked[0], Point(1.01, 2))
    assert both.move(1, "handle", Point(9, 9)).move(1, "handle", Point(1, 2)).handles == both.handles
    assert moved.move(0, "handle", Point(4, 5)) is moved
    with pytest.raises(ValueError, match=r"a handle at \(4, 5\) already"):
        moved.click(Point(4, 5))
    with pytest.raises(ValueError, match=r"a handle at \(4, 5\) already"):
        both.move(1, "handle", Point(4, 5))


def same(a, b):
    masks = [s.mask for s in (a, b)]
    return (
        torch.equal(a.latent, b.latent)
        and (a.pairs, a.pending, a.handles, a.phase) == (b.pairs, b.pending, b.handles, b.phase)
        and all(m is None for m in masks) == any(m is None for m in masks)
        and (masks[0] is None or np.array_equal(*masks))
    )


def test_undo_and_redo_go_through_every_kind_of_edit(generator, session):
    def dragged(now):
        for step in now.run(generator):
            now = now.advance(step)
        return now

    mask = np.arange(32 * 16).reshape(32, 16) % 3 == 0
    edits = [
        lambda s: s.click(Point(1, 2)),
        lambda s: s.click(Point(9, 8)),
        lambda s: s.add(DragPair(Point(3, 3), Point(4, 9))),
        lambda s: s.with_mask(mask),
        dragged,
        lambda s: s.move(1, "target", Point(8, 9)),
        dragged,
        lambda s: s.remove(0),
        lambda s: s.with_mask(None),
        lambda s: s.click(Point(7, 7)),
        lambda s: s.drop(),
        lambda s: s.reset(),
        lambda s: s.clear_points(),
    ]
    states = [session]
    for edit in edits:
        states.append(edit(states[-1]))
    now = states[-1]
    for expected in reversed(states[:-1]):
        now = now.undo()
        assert same(now, expected)
    assert now.undo() is now
    for expected in states[1:]:
        now = now.redo()
        assert same(now, expected)
    assert now.redo() is now
    assert same(now.undo(), states[-2]), "also of what was taken back before"
    assert now.undo().click(Point(2, 2)).future == ()


def test_what_changes_nothing_is_no_edit(generator, session):
    paired = session.add(DragPair(Point(1, 2), Point(9, 8))).with_mask(np.eye(32, 16) > 0)
    for now in (session.click(Point(1, 2)).undo(), paired.clear_points().undo()):
        assert now.future
        assert now.reset() is now
        assert now.with_mask(now.mask) is now
        assert now.restyled(now.latent, 3) is now
    assert session.clear_points() is session
    assert session.with_mask(None) is session
    assert paired.move(0, "target", Point(9, 8)) is paired
    kept = paired.keep(b"a small picture").clear_points().go_back(0)
    assert kept.go_back(0) is kept
    for step in paired.run(generator):
        paired = paired.advance(step)
    as_drawn = paired.reset()
    assert as_drawn is not paired
    assert as_drawn.reset() is as_drawn


def test_a_picture_of_another_model_can_be_undone(session):
    edited = session.click(Point(1, 2)).keep(b"a small picture")
    other = new_session(tiny_generator(32), "other", seed=5, truncation_psi=0.5)
    shown = edited.redrawn(other).keep(b"another")
    assert (shown.model, shown.image_size, shown.number) == ("other", (32, 32), 1)
    assert [shot.session.model for shot in shown.shots] == ["tiny", "other"]
    back = shown.undo()
    assert (back.model, back.image_size, back.pending) == ("tiny", (32, 16), Point(1, 2))
    assert back.redo().model == "other"
    assert shown.go_back(0).model == "tiny"


def test_a_drag_goes_on_after_undo_and_redo_as_if_nothing_had_been(generator, session):
    session = session.add(DragPair(Point(1, 2), Point(9, 8)))
    for step in session.run(generator):
        session = session.advance(step)
    plain, turned = (list(s.run(generator))[-1] for s in (session, session.undo().redo()))
    assert torch.equal(plain.latent, turned.latent)


def test_clicks_that_make_no_sense_are_refused(session):
    with pytest.raises(ValueError, match="outside the picture"):
        session.click(Point(16, 2))
    with pytest.raises(ValueError, match=r"a handle at \(1, 2\) already"):
        session.click(Point(1, 2)).click(Point(9, 8)).click(Point(1, 2))
    with pytest.raises(ValueError, match="outside the picture"):
        session.click(Point(1, 2)).click(Point(9, 32))
    full = session
    for i in range(MAX_PAIRS):
        full = full.click(Point(i % 16, i // 16)).click(Point(0, 0))
    with pytest.raises(ValueError, match="68 points already"):
        full.click(Point(9, 20))
    with pytest.raises(ValueError, match=r"a handle at \(1, 0\) already"):
        full.remove(2).add(DragPair(Point(1, 0), Point(9, 8)))
    with pytest.raises(ValueError, match="68 points already"):
        full.pull(Point(9, 20), Point(9, 8))


def test_what_there_is_not_is_refused(session):
    with pytest.raises(ValueError, match=r"\(16, 2\) lies outside the picture"):
        session.add(DragPair(Point(16, 2), Point(9, 8)))
    with pytest.raises(ValueError, match="end 'middle' is not one of handle, target"):
        session.add(DragPair(Point(1, 2), Point(9, 8))).move(0, "middle", Point(9, 20))
    with pytest.raises(ValueError, match="no picture number 2 to go back to: there are 1"):
        session.keep(b"a").go_back(1)
    with pytest.raises(ValueError, match="no picture number 0"):
        session.keep(b"a").go_back(-1)


def test_a_drag_moves_latent_and_handles_and_can_go_on(generator, session):
    session = session.click(Point(1, 2)).click(Point(9, 8))
    started, steps = session, list(session.run(generator))
    phases = []
    for step in steps:
        session = session.advance(step)
        phases.append(session.phase)
    assert phases == ["dragging"] * 3 + ["limit"]
    assert session.steps == 3
    assert session.handles == steps[-1].handles
    assert session.pairs == started.pairs
    assert not torch.equal(session.latent, started.latent)
    again = next(session.run(generator))
    assert again.index == 3
    assert torch.equal(again.latent, session.latent)


def test_handles_that_were_followed_to_one_place_can_still_be_dragged_from_there(generator, session):
    for handle in (Point(1, 2), Point(3, 2), Point(5, 2)):
        session = session.add(DragPair(handle, Point(9, 8)))
    step = next(session.run(generator))
    met = session.advance(replace(step, state=replace(step.state, handles=(Point(4, 5),) * 3))).stop()
    assert met.handles == (Point(4, 5),) * 3
    after = (
        met.dragged_by("kinematics", KinematicConfig()),
        met.restyled(generator.latent(8), 2),
        met.keep(b"a small picture").clear_points().go_back(0),
    )
    for now in after:
        assert [pair.handle for pair in now.pairs] == [Point(4, 5), Point(4.01, 5), Point(4.02, 5)]
        assert next(now.run(generator)).index == 0


@pytest.mark.parametrize(("engine", "settings"), [("draggan", DragConfig), ("kinematics", KinematicConfig)])
def test_a_drag_goes_on_from_its_handles_with_the_features_of_another_block(generator, session, engine, settings):
    session = session.add(DragPair(Point(1, 2), Point(9, 8)))
    session = session.dragged_by(engine, settings(feature_resolution=32))
    step = next(session.run(generator))
    session = session.advance(replace(step, state=replace(step.state, handles=(Point(4, 5),)))).stop()
    same = session.dragged_by(engine, settings(max_steps=5, feature_resolution=32))
    assert (same.drag, same.pairs) == (session.drag, session.pairs)
    other = session.dragged_by(engine, settings(feature_resolution=16))
    assert other.pairs == (DragPair(Point(4, 5), Point(9, 8)),)
    assert next(other.run(generator)).handles[0].distance(Point(4, 5)) < 0.1


def test_stop_keeps_the_last_step(generator, session):
    session = session.click(Point(1, 2)).click(Point(9, 8))
    moved = session.advance(next(session.run(generator)))
    assert moved.phase == "dragging"
    assert moved.stop().phase == "stopped"
    assert moved.stop().drag is moved.drag
    assert session.stop() is session
    for phase in ("ready", "arrived", "stuck", "stopped"):
        loading = replace(moved, phase=phase, loading=True)
        assert loading.busy
        assert (loading.stop().phase, loading.stop().busy) == (phase, False), "it was not the drag that was stopped"


def test_a_pull_and_its_drag_are_one_edit(generator, session):
    waiting = session.click(Point(3, 3))
    first = waiting.pull(Point(1, 2), Point(9, 8))
    assert (first.pairs, first.pending) == ((DragPair(Point(1, 2), Point(9, 8)),), None)
    second = first.pull(0, Point(9, 8))  # where it was: the drag to it is an edit all the same
    for before, pulled in ((waiting, first), (first, second)):
        dragged = replace(pulled, phase="dragging")
        for step in pulled.run(generator):
            dragged = replace(dragged.advance(step), phase="dragging")
        undone = dragged.stop().undo()
        assert torch.equal(undone.latent, before.latent)
        assert (undone.pairs, undone.pending, undone.drag) == (before.pairs, before.pending, before.drag)
    with pytest.raises(ValueError, match="no point number 2"):
        first.pull(1, Point(3, 3))


def test_reset_goes_back_and_clear_stays(generator, session):
    session = session.click(Point(1, 2)).click(Point(9, 8))
    moved = session
    for step in session.run(generator):
        moved = moved.advance(step)
    assert torch.equal(moved.reset().latent, session.start)
    assert moved.reset().handles == (Point(1, 2),)
    assert torch.equal(moved.clear_points().latent, moved.latent)
    assert moved.clear_points().pairs == ()
    assert moved.clear_points().drag is moved.remove(0).clear_points().drag is None


@pytest.mark.parametrize(
    "followed",
    [
        lambda s: s.keep(b"a small picture").clear_points().go_back(0),
        lambda s: s.restyled(torch.zeros_like(s.latent), 2),
        lambda s: s.dragged_by("kinematics", KinematicConfig()),
        lambda s: s.restyled(torch.zeros_like(s.latent), 2).keep(b"a small picture").clear_points().go_back(0),
    ],
)
def test_reset_puts_back_handles_that_a_drag_has_to_begin_anew_with(generator, session, followed):
    session = session.add(DragPair(Point(1, 2), Point(9, 8))).add(DragPair(Point(3, 3), Point(4, 4)))
    for step in session.run(generator):
        session = session.advance(step)
    moved = session.advance(replace(step, state=replace(step.state, handles=(Point(4, 5), Point(6, 7))))).stop()
    after = followed(moved)
    assert after.handles == moved.handles
    assert (after.drag, after.set_at) == (None, (Point(1, 2), Point(3, 3)))
    assert after.reset().handles == (Point(1, 2), Point(3, 3))
    assert after.move(0, "target", Point(8, 8)).reset().handles == (Point(1, 2), Point(3, 3))
    assert after.move(0, "handle", Point(8, 8)).reset().handles == (Point(8, 8), Point(3, 3))
    assert after.add(DragPair(Point(1, 2), Point(9, 9))).reset().handles == (Point(1, 2), Point(3, 3), Point(1.01, 2))


def test_new_looks_of_a_picture_of_ones_own_are_a_part_of_its_edit(generator, session):
    other = generator.latent(8)
    photo = Photo(Crop(8, 8, 16), np.zeros((32, 16, 3), dtype=np.uint8))
    drawn, own = session.restyled(other, 2), replace(session, photo=photo).restyled(other, 2)
    assert torch.equal(drawn.start, drawn.latent)
    assert own.start is session.start, "what the edit is compared to when it is pasted back"
    assert torch.equal(own.latent, drawn.latent)
    assert own.restyled(other, 2) is own
    assert own.reset().latent is session.start


def test_a_mask_must_fit(session):
    mask = np.zeros((32, 16), dtype=bool)
    mask[3:9, 5:] = True
    assert np.array_equal(session.with_mask(mask).mask, mask)
    assert session.with_mask(mask).with_mask(None).mask is None
    with pytest.raises(ValueError, match=r"mask of 32 x 16 pixels: the picture has \(16, 32\)"):
        session.with_mask(np.zeros((16, 32), dtype=bool))


def test_nothing_to_drag_is_said(generator, session):
    with pytest.raises(ValueError, match="nothing to drag yet"):
        session.run(generator)


def test_a_tab_costs_less_than_two_megabytes(plush):
    session = new_session(plush, "plush-256", 1, 0.7).with_mask(np.ones((256, 256), dtype=bool))
    for i in range(MAX_PAIRS):
        session = session.click(Point(3 * i, 100)).click(Point(3 * i + 20, 120))
    for step in session.dragged_by("draggan", DragConfig(max_steps=1)).run(plush):
        session = session.advance(step)
    assert len(pickle.dumps(session)) < 2_000_000


def test_a_session_is_printed_without_its_history(plush):
    session = new_session(plush, "plush-256", 1, 0.7).with_mask(np.eye(256, dtype=bool))
    first = len(repr(session))
    for i in range(10):
        session = session.click(Point(3 * i, 100)).undo().keep(bytes(1000))
    assert len(repr(session)) < first + 100


def test_a_long_history_costs_less_than_two_megabytes_and_forgets_the_oldest(plush):
    rng = np.random.default_rng(0)
    session = new_session(plush, "plush-256", 1, 0.7)
    for i in range(5):
        session = session.add(DragPair(Point(20 * i, 100), Point(20 * i + 15, 120)))
    state = list(session.dragged_by("draggan", DragConfig(max_steps=1)).run(plush))[-1]
    for _ in range(300):
        mask = np.kron(rng.random((16, 16)) < 0.5, np.ones((16, 16), dtype=bool))
        copied = replace(state.state, **{name: getattr(state.state, name).clone() for name in ("latent", "origin")})
        session = session.with_mask(mask)
        session = session.advance(replace(state, latent=copied.latent, state=copied))
    assert len(pickle.dumps(session)) < 2_000_000
    assert len(session.past) <= HISTORY
    undone = session
    while undone.past:
        undone = undone.undo()
    assert len(undone.future) >= 20
    assert undone.drag is not None


@pytest.mark.parametrize(("numbers", "undone"), [(9 * 256, 2), (40_000, 1)])
def test_drags_of_many_points_can_be_undone_whatever_one_takes(generator, session, numbers, undone):
    for i in range(MAX_PAIRS):
        session = session.add(DragPair(Point(i % 16, i // 16), Point(0, 0)))
    step = next(session.run(generator))
    for _ in range(6):
        large = tuple(torch.zeros(numbers) for _ in range(MAX_PAIRS))  # as an engine makes them at each step
        session = session.advance(replace(step, state=replace(step.state, templates=large))).stop()
        session = session.move(0, "target", Point(5, 5)).move(0, "target", Point(6, 6))
    assert len(session.past) == undone
    assert session.undo().pairs[0].target == Point(5, 5)


@pytest.mark.parametrize(
    ("reasons", "why"),
    [((None, None), None), (("lost", "mask"), "mask"), (("limit", "other handles"), "other handles")],
)
def test_a_drag_that_was_given_up_keeps_what_holds_the_farthest_handle(generator, session, reasons, why):
    session = session.add(DragPair(Point(1, 2), Point(9, 8))).add(DragPair(Point(3, 3), Point(4, 24)))
    session = session.dragged_by("kinematics", KinematicConfig())
    step = next(session.run(generator))
    after = session.advance(replace(step, stuck=reasons))
    assert after.why == why
    assert after.phase == ("dragging" if why is None else "stuck")
    assert after.advance(step).why is None


def dragged(session, generator):
    for step in session.run(generator):
        session = session.advance(step)
    return session


def test_no_two_pictures_of_a_tab_have_one_number(generator, session):
    """The browser knows by it whether a mask or a zoom is of another picture."""
    first = session.redrawn(new_session(generator, "tiny", 4, 0.7))
    second = first.undo().redrawn(new_session(generator, "tiny", 5, 0.7))
    kept = first.keep(b"small")
    back = kept.redrawn(new_session(generator, "tiny", 6, 0.7)).go_back(0)
    third = back.redrawn(new_session(generator, "tiny", 7, 0.7))
    assert first.number == 1
    assert second.number >= 1
    assert third.number > kept.number + 1, "also of those that were gone back from"
    undone = first.redrawn(new_session(generator, "tiny", 8, 0.7)).undo()
    assert undone.redrawn(new_session(generator, "tiny", 9, 0.7)).number == 3


def test_the_way_begins_anew_with_another_picture(generator, session):
    """A video would begin with the old colours, or with an edit that was taken back."""
    after = dragged(session.add(DragPair(Point(1, 2), Point(9, 8))), generator)
    assert after.film.seen == 4
    for now in (after.restyled(generator.latent(8), 3), after.reset(), after.redrawn(session)):
        assert now.film.seen == len(now.film.frames) == 0
    assert dragged(after, generator).film.seen == 7, "where a drag goes on, no step is seen twice"


def test_the_first_picture_stays_to_go_back_to_and_the_latest(session):
    for i in range(SHOTS + 3):
        session = replace(session, seed=i).keep(bytes([i]))
    assert [shot.thumbnail[0] for shot in session.shots] == [0, *range(4, SHOTS + 3)]


def test_pictures_to_go_back_to_outlive_undo_and_begin_a_branch(generator, session):
    kept = session.click(Point(1, 2)).keep(b"a").click(Point(9, 8))
    assert len(kept.undo().shots) == len(kept.undo().redo().shots) == 1
    assert kept.go_back(0).pending is None, "a handle that waits is of the moment"
    undone = dragged(kept, generator).undo()
    assert undone.future
    branch = undone.go_back(0)
    assert (branch.future, len(branch.shots)) == ((), 1)
    assert branch.undo().pairs == undone.pairs


def test_a_session_under_another_name_is_so_throughout(session):
    named = session.click(Point(1, 2)).keep(b"a").click(Point(9, 8)).undo().of_model("other")
    every = (named, *named.past, *named.future, *(shot.session for shot in named.shots))
    assert len(every) == 4
    assert {each.model for each in every} == {"other"}


def test_another_picture_is_dragged_by_the_same_settings(generator, session):
    told = session.dragged_by("kinematics", KinematicConfig(max_steps=7), "bf16")
    other = told.redrawn(new_session(generator, "tiny", 4, 0.7))
    assert (other.engine, other.config.max_steps, other.precision) == ("kinematics", 7, "bf16")


def test_what_is_aimed_at_lies_in_the_picture(session):
    paired = session.add(DragPair(Point(1, 2), Point(9, 8)))
    with pytest.raises(ValueError, match="outside the picture"):
        paired.aimed(0, Point(1, 32))
    assert paired.aimed(0, Point(3, 3)).past is paired.past


def test_what_ends_a_drag(generator, session):
    near = session.add(DragPair(Point(1, 2), Point(1.5, 2)))
    step = next(near.run(generator))
    assert step.last
    assert near.advance(step, stuck=True).phase == "arrived"
    assert near.advance(replace(step, last=False), stuck=True).phase == "stuck"
    arrived = near.advance(step)
    edits = (
        arrived.add(DragPair(Point(3, 3), Point(4, 4))),
        arrived.move(0, "target", Point(9, 8)),
        arrived.move(0, "handle", Point(3, 3)),
        arrived.pull(0, Point(9, 8)),
        arrived.remove(0),
        arrived.clear_points(),
        arrived.restyled(generator.latent(8), 3),
        arrived.reset(),
        arrived.keep(b"a small picture").clear_points().go_back(0),
    )
    assert {edited.phase for edited in edits} == {"ready"}, "the page says what to do next"


def test_a_drag_that_is_begun_is_one_edit(generator, session):
    before = session.add(DragPair(Point(1, 2), Point(9, 8)))
    now = before.begin()
    assert (now.phase, now.busy) == ("dragging", True)
    for step in before.run(generator):
        now = replace(now.advance(step), phase="dragging")
    assert same(now.stop().undo(), before)


def test_clear_takes_the_handle_that_waits(session):
    assert session.click(Point(1, 2)).clear_points().pending is None


def test_going_back_to_another_mask_is_an_edit(session):
    kept = session.keep(b"a").with_mask(np.eye(32, 16) > 0)
    assert kept.go_back(0).mask is None
    assert torch.equal(kept.go_back(0).latent, kept.latent)


def test_changed_weights_are_kept_as_long_as_there_is_room(generator, session, monkeypatch):
    pixels, change = np.zeros((64, 16, 3), dtype=np.uint8), torch.zeros(100).half()
    monkeypatch.setattr(module, "PHOTO_BYTES", 3 * 600)
    for i in range(6):
        photo = Photo(Crop(32, 32, 64), pixels, Delta({"synthesis.b64.conv1.bias": change + i}))
        session = session.redrawn(photo_session(generator, "tiny", generator.latent(i), photo)).keep(b"1")
    assert len(session.past) == len(session.shots[1:]) == 3


def test_whole_pictures_of_ones_own_are_kept_as_long_as_there_is_room(generator, session, monkeypatch):
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    monkeypatch.setattr(module, "PHOTO_BYTES", 3 * pixels.nbytes)
    session = session.keep(b"0")
    for i in range(6):
        photo = Photo(Crop(32, 32, 64), pixels[:32, :16], picture=Picture(pixels.copy()))
        session = session.redrawn(photo_session(generator, "tiny", generator.latent(i), photo)).keep(b"1")
    assert len(session.past) == 3
    assert [shot.thumbnail for shot in session.shots] == [b"0", *3 * [b"1"]]
    edited = session.click(Point(1, 2)).click(Point(9, 8))
    assert len(edited.past) == 4, "edits of one picture hold it once"
    monkeypatch.setattr(module, "PHOTO_BYTES", 1)
    assert [shot.thumbnail for shot in edited.keep(b"2").shots] == [b"0", b"2"], "one is kept whatever it takes"


def test_the_frames_of_the_way_are_a_part_of_what_a_history_takes(session):
    for _ in range(6):
        frame = Frame(torch.zeros(1, 8, HISTORY_BYTES // 32), (), ())
        session = replace(session, film=Film((frame,))).click(Point(1, 2)).drop()
    assert len(session.past) <= 2
