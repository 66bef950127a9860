"""A file server on 127.0.0.1 that fails as told: real sockets, one thread a connection."""

import hashlib
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

BLOCK = 8192  # bytes sent at once


@dataclass(frozen=True)
class Reply:
    """How one request is answered. The default is what a good server does."""

    status: int = 200  # 200: the file, or the part of it that was asked for
    headers: dict[str, str] = field(default_factory=dict)  # instead of or beside the usual ones
    content: bytes | None = None  # another file than the one that is served
    etag: str | None = None  # None: the hash of the content; empty: none
    ranges: bool = True  # whether Range is heeded
    if_range: bool = True  # whether If-Range is heeded
    cut: int | None = None  # bytes of the body after which the connection is closed
    reset: bool = False  # whether it is then reset instead
    stall: bool = False  # whether it is then left open, in silence, instead
    pace: float = 0.0  # seconds between two blocks


GOOD = Reply()


@dataclass
class Request:
    """What was asked, and how much of the body has been sent."""

    path: str
    headers: dict[str, str]
    start: int  # the first byte that was sent
    sent: int = 0  # bytes of the body


class FileServer:
    """Serves what `add` names, until the end of the `with`."""

    def __init__(self, certificate: Path | None = None) -> None:
        """certificate: a PEM file with its key, with which it speaks TLS."""
        self.requests: list[Request] = []
        self.files: dict[str, tuple[bytes, list[Reply], Reply]] = {}
        self.stopped = threading.Event()
        server = self

        class Handler(_Handler):
            owner = server

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.scheme = "https" if certificate else "http"
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.http.server_address[1]}"

    def add(self, path: str, content: bytes, *replies: Reply, then: Reply = GOOD) -> str:
        """The address of a file. The first requests are answered by `replies`, all others by `then`."""
        self.files[path] = (content, list(replies), then)
        return self.url + path

    def sent(self, path: str) -> int:
        """Bytes of bodies sent for a file."""
        return sum(r.sent for r in self.requests if r.path == path)

    def __enter__(self) -> "FileServer":
        self.thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stopped.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FileServer

    def do_GET(self) -> None:
        served, replies, then = self.owner.files.get(self.path, (b"not here", [], Reply(status=404)))
        reply = replies.pop(0) if replies else then
        content = served if reply.content is None else reply.content
        etag = f'"{hashlib.md5(content).hexdigest()}"' if reply.etag is None else reply.etag
        status, start = reply.status, 0
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(content))}
        if etag:
            headers["ETag"] = etag
        asked = self.headers.get("Range")
        if status == 200 and asked and reply.ranges:
            first = int(asked.removeprefix("bytes=").partition("-")[0])
            if not reply.if_range or self.headers.get("If-Range") in (None, etag):
                status = 206 if first < len(content) else 416
                start = min(first, len(content))
                last = len(content) - 1
                headers["Content-Range"] = (
                    f"bytes {start}-{last}/{len(content)}" if status == 206 else f"bytes */{last + 1}"
                )
                headers["Content-Length"] = str(len(content) - start)
        self.send_response(status)
        for name, value in {**headers, **reply.headers}.items():
            if value:
                self.send_header(name, value)
        request = Request(self.path, dict(self.headers), start)
        self.owner.requests.append(request)
        try:
            self.end_headers()
            self.send_body(content[start:], reply, request)
        except OSError:  # the client has gone
            self.close_connection = True

    def send_body(self, body: bytes, reply: Reply, request: Request) -> None:
        end = len(body) if reply.cut is None else min(reply.cut, len(body))
        for at in range(0, end, BLOCK):
            block = body[at : min(at + BLOCK, end)]
            request.sent += len(block)
            self.wfile.write(block)
            if reply.pace:
                time.sleep(reply.pace)
        if reply.stall:
            self.owner.stopped.wait(10)
        if reply.cut is not None or reply.stall or "Content-Length" in reply.headers:
            self.close_connection = True
            if reply.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            else:
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        pass
