"""The bytes of one address into FILE.part, in as many attempts as it takes, none of them fetched twice.

Knows nothing of what the bytes should be. Beside FILE.part lies FILE.part.json: whose bytes they are. They are gone on
from only where the server says that it still has the same file.
"""

import ipaddress
import json
import os
import random
import re
import shutil
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

BLOCK = 1 << 20  # bytes read at once, at most
HEADROOM = 256 << 20  # bytes of the disk that a download leaves free
STRETCH = 64 << 20  # bytes of a file of unknown length for which room is made at once
STOP_SECONDS = 0.2  # in which a caller may stop while nothing comes
NOISE = re.compile(r"^(<.*?>|HTTPS?Connection\w*\(.*?\)): |\[\w+: \w+\] | \(_ssl\.c:\d+\)")
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}  # status codes that may be gone in a moment


@dataclass(frozen=True)
class Patience:
    """How long to go on with one address."""

    failures: int = 4  # in a row that brought no new byte
    backoff: float = 1.0  # seconds of a pause after new bytes; doubled with each failure, and spread by a half
    longest_pause: float = 60.0  # seconds; a server that asks for more is given up
    connect_timeout: float = 10.0  # seconds
    stall_timeout: float = 30.0  # seconds without a byte

    def __post_init__(self) -> None:
        if self.failures < 1 or min(self.backoff, self.longest_pause, self.connect_timeout, self.stall_timeout) <= 0:
            raise ValueError(f"{self}: failures must be at least 1, times above 0")


@dataclass(frozen=True)
class Progress:
    """How far a download is."""

    phase: Literal["waiting", "connecting", "downloading", "retrying", "checking"]  # waiting: for another process
    url: str = ""
    received: int = 0  # bytes on disk
    total: int | None = None  # bytes; None while unknown
    note: str = ""  # why it waits or tries again


@dataclass(frozen=True)
class Origin:
    """Whose bytes a .part file holds."""

    url: str
    etag: str  # ETag or Last-Modified; empty where the server sends neither: then it cannot be resumed
    total: int | None  # bytes; None where the server does not tell
    sha256: str | None  # of the whole file; None where the server does not tell


class Refused(Exception):
    """The address does not work; the message says why."""


class _Interrupted(Exception):
    """This attempt failed; the same address may work in `pause` seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def fetch(
    session: requests.Session, url: str, part: Path, sha256: str | None, patience: Patience
) -> Generator[Progress, None, bool]:
    """Completes `part`. Returns whether it has a joint: bytes of more than one response.

    Raises Refused, at once where the server says that its file has another SHA-256 than the one given.
    """
    failures, furthest = 0, _held(part, url)[1]
    while True:
        try:
            return (yield from _attempt(session, url, part, sha256, patience))
        except _Interrupted as error:
            reason, pause = str(error), error.pause
        except requests.exceptions.SSLError as error:
            raise Refused(f"no safe connection: {_reason(error)}") from error
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            reason, pause = _reason(error), 0.0
        except (requests.RequestException, ValueError) as error:  # malformed addresses, redirects in a circle
            raise Refused(_reason(error)) from error
        origin, size = _held(part, url)
        failures = 0 if size > furthest else failures + 1
        furthest = max(furthest, size)
        if failures >= patience.failures:
            raise Refused(reason)
        if pause > patience.longest_pause:
            raise Refused(f"{reason}, come back in {pause:.0f} s")
        backoff = min(patience.backoff * 2**failures * random.uniform(0.5, 1.5), patience.longest_pause)
        yield from wait(max(pause, backoff), Progress("retrying", url, size, origin and origin.total, reason))


def _attempt(
    session: requests.Session, url: str, part: Path, sha256: str | None, patience: Patience
) -> Generator[Progress, None, bool]:
    """One request, from where `part` ends. Returns whether it went on from earlier bytes."""
    origin, offset = _held(part, url)
    if origin and offset == origin.total:
        return True
    headers = {"Accept-Encoding": "identity"}  # a range counts the bytes of the file, not those of its compression
    if origin and offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": origin.etag}
    yield Progress("connecting", url, offset, origin and origin.total)
    timeout = (patience.connect_timeout, patience.stall_timeout)
    with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
        _accept(response)
        if response.status_code == 200:
            offset, origin = 0, _start(response, url, part, sha256)
        elif origin and offset and (same := _gone_on(response, origin, offset)):
            origin = same
        elif offset and response.status_code in (206, 416):
            discard(part)
            raise _Interrupted("the file has changed on the server")
        else:
            raise Refused(f"status {response.status_code} {response.reason}")
        if origin.total:
            _make_room(part.parent, origin.total - offset)
        size = yield from _receive(response, part, offset, origin)
    if origin.total is not None and size != origin.total:
        raise _Interrupted(f"ended after {size} of {origin.total} bytes")
    return offset > 0


def _receive(response: requests.Response, part: Path, size: int, origin: Origin) -> Generator[Progress, None, int]:
    """The body of a response, appended to `part`, which is `size` bytes long. Returns its length then."""
    shown, room = 0.0, size
    with part.open("ab") as file, ThreadPoolExecutor(1) as reader:
        while True:
            if origin.total is None and size >= room:
                _make_room(part.parent, STRETCH)
                room = size + STRETCH
            coming = reader.submit(response.raw.read1, BLOCK, decode_content=False)  # so a drop loses nothing
            try:
                while wait_for([coming], timeout=STOP_SECONDS).not_done:
                    yield Progress("downloading", origin.url, size, origin.total)
            finally:
                if not coming.done():
                    with suppress(OSError, RuntimeError, ValueError):  # it has ended meanwhile
                        response.raw.shutdown()
            if not (block := coming.result()):
                break
            size += len(block)
            file.write(block)
            file.flush()
            if time.monotonic() - shown > 0.1:
                shown = time.monotonic()
                yield Progress("downloading", origin.url, size, origin.total)
        os.fsync(file.fileno())
    return size


def _accept(response: requests.Response) -> None:
    """Raises where the response carries no bytes of a file."""
    status, headers = response.status_code, response.headers
    if status in TRANSIENT:
        raise _Interrupted(f"status {status} {response.reason}", _retry_after(headers.get("Retry-After", "")))
    if status in (200, 206):
        if headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml")):
            raise Refused("a web page came instead of the file")
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refused(f"the server sends it encoded ({headers['Content-Encoding']})")


def _start(response: requests.Response, url: str, part: Path, sha256: str | None) -> Origin:
    """Forgets what `part` holds, for the response of a whole file that comes instead."""
    hashes = [r.headers.get("X-Linked-ETag", "").strip('"').lower() for r in (*response.history, response)]
    host = next((h for h in hashes if re.fullmatch(r"[0-9a-f]{64}", h)), None)
    if sha256 and host and host != sha256:
        raise Refused(f"the server has a file of SHA-256 {host}, expected {sha256}")
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    origin = Origin(without_password(url), _etag(response), total, host)
    discard(part)
    write_json(beside(part, ".json"), origin)
    return origin


def _gone_on(response: requests.Response, origin: Origin, offset: int) -> Origin | None:
    """The origin, with its length if that is told only now, where this response follows its first `offset` bytes."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if response.status_code != 206 or found is None or int(found[1]) != offset:
        return None
    total = origin.total if found[2] == "*" else int(found[2])
    same = origin.total in (None, total) and _etag(response) in ("", origin.etag)
    return replace(origin, total=total) if same else None


