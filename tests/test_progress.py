"""When a drag is given up."""

from dataclasses import dataclass

import pytest

from draggan.engine.progress import Patience


@dataclass(frozen=True)
class Step:
    index: int
    distances: tuple[float, ...]
    last: bool = False


def ends(ways, patience=10):
    """The step at which a drag of these distances ends, and whether it was given up there."""
    judge = Patience(patience)
    for index, distances in enumerate(ways):
        if judge.lost(Step(index, distances)):
            return index, True
    return index, False


def test_a_drag_that_goes_on_is_not_given_up():
    assert ends([(50 - 0.2 * i,) for i in range(200)]) == (199, False)
    assert ends([(50.0, 20 - 0.2 * i) for i in range(90)]) == (89, False), "one handle of two comes nearer"


@pytest.mark.parametrize(
    "way",
    [
        [(9.0,)] * 100,
        [(9.0 + i % 2,) for i in range(100)],
        [(9.0 + i,) for i in range(100)],
        [(9 - 0.01 * i,) for i in range(100)],
    ],
)
def test_standing_still_swinging_and_drifting_are_given_up(way):
    step, stuck = ends(way)
    assert stuck
    assert step <= 11


def test_patience_starts_anew_with_each_gain():
    way = [20 - min(i, 15) for i in range(100)]
    assert ends([(far,) for far in way]) == (25, True)


def test_a_drag_that_ends_by_itself_is_not_given_up():
    judge = Patience(10)
    assert not any(judge.lost(Step(i, (5.0,), last=i == 10)) for i in range(11))
