"""The drift of trackers along exact paths."""

import dataclasses

import pytest

from benchmarks import tracking
from benchmarks.cases import read_cases


@pytest.mark.parametrize("name", tracking.TRACKERS)
def test_a_tracker_stays_where_nothing_moves_and_follows_what_does(name, plush):
    case = next(c for c in read_cases() if c.kind == "ears")
    followed = tracking.drift(plush, case, *tracking.TRACKERS[name])
    way = sum(pair.distance for pair in case.pairs) / len(case.pairs)
    assert followed < 0.6 * way
    (start, *_) = tracking.path(case)
    still = dataclasses.replace(case, target_z=tuple(start[0].tolist()))
    assert tracking.drift(plush, still, *tracking.TRACKERS[name]) == pytest.approx(way, abs=1)


def test_the_table_has_a_line_for_each_tracker():
    cases = read_cases()[:2]
    lines = tracking.table(cases, {"a": [1.0, 2.0], "b": [3.0, 5.0]}).splitlines()
    assert lines[0] == "| tracker | pose | all |"
    assert lines[2:] == ["| a | 1.50 | 1.50 |", "| b | 4.00 | 4.00 |"]
