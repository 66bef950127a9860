"""Where the pointers are that pictures follow: what a running pull reads while it runs."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from draggan.geometry import Point

MOST = 1000  # tabs of which an aim is kept: more than can pull at once


@dataclass(frozen=True)
class Aim:
    """Where the pointer of a pull is."""

    at: Point
    done: bool = False  # it was let go


class Aims:
    """The last aim of each tab, by tab and pull. Safe to use from many threads.

    An aim may come before its pull has begun, and even after it has ended: the oldest are forgotten.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._aims: OrderedDict[str, tuple[int, Aim]] = OrderedDict()  # by tab: the pull, and its aim

    def put(self, tab: str, pull: int, aim: Aim) -> None:
        with self._lock:
            self._aims[tab] = pull, aim
            self._aims.move_to_end(tab)
            if len(self._aims) > MOST:
                self._aims.popitem(last=False)

    def get(self, tab: str, pull: int) -> Aim | None:
        with self._lock:
            known, aim = self._aims.get(tab, (None, None))
            return aim if known == pull else None

    def forget(self, tab: str) -> None:
        with self._lock:
            self._aims.pop(tab, None)
