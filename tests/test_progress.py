"""When a drag is given up: synthetic ways of handles, and a real one whose mask allows nothing."""

from dataclasses import dataclass

import pytest

from draggan.progress import until_stuck


@dataclass(frozen=True)
class Step:
    index: int
    distances: tuple[float, ...]
    last: bool = False


def ends(ways, patience=10):
    """The step at which a drag of these distances ends, and whether it was given up there."""
    found = list(until_stuck((Step(i, distances) for i, distances in enumerate(ways)), patience))
    assert all(not stuck for _, stuck in found[:-1])
    return found[-1][0].index, found[-1][1]


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
    steps = [Step(i, (5.0,), last=i == 10) for i in range(11)]
    assert list(until_stuck(steps, 10))[-1] == (steps[-1], False)
