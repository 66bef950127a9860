"""The page: its layout and its wiring, and the server that shows it."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio import themes
from starlette.middleware import Middleware

from draggan.cache import ModelCache
from draggan.engine import DragConfig
from draggan.models import step_size
from draggan.web import canvas
from draggan.web.handlers import Handlers
from draggan.web.limits import REQUEST_BYTES, BodyLimit
from draggan.web.presence import Places

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")  # nothing is fetched from outside
SETTLED = "async (...inputs) => { await window.draggan.settled(); return inputs; }"
TASKS = 1000  # that the server does at once: two a tab, most of them asleep
# Else Gradio sums up its last 10,000 events after each event, for a page that is not served here.
UNCOUNTED = {"GRADIO_ANALYTICS_MAX_EVENTS": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(1 << 62)}
IDLE_SECONDS = 24 * 3600  # after which a picture that nobody touched is put away
FORMATS = [".pkl", ".pt", ".pth", ".safetensors"]
CSS = """footer { display: none !important }
.gradio-container { width: 100%; max-width: 1280px !important; margin: 0 auto }
#model input { text-overflow: ellipsis; margin-right: 24px }
#canvas .html-container { padding: 0 !important }
#actions { flex-wrap: nowrap }
.toast-message-text { white-space: pre-line }
@media (max-width: 760px) {
  #work > :has(#canvas) { order: -1 }
  .gradio-container .main { padding: 8px 14px !important }
  #actions { gap: 8px }
  #actions button { min-width: 0 !important; padding: 8px 4px; font-size: 14px !important }
}
"""
ABOUT = """# draggan
Click a **handle** (blue) and its **target** (red ring), or draw from one to the other, and press **Drag it**. Paint
white what **may move**, or nothing: then all may."""


@dataclass(frozen=True)
class ServerConfig:
    """Where the page is served."""

    host: str = "127.0.0.1"
    port: int = 7860  # the next free one if it is taken
    share: bool = False
    auth: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # (user, password); none: the page is open to all
    max_users: int = 100  # tabs that are open at once; others wait
    root_path: str = ""  # where a reverse proxy shows the page: /edit
    max_upload: int = 4 << 30  # bytes of a model file that a user sends

    def __post_init__(self) -> None:
        if self.root_path and not self.root_path.startswith(("/", "http://", "https://")):
            raise ValueError(f"root path {self.root_path!r}: write /edit, or a whole address (http://..)")
        if self.max_users < 1:
            raise ValueError(f"max_users is {self.max_users}: at least 1 tab must be let in")
        if self.max_upload < 1:
            raise ValueError(f"max_upload is {self.max_upload}: it must be at least 1 byte")


class Page(gr.Blocks):
    """Without Gradio's second stream to each tab, by which it notices that the tab has gone: `Handlers.stay` does.

    A browser opens 6 connections to a server and no more: with two for each tab, the third tab would wait for ever.
    """

    def get_config_file(self) -> Any:
        """What the browser is told of the page."""
        return super().get_config_file() | {"connect_heartbeat": False}


def build(models: ModelCache, device: str, model: str, max_users: int) -> gr.Blocks:
    """The page. `model`, a name or a file, is the one shown first; `max_users` tabs may be open, others wait."""
    do = Handlers(models, device, ThreadPoolExecutor(max_workers=1, thread_name_prefix="network"), Places(max_users))
    do.rehearse(model)
    defaults = DragConfig()
    with Page(title="draggan", analytics_enabled=False, fill_width=True) as page:
        state = gr.State(time_to_live=IDLE_SECONDS)
        gr.Markdown(ABOUT)
        with gr.Row(equal_height=False, elem_id="work"):
            with gr.Column(scale=1, min_width=280):
                first = do.menu(model)
                menu = gr.Dropdown(first["choices"], value=model, label="Model", elem_id="model")
                file = gr.UploadButton("Open a model file", file_types=FORMATS, elem_id="file", size="sm")
                with gr.Row():
                    seed = gr.Number(value=6, precision=0, minimum=0, maximum=2**32 - 1, label="Seed", min_width=80)
                    psi = gr.Slider(0, 1, value=0.7, step=0.05, label="Truncation psi", min_width=140)
                with gr.Row():
                    draw = gr.Button("New image", elem_id="draw", min_width=80)
                    random = gr.Button("Random", elem_id="random", min_width=80)
                with gr.Row():
                    gr.Button("Clear points", elem_id="clear", min_width=80)
                    gr.Button("Reset image", elem_id="reset", min_width=80)
                save = gr.Button("Save picture", elem_id="save")
                with gr.Accordion("Drag settings", open=False):
                    lr = gr.Number(value=step_size(model), minimum=1e-5, maximum=1, step=1e-4, label="Step size")
                    steps = gr.Slider(1, 1000, value=defaults.max_steps, step=1, label="Max steps")
                    layers = gr.Radio(["w_plus", "w"], value=defaults.space, label="Latent space")
                    weight = gr.Number(value=defaults.mask_weight, minimum=0, label="Mask weight (lambda)")
            with gr.Column(scale=2, min_width=320):
                view = canvas.component()
                with gr.Row(elem_id="actions"):
                    drag = gr.Button("Drag it", variant="primary", elem_id="drag", min_width=80)
                    stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop", min_width=80)
                    undo = gr.Button("Undo", interactive=False, elem_id="undo", min_width=80)
                    redo = gr.Button("Redo", interactive=False, elem_id="redo", min_width=80)

        shown = [state, view, drag, stop, undo, redo]
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        alone: dict[str, Any] = {**quiet, "trigger_mode": "once", "js": SETTLED}
        page.load(do.stay, **quiet)
        arriving = page.load(do.arrive, None, view, **quiet)
        arriving.success(do.start, [menu, seed, psi], shown, **quiet)
        choosing = menu.select(do.choose, [state, menu, seed, psi], [menu, *shown], **alone)  # `input` comes twice
        opening = file.upload(do.open_file, [state, file, seed, psi], [menu, *shown], **alone)
        menu.change(step_size, menu, lr, **quiet)
        draw.click(do.draw, [state, seed, psi], shown, **alone)
        random.click(do.draw_random, [state, psi], [seed, *shown], **alone)
        view.edit(do.edit, state, shown, **quiet, trigger_mode="multiple")
        view.look(do.look, state, view, **quiet, trigger_mode="always_last")
        save.click(do.save, state, view, **alone)
        running = drag.click(do.drag, [state, lr, steps, layers, weight], shown, **alone, concurrency_limit=None)
        stop.click(None, cancels=[running, choosing, opening], queue=False)
        for long in (running, choosing, opening):  # what is cancelled has then ended, and may be started again
            long.failure(do.stop, state, [menu, *shown], **quiet)
    return page


def serve(page: gr.Blocks, config: ServerConfig) -> str:
    """Starts the server without waiting for it; -> the address of the page. `page.block_thread()` waits."""
    for name in ("NO_PROXY", "no_proxy"):  # the loopback never goes through a proxy
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost", "::1"]))
    os.environ |= UNCOUNTED
    _, address, _ = page.queue(default_concurrency_limit=None).launch(
        server_name=config.host,
        server_port=free_port(config.host, config.port),
        share=config.share,
        auth=list(config.auth) or None,
        root_path=config.root_path.rstrip("/"),
        theme=themes.Soft(font=FONTS, font_mono=("ui-monospace", "monospace")),
        css=CSS,
        footer_links=[],
        prevent_thread_lock=True,
        quiet=True,
        max_threads=TASKS,
        state_session_capacity=TASKS // 2,  # tabs whose picture is kept: those that can be open, or the last that were
        max_file_size=config.max_upload,
        app_kwargs={"middleware": [Middleware(BodyLimit, uploads=config.max_upload + REQUEST_BYTES)]},
        enable_monitoring=False,
    )
    return address


def free_port(host: str, port: int) -> int:
    """The first free port from `port` on. Raises OSError where a hundred are taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, min(port + 100, 65536)):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return candidate
    raise OSError(f"no free port on {host} from {port} to {port + 99}: name another with --port")
