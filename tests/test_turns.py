"""Whose turn it is: drags that wait take their steps together, first come, first served."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from draggan.web import turns
from draggan.web.turns import HANDLES, Turns


class Stage:
    """A worker that works when it is told to, and tabs that wait."""

    def __init__(self, monkeypatch, tabs=40):
        self.queue, self.batches, self.worker = [], [], self
        self.turns, self.tabs = Turns(self), ThreadPoolExecutor(tabs)
        together = turns.together
        monkeypatch.setattr(turns, "together", lambda courses: (self.batches.append(courses), together(courses))[1])
        self.came = threading.Semaphore(0)

    def submit(self, work, *args):
        self.queue.append((work, args))
        self.came.release()

    def wait(self, course, kind="a", handles=1):
        """A tab that waits for a step of a course."""
        step = self.tabs.submit(self.turns.step, kind, course, handles)
        assert self.came.acquire(timeout=10)
        return step

    def work(self):
        work, args = self.queue.pop(0)
        work(*args)


@pytest.fixture
def stage(monkeypatch):
    stage = Stage(monkeypatch)
    yield stage
    stage.tabs.shutdown(wait=False)


def count():
    """A course whose steps are numbers."""
    yield from (1, 2)


def test_who_waits_takes_its_step_with_the_first(stage):
    steps = [stage.wait(count()) for _ in range(3)]
    other = stage.wait(count(), kind="b")
    stage.work()
    assert [step.result(timeout=10)[0] for step in steps] == [1, 1, 1]
    assert not other.done()
    for _ in range(3):  # two turns of drags that have taken it, then the other model's
        stage.work()
    assert other.result(timeout=10)[0] == 1
    assert [len(batch) for batch in stage.batches if batch] == [3, 1]


def test_no_more_handles_than_pay_and_nobody_is_passed_over(stage):
    steps = [stage.wait(count(), handles=handles) for handles in (HANDLES - 2, 1, 2, HANDLES + 50, 1)]
    expected = [2, 3, 4, 5]  # drags that have had their turn after each piece of work
    for done in expected:
        stage.work()
        assert all(step.result(timeout=10)[0] == 1 for step in steps[:done])
        assert not any(step.done() for step in steps[done:])


def test_a_drag_goes_on_and_ends(stage):
    course = count()
    for expected in (1, 2, None):
        step = stage.wait(course)
        stage.work()
        found, seconds = step.result(timeout=10)
        assert found == expected
        assert seconds >= 0


def test_an_error_is_its_own_drags(stage):
    def failing():
        raise FloatingPointError("the drag diverged")
        yield

    steps = [stage.wait(course) for course in (count(), failing(), count())]
    stage.work()
    assert [steps[i].result(timeout=10)[0] for i in (0, 2)] == [1, 1]
    with pytest.raises(FloatingPointError, match="diverged"):
        steps[1].result(timeout=10)


def test_nobody_waits_for_ever_when_the_worker_is_interrupted(stage):
    def interrupted():
        raise KeyboardInterrupt
        yield

    steps = [stage.wait(course) for course in (count(), interrupted(), count())]
    with pytest.raises(KeyboardInterrupt):
        stage.work()
    assert steps[0].result(timeout=10)[0] == 1
    for step in steps[1:]:
        with pytest.raises(KeyboardInterrupt):
            step.result(timeout=10)
