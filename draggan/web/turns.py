"""Whose turn it is at the network: one piece of work at a time, on one thread, first come, first served.

Steps of drags of one kind are taken together, where it keeps nobody waiting for a second turn of one of them.
"""

import math
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from draggan.engine.course import Course, together
from draggan.engine.steps import DragStep

HANDLES = 8  # of the drags that take a step together, or one drag's: with more, a step of each costs no less


@dataclass(frozen=True, eq=False)
class _Drag:
    kind: Hashable
    course: Course[DragStep]
    handles: int


@dataclass(frozen=True, eq=False)
class _Waiting:
    """Who waits for what."""

    came: int  # turns that had begun by then
    work: Callable[[], Any] | _Drag  # of a drag the next step
    done: Future[Any]


class Turns:
    """The line of those who wait for the network."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")
        self._line: list[_Waiting] = []
        self._turn = 0  # turns that have begun
        self._changing = Lock()

    def submit(self, work: Callable, *args: Any) -> Future[Any]:
        """`work(*args)` when it is its turn."""
        return self._wait(partial(work, *args))

    def drag(self, kind: Hashable, course: Course[DragStep], handles: int) -> Iterator[tuple[DragStep, float]]:
        """The steps of a drag, each with its share of the seconds that those took which were taken together.

        kind: drags of one kind ask the network for the same things, at different places.
        """
        drag = _Drag(kind, course, handles)
        while (taken := self._wait(drag).result())[0] is not None:
            yield taken

    def _wait(self, work: Callable[[], Any] | _Drag) -> Future[Any]:
        with self._changing:
            waiting = _Waiting(self._turn, work, Future())
            self._line.append(waiting)
        self._worker.submit(self._take)
        return waiting.done

    def _take(self) -> None:
        """The next turn; none where those who waited were all taken along."""
        with self._changing:
            if not self._line:
                return
            self._turn += 1
            first = self._line.pop(0)
            taken = [first, *self._along(first.work)] if isinstance(first.work, _Drag) else [first]
        try:
            if isinstance(first.work, _Drag):
                self._step(taken)
            else:
                first.done.set_result(first.work())
        except BaseException as error:
            for waiting in taken:
                if not waiting.done.done():
                    waiting.done.set_exception(error)

    def _along(self, first: _Drag) -> list[_Waiting]:
        """Takes out of the line who takes a step with a drag.

        That is whoever is of its kind, as far as there is room, and overtakes only who came in the same turn: so its
        step is the first thing that these wait for because of it.
        """
        handles, since = first.handles, math.inf
        along: list[_Waiting] = []
        for waiting in self._line:
            drag = waiting.work
            if (
                isinstance(drag, _Drag)
                and drag.kind == first.kind
                and handles + drag.handles <= HANDLES
                and waiting.came <= since
            ):
                handles += drag.handles
                along.append(waiting)
            else:
                since = min(since, waiting.came)
        self._line = [waiting for waiting in self._line if waiting not in along]
        return along

    def _step(self, taken: list[_Waiting]) -> None:
        """A step of drags. Each has its own as soon as it is there, or the error of its drag."""
        began = time.monotonic()
        courses = [waiting.work.course for waiting in taken if isinstance(waiting.work, _Drag)]
        for i, step in together(courses):
            if error := step.exception():
                taken[i].done.set_exception(error)
            else:
                taken[i].done.set_result((step.result(), (time.monotonic() - began) / len(taken)))
