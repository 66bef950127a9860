"""The server that shows the page."""

import errno
import json
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from draggan.web import canvas
from draggan.web.chinese import CHINESE
from draggan.web.limits import REQUEST_BYTES, BodyLimit, Doors
from draggan.web.look import CSS, theme
from draggan.web.page import Page

TASKS = 1000  # that the server does at once: two a tab, most of them asleep
# Else Gradio sums up its last 10,000 events after each event, for a page that is not served here.
UNCOUNTED = {"GRADIO_ANALYTICS_MAX_EVENTS": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(1 << 62)}
LOOK_SECONDS = 0.01  # between two looks at what is asked for: Gradio's 0.001 take 7 % of a core while nobody asks
UNSENT_BYTES = 1 << 14  # of answers to a tab that wait in the system, which else holds megabytes that are old by then
PORTS = 65535  # the last one


@dataclass(frozen=True)
class ServerConfig:
    """Where the page is served."""

    host: str = "127.0.0.1"
    port: int = 7860  # the next free one if it is taken
    share: bool = False
    auth: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # (user, password); none: the page is open to all
    max_users: int = 100  # tabs that are open at once; others wait
    root_path: str = ""  # where a reverse proxy shows the page: /edit
    max_upload: int = 4 << 30  # bytes of a file that a user sends

    def __post_init__(self) -> None:
        if self.root_path and not self.root_path.startswith(("/", "http://", "https://")):
            raise ValueError(f"root path {self.root_path!r}: write /edit, or a whole address (http://..)")
        if not 1 <= self.port <= PORTS:
            raise ValueError(f"port {self.port}: it must be within 1 .. {PORTS}")
        if self.max_users < 1:
            raise ValueError(f"max_users is {self.max_users}: at least 1 tab must be let in")
        if self.max_upload < 1:
            raise ValueError(f"max_upload is {self.max_upload}: it must be at least 1 byte")


def serve(page: Page, config: ServerConfig) -> str:
    """Starts the server without waiting for it; -> the address of the page. `page.block_thread()` waits."""
    host = config.host.strip("[]")
    for name in ("NO_PROXY", "no_proxy"):  # neither the loopback nor the page goes through a proxy
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost", "::1", "::", host]))
    os.environ |= UNCOUNTED
    uploads = Path(get_upload_folder())
    uploads.mkdir(parents=True, exist_ok=True)
    middleware = [
        Middleware(Doors),
        Middleware(page.listeners.around),
        Middleware(BodyLimit, uploads=config.max_upload + REQUEST_BYTES, folder=uploads),
    ]
    page.queue(default_concurrency_limit=None)
    page._queue.sleep_when_free = LOOK_SECONDS
    _, address, _ = page.launch(
        server_name=f"[{host}]" if ":" in host else host,
        server_port=free_port(host, config.port),
        share=config.share,
        auth=list(config.auth) or None,
        root_path=config.root_path.rstrip("/"),
        theme=theme(),
        css_paths=CSS,
        footer_links=[],
        head=_head(),
        i18n=gr.I18n(zh=CHINESE, **{"zh-CN": CHINESE}),
        prevent_thread_lock=True,
        quiet=True,
        max_threads=TASKS,
        state_session_capacity=max(TASKS // 2, config.max_users),  # tabs whose picture is kept, the last that were here
        max_file_size=config.max_upload,
        app_kwargs={"middleware": middleware},
        enable_monitoring=False,
    )
    if unsent := getattr(socket, "TCP_NOTSENT_LOWAT", None):  # which connections have from where they are accepted
        for listener in (each for server in page.server.servers for each in server.sockets):
            listener.setsockopt(socket.IPPROTO_TCP, unsent, UNSENT_BYTES)
    return address


def _head() -> str:
    """What is there before the components are: `window.draggan`."""
    scripts = canvas.joined("store.js", "framed.js", "kept.js", "speech.js")
    words = json.dumps(CHINESE, ensure_ascii=False)
    parts = f"framed, kept, keeper, see, seen, unframed, ...speech({words})"
    first = f"(() => {{ {scripts} window.draggan = {{ {parts} }}; }})();"
    return f"<script>{first} {canvas.script()}</script>"


def free_port(host: str, port: int) -> int:
    """The first free port from `port` on. Raises OSError where a hundred are taken, or none can be had."""
    last = min(port + 99, PORTS)
    for candidate in range(port, last + 1):
        try:
            for address in (host, "127.0.0.1"):  # which Gradio wants to be free, too
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                with socket.socket(family, socket.SOCK_STREAM) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((address, candidate))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                where = f"{host}, port {candidate}"
                said = f"cannot listen on {where} ({error.strerror}): name others with --host and --port"
                raise OSError(said) from error
        else:
            return candidate
    raise OSError(f"no free port on {host} from {port} to {last}: name another with --port")