def _make_room(folder: Path, size: int) -> None:
    """Raises OSError where there is none."""
    free = shutil.disk_usage(folder).free
    if free < size + HEADROOM:
        raise OSError(
            f"{size / 1e6:.0f} MB are to come and {HEADROOM / 1e6:.0f} MB to stay free, "
            f"but {folder} has only {free / 1e6:.0f} MB"
        )


def wait(seconds: float, progress: Progress) -> Iterator[Progress]:
    """Sleeps, and says so ten times a second, which is when a caller may stop."""
    end = time.monotonic() + seconds
    yield progress
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
        yield progress


def open_session() -> requests.Session:
    """A session that takes proxies from the environment, but none for this machine itself."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


class _Adapter(HTTPAdapter):
    """Sees every request, also those that a redirect makes."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if is_loopback(urlsplit(request.url or "").hostname or ""):
            kwargs["proxies"] = {}
        return super().send(request, *args, **kwargs)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine: localhost, 127.0.0.0/8, ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _retry_after(text: str) -> float:
    """Seconds, of a header that gives them as a number or as a date, maybe a past one; 0 where it gives neither."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - datetime.now(timezone.utc)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _etag(response: requests.Response) -> str:
    """What If-Range may ask for (RFC 9110, section 13.1.5): a strong ETag, else a date; empty without either."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _reason(error: BaseException) -> str:
    """What urllib3's nested errors say, without the objects and lines of code that they name."""
    nested = (getattr(error, "reason", None), *error.args)
    inner = next((each for each in nested if isinstance(each, BaseException)), None)
    if inner is None:
        return NOISE.sub("", getattr(error, "strerror", None) or str(error) or type(error).__name__)
    said = error.args[0] if len(error.args) == 2 else ""  # of a proxy, or of how far it came
    said = str(said).partition(repr(inner))[0].rstrip(".: ")
    return f"{said}: {_reason(inner)}" if said else _reason(inner)


def without_password(text: str) -> str:
    """An address, or a text with addresses, without the users and passwords in them."""
    return re.sub(r"(?<=://)[^/?#\s]*@", "", text)


def read_origin(part: Path) -> Origin | None:
    """Whose bytes `part` holds; None where that is not known."""
    return read_json(Origin, beside(part, ".json"))


def _held(part: Path, url: str) -> tuple[Origin | None, int]:
    """The origin of `part` and its length, where this address can go on from it; else (None, 0)."""
    origin = read_origin(part)
    size = part.stat().st_size if part.exists() else 0
    if origin is None or origin.url != without_password(url) or not origin.etag:
        return None, 0
    return (origin, size) if origin.total is None or size <= origin.total else (None, 0)


def keep_resumable(part: Path) -> None:
    """Deletes `part` unless its bytes can be gone on from."""
    origin = read_origin(part)
    if not (origin and origin.etag):
        discard(part)


def discard(part: Path) -> None:
    """Deletes `part`, and first what is known of it: bytes of unknown origin are never gone on from."""
    beside(part, ".json").unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def read_json(kind: type, path: Path) -> Any:
    """A dataclass that `write_json` wrote; None where the file is missing, damaged or of another version."""
    with suppress(OSError, ValueError, TypeError):
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    return None


def write_json(path: Path, value: Any) -> None:
    new = beside(path, ".new")
    try:
        new.write_text(json.dumps(asdict(value), indent=2) + "\n", encoding="utf-8")
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
