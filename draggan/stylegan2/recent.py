"""What was made of late and may be asked for again soon."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

Made = TypeVar("Made")


class Recent:
    """The last `most` things that took long to make, by what they were made from. Safe to use from many threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, Any] = OrderedDict()  # the least recently used first
        self._changing = Lock()

    def __reduce__(self) -> tuple:
        return Recent, (self._most,)  # a copy of its owner makes its own

    def clear(self) -> None:
        with self._changing:
            self._made.clear()

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What was made for this key, or what `make` gives now."""
        with self._changing:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        made = make()  # two that want the same at once make it twice, which is better than that others wait
        with self._changing:
            self._made[key] = made
            while len(self._made) > self._most:
                self._made.popitem(last=False)
        return made
