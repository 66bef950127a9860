"""Who is on the page: the tabs that have a place, those that wait or listen, and how many drag. Imports no gradio."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol
from urllib.parse import parse_qsl
from uuid import uuid4
from weakref import WeakValueDictionary

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SEEN = "/gradio_api/seen"  # how the path of a request ends by which a browser tells what it shows
AHEAD = 1  # answers that may be on their way to it


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


class Line:
    """The answers of one drag on their way to a tab. Safe to use from many threads.

    full: whether the tab's stream takes no more.
    """

    def __init__(self, full: Callable[[], bool]) -> None:
        self.name = uuid4().hex  # by which the browser tells what it shows
        self._full = full
        self._sent, self._seen = 0, 0

    def next(self) -> int:
        """The number of the next answer, which is sent now."""
        self._sent += 1
        return self._sent

    def seen(self, number: int) -> None:
        """The browser shows the answer of that number."""
        self._seen = max(self._seen, number)

    @property
    def behind(self) -> bool:
        """Whether so much is on its way that what is sent now would be old when it is seen.

        Who has told nothing of what was seen, as programs do, is sent all that the stream takes.
        """
        return self._full() or 0 < self._seen < self._sent - AHEAD


class Listeners:
    """The tabs whose stream of answers is open now. An ASGI middleware sees the streams come and go, and fill; it hears
    from browsers what they show, without events of Gradio, which would take time of a fast drag's steps.

    For one thread, the event loop of the server, but for `behind` and `line`.
    """

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._full: Counter[str] = Counter()
        self._lines: WeakValueDictionary[str, Line] = WeakValueDictionary()  # each goes with its drag

    def __contains__(self, tab: str) -> bool:
        return self._open[tab] > 0

    def behind(self, tab: str) -> bool:
        """Whether a tab's line takes no more answers until some of those on their way have come. For any thread."""
        return self._full[tab] > 0

    def line(self, tab: str) -> Line:
        """A new one. For any thread."""
        line = Line(partial(self.behind, tab))
        self._lines[line.name] = line
        return line

    def around(self, app: ASGIApp) -> ASGIApp:
        """The same app, whose streams are seen from now on."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"].endswith(SEEN):
                self._hear(_query(scope))
                await Response(status_code=204)(scope, receive, send)
                return
            tab = _listening(scope)
            if tab is None:
                await app(scope, receive, send)
                return

            async def sent(message: Message) -> None:
                with _one(self._full, tab):
                    await send(message)

            with _one(self._open, tab):
                await app(scope, receive, sent)

        return watched

    def _hear(self, told: dict[str, str]) -> None:
        if line := self._lines.get(told.get("line", "")):
            with suppress(ValueError):
                line.seen(int(told.get("number", "")))


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
    return _query(scope).get("session_hash")


def _query(scope: Scope) -> dict[str, str]:
    """The last value of each name."""
    return dict(parse_qsl(scope["query_string"].decode("latin-1")))


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
