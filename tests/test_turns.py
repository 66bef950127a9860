"""Whose turn it is: drags that wait take their steps together, and nobody waits longer because of it."""

import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from draggan.web import turns
from draggan.web.turns import HANDLES, Turns, _Drag


def numbers():
    """The course of a drag without end, whose steps are numbers."""
    yield from count(1)


class Stage:
    """A line whose worker works when it is told to, and what it gave."""

    def __init__(self) -> None:
        self.turns, self.calls = Turns(), []
        self.turns._worker = self

    def submit(self, call):
        self.calls.append(call)

    def drag(self, course=None, kind="a", handles=1):
        return _Drag(kind, course or numbers(), handles)

    def wait(self, work) -> Future:
        return self.turns._wait(work)

    def work(self):
        self.calls.pop(0)()


@pytest.fixture
def stage():
    return Stage()


def step_of(future):
    """The step that was waited for."""
    assert future.done()
    return future.result()[0]


def test_who_waits_takes_its_step_with_the_first(stage):
    steps = [stage.wait(stage.drag()) for _ in range(3)]
    other = stage.wait(stage.drag(kind="b"))
    stage.work()
    assert [step_of(step) for step in steps] == [1, 1, 1]
    assert not other.done()
    stage.work()
    assert step_of(other) == 1
    for _ in range(2):  # of those that were taken along
        stage.work()


def test_a_drag_is_taken_along_past_other_work(stage):
    asked = [stage.wait(work) for work in (lambda: "first", stage.drag(), lambda: "picture", stage.drag())]
    done = []
    for _ in range(3):
        stage.work()
        done.append([future.done() for future in asked])
    assert done == [[True, False, False, False], [True, True, False, True], [True] * 4]
    assert [asked[0].result(), step_of(asked[1]), asked[2].result(), step_of(asked[3])] == ["first", 1, "picture", 1]


def test_no_more_handles_than_pay_and_nobody_is_passed_over(stage):
    steps = [stage.wait(stage.drag(handles=handles)) for handles in (HANDLES - 2, 1, 2, HANDLES + 50, 1)]
    for done in ([0, 1, 4], [0, 1, 2, 4], [0, 1, 2, 3, 4]):
        stage.work()
        assert [i for i, step in enumerate(steps) if step.done()] == done


def test_whoever_came_turns_later_overtakes_nobody(stage):
    stage.wait(lambda: "first")
    one, picture = stage.wait(stage.drag()), stage.wait(lambda: "picture")
    stage.work()
    stage.wait(lambda: "another picture")  # which `late` may overtake, but not `picture`
    late = stage.wait(stage.drag())
    stage.work()
    assert (one.done(), picture.done(), late.done()) == (True, False, False)
    for _ in range(3):
        stage.work()
    assert step_of(late) == 1


def test_a_drag_goes_on_and_ends():
    def course():
        yield from (1, 2)

    assert [step for step, seconds in Turns().drag("a", course(), 1) if seconds >= 0] == [1, 2]


def test_steps_taken_together_share_their_seconds(stage):
    def slow():
        while True:
            time.sleep(0.01)
            yield 1

    steps = [stage.wait(stage.drag(slow())) for _ in range(3)]
    began = time.monotonic()
    stage.work()
    took = time.monotonic() - began
    shares = [step.result()[1] for step in steps]
    assert max(shares) >= 0.01
    assert sum(shares) <= took


def test_an_error_is_its_own_drags(stage):
    def failing():
        raise FloatingPointError("the drag diverged")
        yield

    steps = [stage.wait(stage.drag(course)) for course in (numbers(), failing(), numbers())]
    stage.work()
    assert [step_of(steps[i]) for i in (0, 2)] == [1, 1]
    with pytest.raises(FloatingPointError, match="diverged"):
        steps[1].result()


def test_nobody_waits_for_ever_when_the_worker_is_interrupted(stage):
    def interrupted():
        raise KeyboardInterrupt
        yield

    steps = [stage.wait(stage.drag(course)) for course in (numbers(), interrupted(), numbers())]
    stage.work()
    assert step_of(steps[0]) == 1
    for step in steps[1:]:
        with pytest.raises(KeyboardInterrupt):
            step.result()


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=60), st.integers(1, 3))
@settings(max_examples=200)
def test_each_waits_for_one_turn_of_every_other_at_most(plan, room):
    """Tabs that want steps and pictures, in any order, and a worker that works in between."""
    stage = Stage()
    drags = [stage.drag() for _ in range(4)]
    waiting: dict[int, Future] = {}
    overtaken: dict[int, Counter[int]] = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(turns, "HANDLES", room)

        def work():
            stage.work()
            served = [tab for tab, future in waiting.items() if future.done()]
            for tab in served:
                del waiting[tab], overtaken[tab]
            for seen in overtaken.values():
                seen.update(served)
                assert max(seen.values(), default=0) <= 1

        for tab, picture in plan:
            if tab == 4:
                if stage.calls:
                    work()
            elif tab not in waiting:
                waiting[tab] = stage.wait((lambda: None) if picture else drags[tab])
                overtaken[tab] = Counter()
        while stage.calls:
            work()
        assert not waiting


def test_the_line_is_served_on_one_thread():
    line, busy = Turns(), []

    def work(i):
        busy.append(i)
        time.sleep(1e-3)  # while others would come
        assert busy == [i]
        busy.remove(i)
        return i

    with ThreadPoolExecutor(8) as tabs:
        assert sum(tabs.map(lambda i: line.submit(work, i).result(), range(50))) == sum(range(50))
