"""Who is on the page: the tabs that have a place, those that wait or listen, and how many drag. Imports no gradio."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Places:
    """The open tabs in the order in which they came: the first `most` have a place, the others wait for one.

    For one thread, the event loop of the server, but for `has`.
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

    def has(self, tab: str) -> bool:
        """Whether a tab has a place. For any thread."""
        return tab in list(self._tabs)[: self.most]


class Listeners:
    """The tabs whose stream of answers is open now. An ASGI middleware sees the streams come and go, and fill.

    For one thread, the event loop of the server, but for `behind`.
    """

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._full: Counter[str] = Counter()

    def __contains__(self, tab: str) -> bool:
        return self._open[tab] > 0

    def behind(self, tab: str) -> bool:
        """Whether a tab's line takes no more answers until some of those on their way have come. For any thread."""
        return self._full[tab] > 0

    def around(self, app: ASGIApp) -> ASGIApp:
        """The same app, whose streams are seen from now on."""

        async def seen(scope: Scope, receive: Receive, send: Send) -> None:
            tab = _listening(scope)
            if tab is None:
                await app(scope, receive, send)
                return

            async def sent(message: Message) -> None:
                with _one(self._full, tab):
                    await send(message)

            with _one(self._open, tab):
                await app(scope, receive, sent)

        return seen


class Tabs(Protocol):
    """What a server has to do with the tabs that show its page."""

    listeners: Listeners

    async def end(self, tab: str) -> None:
        """Ends all that a tab has asked for, and drops the answers that it has not read."""

    def forget(self, tab: str) -> None:
        """Puts away what is kept of a tab."""


@contextmanager
def _one(among: Counter[str], tab: str) -> Iterator[None]:
    """Counts one more of a tab for as long as it lasts."""
    among[tab] += 1
    try:
        yield
    finally:
        among[tab] -= 1
        if not among[tab]:
            del among[tab]


def _listening(scope: Scope) -> str | None:
    """The tab that asks for its stream of answers with a request; None where it asks for something else."""
    if scope["type"] != "http" or not scope["path"].endswith("/queue/data"):
        return None
    return next(iter(parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", ())), None)


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
