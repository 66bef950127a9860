"""The drift of trackers along exact paths."""

import dataclasses

import pytest

from benchmarks import tracking
from benchmarks.cases import read_cases
from benchmarks.detector import Detector
from benchmarks.tracking import Drift


@pytest.mark.parametrize("name", tracking.TRACKERS)
def test_a_tracker_stays_where_nothing_moves_and_follows_what_does(name, plush):
    case = next(c for c in read_cases() if c.kind == "ears")
    followed = tracking.drift(plush, case, *tracking.TRACKERS[name])
    way = sum(pair.distance for pair in case.pairs) / len(case.pairs)
    assert followed.distance < 0.6 * way
    assert abs(followed.behind) <= followed.distance
    (start, *_) = tracking.path(case)
    still = dataclasses.replace(case, target_z=tuple(start[0].tolist()))
    stayed = tracking.drift(plush, still, *tracking.TRACKERS[name])
    assert (stayed.distance, stayed.behind) == pytest.approx((way, way), abs=1)


def test_the_landmarks_of_a_picture_move_behind_where_it_does_not(plush):
    case = next(c for c in read_cases() if c.kind == "pose")
    way, detector = case.pairs[0].distance, Detector()
    assert tracking.shown(plush, case, detector).distance < 0.2 * way
    (start, *_) = tracking.path(case)
    still = tracking.shown(plush, dataclasses.replace(case, target_z=tuple(start[0].tolist())), detector)
    assert (still.distance, still.behind) == pytest.approx((way, way), abs=0.1)


def test_the_table_has_a_line_for_each_tracker():
    cases = read_cases()[:2]
    found = {"a": [Drift(1, 0.5), Drift(2, -1)], "b": [Drift(3, 3), Drift(5, 2)]}
    lines = tracking.table(cases, found).splitlines()
    assert lines[0] == "| tracker | pose | all |"
    assert lines[2:] == ["| a | 1.50 (-0.25) | 1.50 (-0.25) |", "| b | 4.00 (2.50) | 4.00 (2.50) |"]
