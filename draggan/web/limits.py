"""What a server takes: who may log in, what may be asked for from where, and how large a request may be.

Knows nothing of gradio but its addresses.
"""

import errno
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_BYTES = 16 << 20  # of a request that is no upload; the largest is a mask
VALUES = 10_000  # lists, dictionaries and what they hold, in such a request: while millions are read, all others wait
UPLOAD = "/gradio_api/upload"  # how the path of a request ends that brings files, also behind a --root-path
UNUSED = re.compile(  # what Gradio answers and the page never asks for: files are left behind, other servers asked, ..
    r"/gradio_api/(component_server|custom_component|deep_link|dev|file[=/]https?:|heartbeat|process_recording|proxy=|"
    r"run-history|stream|undo-vibe-edit|vibe-)"
)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # on the disk, for this user of it, in a file
FULL = "The disk of this server is full: send a smaller file, or try again later.\n"
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Doors:
    """Refuses, with status 404, what the page never asks for, and with 403 what the page of another site asks for.

    A browser sends with what another site asks for who has logged in here, and files without asking; only a link may
    lead here. It says where a request comes from, also through a reverse proxy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: ASGIApp = self._app
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            link = scope["method"] in ("GET", "HEAD") and headers.get(b"sec-fetch-mode") == b"navigate"
            if UNUSED.search(scope["path"]):
                answer = PlainTextResponse("There is nothing here.\n", 404)
            elif headers.get(b"sec-fetch-site") == b"cross-site" and not link:
                answer = PlainTextResponse("Another site may not ask for this.\n", 403)
        await answer(scope, receive, send)


class BodyLimit:
    """Refuses, with status 413, each request whose body is larger than it may be, and with 507 files without room.

    uploads: bytes of a request that brings files; all others may have `REQUEST_BYTES`, and `VALUES` of JSON. folder:
    where the files go.
    """

    def __init__(self, app: ASGIApp, uploads: int, folder: Path) -> None:
        self._app = app
        self._uploads = uploads
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        brings = scope["path"].endswith(UPLOAD)
        most = self._uploads if brings else REQUEST_BYTES
        said = f"The request is larger than the {most} bytes that this server takes.\n"
        length = dict(scope["headers"]).get(b"content-length", b"0")
        declared = int(length) if length.isdigit() else 0
        if declared > most:
            await PlainTextResponse(said, 413)(scope, receive, send)
            return
        if brings and declared > shutil.disk_usage(self._folder).free:
            await PlainTextResponse(FULL, 507)(scope, receive, send)
            return
        come = values = 0

        async def counted() -> Message:
            nonlocal come, values
            message = await receive()
            body = message.get("body", b"")
            come += len(body)
            if come > most:
                raise HTTPException(413, said)
            values += 0 if brings else sum(map(body.count, (b",", b"[", b"{")))
            if values > VALUES:
                raise HTTPException(413, f"The request holds more than {VALUES} values.\n")
            return message

        try:
            await self._app(scope, counted, send)
        except OSError as error:
            if not brings or error.errno not in NO_ROOM:
                raise
            await PlainTextResponse(FULL, 507)(scope, receive, send)


def accounts(values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(user, password) of each `user:password`, or of each line of `@FILE`; # begins a line that says nothing.

    Raises ValueError, which never holds what was given: it may be a password.
    """
    found: dict[str, str] = {}
    for where, text in _numbered(values):
        user, _, password = text.partition(":")
        user = user.strip()
        if not (user and password):
            raise ValueError(f"{where}: write user:password, neither of them empty")
        if user in found:
            raise ValueError(f"{where}: there is a user of that name already")
        found[user] = password
    return tuple(found.items())


def _numbered(values: Sequence[str]) -> list[tuple[str, str]]:
    """Where each account was given, and the account."""
    given = []
    for number, value in enumerate(values, 1):
        if not value.startswith("@"):
            given.append((f"--auth number {number}", value))
            continue
        path = Path(value[1:])
        lines = [(f"{path}, line {n}", line) for n, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1)]
        kept = [(where, line) for where, line in lines if line.strip() and not line.startswith("#")]
        if not kept:
            raise ValueError(f"{path} has no line: write one user:password a line")
        given += kept
    return given


def size(text: str) -> int:
    """Bytes of "500mb", "4gb" or a plain number; kB, MB, GB and TB are powers of 1024, as the page counts them.

    Raises ValueError for anything else, and for nothing at all.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]?)b?", text.strip(), re.IGNORECASE)
    value = int(float(found[1]) * UNITS[found[2].lower()]) if found else 0
    if value < 1:
        raise ValueError(f"{text!r} is no size: write 500mb or 4gb")
    return value
