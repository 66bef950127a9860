"""Where the pointers are that pictures follow: what a running pull reads while it runs."""

import threading
from dataclasses import dataclass

from draggan.geometry import Point


@dataclass(frozen=True)
class Aim:
    """Where the pointer of a pull is."""

    at: Point
    done: bool = False  # it was let go


class Aims:
    """The aims of all tabs, by tab and pull. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._aims: dict[tuple[str, int], Aim] = {}

    def put(self, tab: str, pull: int, aim: Aim) -> None:
        """Forgets earlier pulls of the tab."""
        with self._lock:
            self._aims = {key: old for key, old in self._aims.items() if key[0] != tab}
            self._aims[tab, pull] = aim

    def get(self, tab: str, pull: int) -> Aim | None:
        with self._lock:
            return self._aims.get((tab, pull))

    def forget(self, tab: str) -> None:
        with self._lock:
            self._aims = {key: old for key, old in self._aims.items() if key[0] != tab}
