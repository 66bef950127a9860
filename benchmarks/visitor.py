"""A tab of the page without a browser: it speaks the page's own protocol over real HTTP.

Everything is found in what the server says of its page (/config): which handler an event of an element calls, what it
reads and what it changes. So a visitor does what the page does, also where the layout of the page changes.
"""

import asyncio
import contextlib
import json
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import httpx

from draggan.web.words import Said

API = "gradio_api"
TIMEOUT = 120  # seconds after which an answer is given up


class Refused(Exception):
    """The server answered that something failed."""


class Visitor:
    """One tab. To be used as `async with Visitor(client, address) as tab:`; leaving closes its streams."""

    def __init__(self, client: httpx.AsyncClient, address: str) -> None:
        self._client = client
        self._address = address.rstrip("/")
        self._tab = uuid.uuid4().hex[:12]
        self._answers: dict[str, asyncio.Queue[dict]] = defaultdict(asyncio.Queue)  # by event
        self._tasks: set[asyncio.Task] = set()
        self._edits = 0
        self._steps = 0  # of the drag that runs or ran
        self.values: dict[int, Any] = {}  # of each component
        self.props: dict[int, dict[str, Any]] = {}

    async def __aenter__(self) -> "Visitor":
        (await self._client.get(self._address + "/")).raise_for_status()
        config = (await self._client.get(f"{self._address}/config")).raise_for_status().json()
        self.props = {part["id"]: part["props"] | part["props"].get("props", {}) for part in config["components"]}
        self.values = {number: props.get("value") for number, props in self.props.items()}
        self._states = {part["id"] for part in config["components"] if part["type"] == "state"}
        self._named = {props["elem_id"]: n for n, props in self.props.items() if props.get("elem_id")}
        self._handlers = {handler["id"]: handler for handler in config["dependencies"]}
        loads = [h for h in self._handlers.values() if any(event == "load" for _, event in h["targets"])]
        events = [await self._join(handler) for handler in loads]
        self._spawn(self._listen())
        for handler, event in zip(loads, events, strict=True):
            self._spawn(self._finish(handler, event))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def marks(self) -> dict[str, Any]:
        """What lies over the picture."""
        return self.props[self._named["canvas"]]["marks"]

    @property
    def picture(self) -> dict[str, Any]:
        """The one that is shown, and which it is."""
        return self.props[self._named["canvas"]]["image"]

    @property
    def steps(self) -> int:
        """Steps that led to what is shown."""
        return self.marks["steps"]

    @property
    def status(self) -> str:
        """What the line under the picture says."""
        return str(Said(**self.marks["status"]))

    def set(self, element: str, value: Any) -> None:
        """Fills in a field."""
        self.values[self._named[element]] = value

    async def until(self, phase: str) -> None:
        """Waits until the canvas is in that phase."""
        await wait_for(lambda: self.marks["phase"] == phase)

    async def edit(self, kind: str, **data: Any) -> None:
        """What a user does on the canvas; returns with the answer."""
        self._edits += 1
        number = self._edits
        await self.fire("canvas", "edit", {"kind": kind, "number": number, **data})
        if self.props[self._named["canvas"]]["answered"] != number:
            raise Refused(f"edit {number} ({kind}) was not answered")

    async def fire(self, element: str, event: str, data: Any = None) -> None:
        """An event of an element, and all that follows it. Returns with the last answer."""
        handler = self._handler(element, event)
        await self._finish(handler, await self._join(handler, data))

    async def drag(self) -> AsyncIterator[int]:
        """Presses Drag. Yields the step of each answer; ends as the drag ends, or was stopped."""
        handler = self._handler("drag", "click")
        self._dragging = await self._join(handler)
        async for _ in self._messages(handler, self._dragging):
            yield self.steps

    async def stop(self) -> None:
        """Presses Stop, as the page does: what runs is cancelled, then the handler for that is called."""
        handler = self._handler("drag", "click")
        body = {"session_hash": self._tab, "fn_index": handler["id"], "event_id": self._dragging}
        (await self._client.post(f"{self._address}/{API}/cancel", json=body)).raise_for_status()
        await self._follow(handler, failed=True)

    def _handler(self, element: str, event: str) -> dict:
        number = self._named[element]
        return next(h for h in self._handlers.values() if [number, event] in h["targets"] and h["backend_fn"])

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)

    def failure(self) -> BaseException | None:
        """What went wrong behind the visitor's back."""
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        return next(filter(None, (task.exception() for task in ended)), None)

    async def _join(self, handler: dict, data: Any = None) -> str:
        """-> the event's name"""
        sent = [None if n in self._states else self.values[n] for n in handler["inputs"]]
        body = {"data": sent, "event_data": data, "fn_index": handler["id"], "session_hash": self._tab}
        answer = await self._client.post(f"{self._address}/{API}/queue/join", json=body)
        if answer.is_error:
            raise Refused(f"{answer.status_code} {answer.text}")
        return answer.json()["event_id"]

    async def _listen(self) -> None:
        """The stream of answers, as long as the tab is open: the page's first handler never ends."""
        url = f"{self._address}/{API}/queue/data"
        async with self._client.stream("GET", url, params={"session_hash": self._tab}, timeout=None) as stream:
            stream.raise_for_status()
            async for line in stream.aiter_lines():
                if line.startswith("data:"):
                    message = json.loads(line.removeprefix("data:"))
                    if message.get("event_id"):
                        self._answers[message["event_id"]].put_nowait(message)
                    elif message["msg"] in ("unexpected_error", "close_stream"):
                        raise Refused(f"the stream ended: {message}")

    async def _messages(self, handler: dict, event: str) -> AsyncIterator[dict]:
        """The answers to an event, after what they change has been changed."""
        last: list[Any] = []
        try:
            while True:
                message = await asyncio.wait_for(self._answers[event].get(), None if not last else TIMEOUT)
                output = message.get("output") or {}
                if message["msg"] == "process_generating" and message["success"]:
                    changes = output["data"]
                    last = [_patched(*pair) for pair in zip(last, changes, strict=True)] if last else changes
                    self._apply(handler, last)
                    yield message
                elif message["msg"] == "process_completed":
                    if not message["success"]:
                        raise Refused(str(output.get("error")))
                    if output.get("data") and not last:
                        self._apply(handler, output["data"])
                        yield message
                    return
        finally:
            del self._answers[event]

    async def _finish(self, handler: dict, event: str) -> None:
        async for _ in self._messages(handler, event):
            pass
        await self._follow(handler, failed=False)

    async def _follow(self, handler: dict, failed: bool) -> None:
        """What the page does after a handler has ended."""
        skipped = "trigger_only_on_success" if failed else "trigger_only_on_failure"
        for after in self._handlers.values():
            if after["trigger_after"] == handler["id"] and not after[skipped]:
                await self._finish(after, await self._join(after))

    def _apply(self, handler: dict, data: list[Any]) -> None:
        for number, value in zip(handler["outputs"], data, strict=True):
            if isinstance(value, dict) and value.get("__type__") == "update":
                self.props[number] |= value | value.get("props", {})
                if "value" in value:
                    self.values[number] = value["value"]
            elif number not in self._states:
                self.values[number] = value


def _patched(value: Any, changes: Any) -> Any:
    """A value after the changes that the server sends from one answer to the next: [what, path, new]."""
    for what, path, new in changes:
        if not path:
            value = value + new if what == "append" else new
            continue
        value = json.loads(json.dumps(value))
        *way, last = path
        inner = value
        for key in way:
            inner = inner[key]
        if what == "delete":
            del inner[last]
        elif what == "add" and isinstance(inner, list):
            inner.insert(last, new)
        elif what == "append":
            inner[last] += new
        else:
            inner[last] = new
    return value


@contextlib.asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """For any number of visitors; a server on this machine is never asked through a proxy."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False) as opened:
        yield opened


async def wait_for(what: Any, seconds: float = TIMEOUT) -> None:
    """Until `what()` is true. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise TimeoutError
        await asyncio.sleep(0.02)
