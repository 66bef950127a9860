"""Drags that are answered together: each does what it does alone."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch

from draggan.engine import course
from draggan.engine.course import Derivatives, alone, together
from draggan.engine.engines import ENGINES, engine_of
from draggan.engine.views import View
from draggan.geometry import DragPair, Point
from tests.networks import tiny_generator

LENGTHS = (1, 2, 4, 4)  # steps of each of these drags


@pytest.fixture(scope="module")
def exact():
    """In double precision, so that what is computed together differs by nothing that a step could decide on."""
    return tiny_generator(64).double()


def courses(generator, engine):
    """Drags of one to three points, of different lengths, one of them held by a mask."""
    mask = torch.zeros(64, 64)
    mask[:, :32] = 1
    chosen = engine_of(engine)
    for i, steps in enumerate(LENGTHS):
        pairs = [DragPair(Point(12 + 14 * j, 20 + 5 * i), Point(20 + 12 * j, 30)) for j in range(1 + i % 3)]
        config = chosen.settings(max_steps=steps, tolerance=1e-6)
        yield chosen.module().course(generator, generator.latent(i).double(), pairs, mask if i == 2 else None, config)


def all_steps(running):
    """The steps of each of some courses, all of them taken together."""
    steps: list[list] = [[] for _ in running]
    while left := [i for i, own in enumerate(steps) if not own or own[-1] is not None]:
        for i, found in together([running[j] for j in left]):
            steps[left[i]].append(found.result())
    return [own[:-1] for own in steps]


@pytest.mark.parametrize("engine", ENGINES)
def test_together_each_drag_is_what_it_is_alone(engine, exact):
    expected = [list(alone(each)) for each in courses(exact, engine)]
    found = all_steps(list(courses(exact, engine)))
    assert [len(own) for own in found] == [len(own) for own in expected] == [1 + steps for steps in LENGTHS]
    for ours, theirs in zip(found, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a.latent, b.latent, rtol=1e-6, atol=1e-9)
            assert all(p.distance(q) < 1e-4 for p, q in zip(a.handles, b.handles, strict=True))
            assert (a.last, a.arrived, a.stuck) == (b.last, b.arrived, b.stuck)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_network_runs_once_for_all(engine, exact, monkeypatch):
    asked = Counter()

    def counted(name):
        function = getattr(course, name)

        def run(wishes, **how):
            asked[name, len(wishes)] += 1
            return function(wishes, **how)

        return run

    for name in ("seen", "_derivatives"):
        monkeypatch.setattr(course, name, counted(name))
    running = list(courses(exact, engine))
    for _ in range(2):
        for _, found in together(running):
            found.result()
    assert asked["seen", 4] == {"kinematics": 4, "draggan": 2}[engine], "its templates, a look, its system, a look"
    assert asked["_derivatives", 4] == 1


def test_an_error_of_one_stops_no_other(exact):
    begin, pairs = engine_of("draggan").module().course, [DragPair(Point(20, 20), Point(40, 30))]
    latent = exact.latent(1).double()
    state = next(alone(begin(exact, latent, pairs))).state
    good, lost = (
        begin(exact, latent, pairs),
        begin(exact, latent, pairs, resume=replace(state, latent=latent * math.nan)),
    )
    found = dict(together([lost, good]))
    with pytest.raises(FloatingPointError, match="diverged"):
        found[0].result()
    assert found[1].result().index == 0


def test_an_error_of_the_network_is_told_to_all_that_asked(exact, monkeypatch):
    def full(views):
        raise torch.OutOfMemoryError("CUDA out of memory")

    running = list(courses(exact, "kinematics"))
    monkeypatch.setattr(course, "seen", full)
    for _, found in together(running):
        with pytest.raises(torch.OutOfMemoryError):
            found.result()


@pytest.mark.parametrize(("drags", "late"), [(2, 1), (3, 1), (3, 2)])
def test_what_was_seen_together_may_be_derived_apart(exact, drags, late):
    """Two passes through the same graph, at different times."""

    def asking(i):
        moving = exact.latent(i).double().requires_grad_()
        features = yield View(exact, moving, 64, (Point(20, 20 + i),), 3)
        for _ in range(late * i):
            yield View(exact, moving.detach(), 64, (Point(20, 20),), 4)
        value = features.sample(torch.tensor([[[20.0, 20.0 + i]]], dtype=torch.float64)).square().sum()
        yield (yield Derivatives((value, 2 * value), moving))

    expected = [next(alone(asking(i))) for i in range(drags)]
    found = dict(together([asking(i) for i in range(drags)]))
    for i, (first, second) in enumerate(expected):
        assert first.abs().max() > 0
        torch.testing.assert_close(second, 2 * first)
        for ours, theirs in zip(found[i].result(), (first, second), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_each_is_given_as_many_derivatives_as_it_asks_for():
    def asking(count):
        at = torch.ones(2, requires_grad=True)
        yield (yield Derivatives(tuple((i * at).sum() for i in range(1, count + 1)), at))

    found = dict(together([asking(count) for count in (1, 3, 1)]))
    given = [[slope.tolist() for slope in found[i].result()] for i in range(3)]
    assert given == [[[1, 1]], [[1, 1], [2, 2], [3, 3]], [[1, 1]]]
