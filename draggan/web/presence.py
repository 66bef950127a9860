"""Who is on the page: the tabs that have a place, those that wait for one, and how many drag. Knows no gradio."""

from collections.abc import Iterator
from contextlib import contextmanager


class Places:
    """The open tabs in the order in which they came: the first `most` have a place, the others wait for one.

    For one thread: the event loop of the server.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._tabs: dict[str, None] = {}

    def enter(self, tab: str) -> None:
        """A tab comes; one that is here already keeps its place."""
        self._tabs.setdefault(tab)

    def leave(self, tab: str) -> None:
        """A tab goes, and the first that waits has its place."""
        self._tabs.pop(tab, None)

    def before(self, tab: str) -> int | None:
        """How many tabs have to go before this one has a place: 0 where it has; None where it has not entered."""
        if tab not in self._tabs:
            return None
        return max(0, list(self._tabs).index(tab) + 1 - self.most)


class Drags:
    """The drags that run now. Safe to use from many threads."""

    def __init__(self) -> None:
        self._running: set[object] = set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Counts one more for as long as it lasts."""
        drag = object()
        self._running.add(drag)
        try:
            yield
        finally:
            self._running.remove(drag)

    @property
    def others(self) -> int:
        """How many run beside the one that asks."""
        return len(self._running) - 1
