"""How a tab comes to the page, waits for its place, stays, and goes."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from draggan.web import canvas, words
from draggan.web.presence import Places, Tabs
from draggan.web.telling import told

WAIT_SECONDS = 1  # between two looks of a tab for a place that has become free
ENTER_SECONDS = 0.05  # between two looks whether the tab has entered
LATE_SECONDS = 60  # after which a tab that has not entered is not waited for
GONE_SECONDS = 60  # after which a tab that has gone is forgotten
STAY_SECONDS = 5  # between two signs of life to a tab where nothing happens
UNHEARD = 4  # signs of life in a row that nobody listened to: the tab has gone


class Visits:
    """Who is on a page, and the tabs that it is shown in."""

    def __init__(self, places: Places, tabs: Tabs) -> None:
        self._places = places
        self._tabs = tabs

    async def stay(self, request: gr.Request) -> AsyncIterator[None]:
        """Runs as long as the tab is open: it has its place, or waits for one, and its stream of answers is open.

        Gradio closes the stream after the last answer that is due. An edit sent at that moment is carried out, but
        its answer waits for the next edit. And where a tab goes before its stream is open, or in the middle of an
        answer, Gradio does not notice: what it asked for would run on, and its place be taken for ever.
        """
        tab = str(request.session_hash)
        self._places.enter(tab)
        unheard = 0
        try:
            while unheard < UNHEARD:
                yield
                await asyncio.sleep(STAY_SECONDS)
                unheard = 0 if tab in self._tabs.listeners else unheard + 1
            await self._tabs.end(tab)
        finally:
            self._places.leave(tab)
            asyncio.get_running_loop().call_later(GONE_SECONDS, self._put_away, tab)

    async def arrive(self, request: gr.Request) -> AsyncIterator[dict[str, Any]]:
        """Ends when the tab has a place, or is not here. -> canvas

        It answers only what is new: each answer takes some of the event loop's time, and many tabs may wait.
        """
        tab, last, asked = str(request.session_hash), None, time.monotonic()
        yield gr.skip()
        while (before := self._places.before(tab)) != 0:
            if before is None and (last or time.monotonic() > asked + LATE_SECONDS):
                return
            if before and before != last:
                yield canvas.note(words.waiting(before, self._places.most))
            last = before
            await asyncio.sleep(WAIT_SECONDS if before else ENTER_SECONDS)

    def with_place(self, handler: Callable) -> Callable:
        """The same handler, one that yields, for tabs that have a place: whoever asks for it need not have arrived."""

        @told
        @functools.wraps(handler)
        def iterate(*args: Any) -> Iterator[Any]:
            request = LocalContext.request.get()
            if request is None or not self._places.has(str(request.session_hash)):
                raise ValueError("this tab has no place: reload the page")
            yield from handler(*args)

        return iterate

    def _put_away(self, tab: str) -> None:
        """Forgets a tab, unless it has come back: its browser keeps what there was."""
        if self._places.before(tab) is None:
            self._tabs.forget(tab)
