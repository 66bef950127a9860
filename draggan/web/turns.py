"""Whose turn it is to drag: drags of one kind that wait for their next step take it together."""

import time
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from threading import Lock

from draggan.course import Course, together
from draggan.engine import DragStep

HANDLES = 16  # of the drags that take a step together, or one drag's: with more, a step of each costs no less


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A drag that waits for its next step."""

    course: Course[DragStep]
    handles: int
    turn: "Future[tuple[DragStep | None, float]]"


class Turns:
    """The drags that wait, first come, first served, each taking along those of its kind that came after it."""

    def __init__(self, worker: Executor) -> None:
        self._worker = worker
        self._waiting: dict[Hashable, deque[_Waiting]] = {}
        self._changing = Lock()

    def step(self, kind: Hashable, course: Course[DragStep], handles: int) -> tuple[DragStep | None, float]:
        """The next step of a drag, None at its end, and its share of the seconds that it took.

        kind: drags of one kind ask the network for the same things, of different places.
        """
        waiting = _Waiting(course, handles, Future())
        with self._changing:
            self._waiting.setdefault(kind, deque()).append(waiting)
        self._worker.submit(self._take, kind)
        return waiting.turn.result()

    def _take(self, kind: Hashable) -> None:
        """A step of the first drag that waits, and of others; of none where another's turn has taken all along."""
        drags = self._taken(kind)
        began = time.monotonic()
        try:
            for i, step in together([drag.course for drag in drags]):
                seconds = (time.monotonic() - began) / len(drags)
                if error := step.exception():
                    drags[i].turn.set_exception(error)
                else:
                    drags[i].turn.set_result((step.result(), seconds))
        except BaseException as error:
            for drag in drags:
                if not drag.turn.done():
                    drag.turn.set_exception(error)
            raise

    def _taken(self, kind: Hashable) -> list[_Waiting]:
        """Those whose turn it is now. They wait no more."""
        with self._changing:
            line, drags = self._waiting.get(kind, deque()), []
            while line and (not drags or sum(drag.handles for drag in (*drags, line[0])) <= HANDLES):
                drags.append(line.popleft())
            if not line:
                self._waiting.pop(kind, None)
        return drags
