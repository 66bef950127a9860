"""Gradio's Blocks as this page needs them."""

import inspect
from typing import Any

import gradio as gr

from draggan.web.presence import Listeners
from draggan.web.sent import IDLE_SECONDS

CLEAN_SECONDS = 3600  # from one look for files of Gradio's that are old to the next


class Page(gr.Blocks):
    """Without Gradio's second stream to each tab, by which it notices that a tab has gone: `Visits.stay` does.

    A browser opens 6 connections to a server and no more: with two for each tab, the third tab would wait for ever.
    """

    def __init__(self) -> None:
        old = CLEAN_SECONDS, IDLE_SECONDS
        super().__init__(title="draggan", analytics_enabled=False, fill_width=True, delete_cache=old)
        self.listeners = Listeners()

    def get_config_file(self) -> Any:
        """What the browser is told of the page."""
        return super().get_config_file() | {"connect_heartbeat": False}

    async def call_function(
        self, block_fn: Any, inputs: list[Any], iterator: Any = None, *rest: Any, **named: Any
    ) -> Any:
        """What a handler answers next. One that ends without an answer changes nothing: Gradio would empty all that it
        answers to, the session included."""
        answer = await super().call_function(block_fn, inputs, iterator, *rest, **named)
        if iterator is None and not answer["is_generating"] and yields(block_fn.fn):
            answer["prediction"] = gr.skip()
        return answer

    async def end(self, tab: str) -> None:
        """Ends all that a tab has asked for, and drops the answers that it has not read."""
        await self._queue.clean_events(session_hash=tab)
        self._queue.pending_messages_per_session.pop(tab, None)

    def forget(self, tab: str) -> None:
        """Puts away what the server keeps of a tab, of which Gradio keeps a copy of all settings of all components, the
        answers that were not read, and the names of what it had asked for."""
        states, queue = self.app.state_holder, self._queue
        for kept in (
            states.session_data,
            states.time_last_used,
            queue.pending_messages_per_session,
            queue.pending_event_ids_session,
        ):
            kept.pop(tab, None)


def yields(handler: Any) -> bool:
    """Whether a handler answers several times, or not at all."""
    return inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler)
