"""The page: its layout and its wiring, and the server that shows it."""

import errno
import inspect
import json
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import themes
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from draggan.cache import ModelCache
from draggan.models import step_size
from draggan.web import canvas, settings, starts
from draggan.web.chinese import CHINESE
from draggan.web.handlers import Handlers
from draggan.web.keep import Keep
from draggan.web.limits import REQUEST_BYTES, BodyLimit, Doors
from draggan.web.network import Network
from draggan.web.own import Own
from draggan.web.presence import Listeners, Places
from draggan.web.sent import FORMATS, IDLE_SECONDS
from draggan.web.starts import Starts
from draggan.web.visits import Visits
from draggan.web.words import say

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")  # nothing is fetched from outside
SETTLED = "async (...inputs) => { await window.draggan.settled(); return inputs; }"
# The last two inputs become what the browser kept of a session, sent as files, and how many they should be.
KEPT = "async (...inputs) => [...inputs.slice(0, -2), ...await draggan.kept()]"
# Likewise, where that waits for a model.
WAITING = "async (...inputs) => [...(await draggan.settled(), inputs.slice(0, -2)), ...await draggan.waiting()]"
TASKS = 1000  # that the server does at once: two a tab, most of them asleep
# Else Gradio sums up its last 10,000 events after each event, for a page that is not served here.
UNCOUNTED = {"GRADIO_ANALYTICS_MAX_EVENTS": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(1 << 62)}
LOOK_SECONDS = 0.01  # between two looks at what is asked for: Gradio's 0.001 take 7 % of a core while nobody asks
PORTS = 65535  # the last one
CLEAN_SECONDS = 3600  # from one look for files of Gradio's that are old to the next
CSS = """footer { display: none !important }
.gradio-container { width: 100%; margin: 0 auto;
  max-width: max(1360px, 133.4vh - 122px) !important }  /* in a high window a square picture is as high as it may be */
#model input { text-overflow: ellipsis; margin-right: 24px }
#psi [data-testid="block-info"] { white-space: nowrap }
#canvas .html-container { padding: 0 !important }
#actions, #framing { flex-wrap: nowrap; gap: 8px }
#work:has([data-phase="framing"]) #actions, #actions:has(#use) > :not(#stop, #use) { display: none }
#work:not(:has([data-photo])) #pasted { display: none }
#actions button, #framing button { padding: 8px 4px; font-size: 14px; white-space: nowrap }
.toast-message-text { white-space: pre-line }
@media (max-width: 760px), (max-width: 1000px) and (orientation: portrait) {
  #work > * { min-width: 100% !important }
  #work > :has(#canvas) { order: -1 }
}
@media (max-width: 760px) {
  .gradio-container .main { padding: 8px 14px !important }
  #actions { flex-wrap: wrap; gap: 6px }
  #actions button { min-width: 30% !important }
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


def build(models: ModelCache, device: str, model: str, max_users: int) -> Page:
    """The page. `model`, a name or a file, is the one shown first; `max_users` tabs may be open, others wait."""
    network = Network(models, device)
    network.rehearse(model)
    page = Page()
    visits = Visits(Places(max_users), page)
    do, keep, start, own = Handlers(network), Keep(network), Starts(network), Own(network)
    with page:
        state, offered = gr.State(time_to_live=IDLE_SECONDS), gr.State((), time_to_live=IDLE_SECONDS)
        gr.Markdown(say(ABOUT))
        with gr.Row(equal_height=False, elem_id="work"):
            with gr.Column(scale=1, min_width=280):
                first = do.menu(model)
                menu = gr.Dropdown(first["choices"], value=model, label=say("Model"), elem_id="model")
                with gr.Row():
                    file = gr.UploadButton(say("Open a model file"), file_types=FORMATS, elem_id="file", size="sm")
                    saved = gr.UploadButton(
                        say("Open a session"), file_types=[".draggan"], elem_id="open", size="sm", min_width=80
                    )
                with gr.Row():
                    seed = gr.Number(6, precision=0, label=say("Seed"), elem_id="seed", min_width=110)
                    psi = gr.Slider(
                        0, 1, value=0.7, step=0.05, label=say("Truncation psi"), elem_id="psi", min_width=180
                    )
                of_class = gr.Number(0, precision=0, label=say("Class"), elem_id="class", visible=False)
                with gr.Row():
                    draw = gr.Button(say("New image"), elem_id="draw", min_width=80)
                    random = gr.Button(say("Random"), elem_id="random", min_width=80)
                with gr.Accordion(say("Start from"), open=True):
                    gallery = starts.component()
                    with gr.Row():
                        examples = gr.Button(say("Examples"), elem_id="examples", size="sm", min_width=80)
                        seeds = gr.Button(say("More seeds"), elem_id="seeds", size="sm", min_width=80)
                with gr.Accordion(say("Your picture"), open=False, elem_id="own"):
                    gr.Markdown(say("Any photo; it stays on this machine, and is deleted with the tab."))
                    photo = gr.UploadButton(say("Upload a picture"), file_types=["image"], elem_id="upload", size="sm")
                    with gr.Group():
                        effort = gr.Slider(10, 400, 150, step=10, label=say("Steps"), elem_id="effort")
                        tuning = gr.Checkbox(True, label=say("Bring back details (slower)"), elem_id="tuning")
                with gr.Accordion(say("Style"), open=False):
                    gr.Markdown(say("The layers that do not move, from another seed: other colours, the same shape."))
                    with gr.Row():
                        other = gr.Number(1, precision=0, label=say("Seed"), elem_id="other", min_width=80)
                        style = gr.Button(say("Apply style"), elem_id="style", min_width=80)
                with gr.Accordion(say("Drag settings"), open=False):
                    controls = settings.controls(model)
                    restore = gr.Button(say("Reset settings"), elem_id="restore", size="sm")
                with gr.Accordion(say("Save"), open=True):
                    points = gr.Checkbox(False, label=say("With points"), elem_id="with-points")
                    with gr.Row():
                        picture = gr.Button(say("Picture"), elem_id="save", size="sm", min_width=80)
                        both = gr.Button(say("Before and after"), elem_id="both", size="sm", min_width=120)
                        video = gr.Button(say("Video"), elem_id="video", size="sm", min_width=60)
                        gif = gr.Button(say("GIF"), elem_id="gif", size="sm", min_width=50)
                        latent = gr.Button(say("Latent"), elem_id="latent", size="sm", min_width=60)
                        pasted = gr.Button(say("Paste into the picture"), elem_id="pasted", size="sm", min_width=120)
                        session = gr.Button(say("Session"), elem_id="session", size="sm", min_width=60)
            with gr.Column(scale=3, min_width=320):
                view = canvas.component()
                with gr.Row(elem_id="framing", visible=False) as framing:
                    reconstruct = gr.Button(say("Reconstruct"), variant="primary", elem_id="reconstruct", min_width=120)
                    cancel = gr.Button(say("Cancel"), elem_id="cancel", min_width=80)
                with gr.Row(elem_id="actions"):
                    drag = gr.Button(say("Drag it"), variant="primary", elem_id="drag", min_width=120)
                    stop = gr.Button(say("Stop"), variant="stop", interactive=False, elem_id="stop", min_width=80)
                    use = gr.Button(say("Use it now"), variant="primary", elem_id="use", visible=False, min_width=100)
                    undo = gr.Button(say("Undo"), interactive=False, elem_id="undo", min_width=60)
                    redo = gr.Button(say("Redo"), interactive=False, elem_id="redo", min_width=60)
                    gr.Button(say("Clear points"), elem_id="clear", min_width=60)
                    gr.Button(say("Reset image"), elem_id="reset", min_width=60)

        shown = [state, view, drag, stop, undo, redo]
        how = [seed, psi, of_class]
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        alone: dict[str, Any] = {**quiet, "trigger_mode": "once", "js": SETTLED}
        page.load(visits.stay, **quiet)
        arriving = page.load(visits.arrive, None, view, **quiet)
        kept = [gr.File(file_count="multiple", visible=False), gr.Number(0, precision=0, visible=False)]
        all_of_it = [menu, *how, *shown]
        drawing = arriving.success(visits.with_place(do.start), [menu, *how, *kept], all_of_it, **quiet, js=KEPT)
        drawing.then(start.examples, None, [offered, gallery], **quiet)

        named = [menu, of_class, *shown]
        choosing = menu.select(do.choose, [state, menu, seed, psi], named, **alone)  # `input` comes twice
        waiting: dict[str, Any] = {**alone, "js": WAITING}
        opening = file.upload(do.open_file, [state, file, seed, psi, *kept], all_of_it, **waiting)
        reading = saved.upload(do.open_session, [state, saved], [*controls, *all_of_it], **alone)
        framed, left = gr.State(time_to_live=IDLE_SECONDS), [*shown, framing, use]
        photo.upload(own.upload, [state, framed, photo], [framed, *left], **alone)
        view.frame(own.frame, [state, framed], [framed, view], **quiet, trigger_mode="multiple")
        cancel.click(own.cancel, state, [framed, *left], **alone)
        inverting = reconstruct.click(own.reconstruct, [state, framed, effort, tuning], [framed, *left], **alone)
        use.click(own.use, **quiet, queue=False)
        inverting.failure(own.stopped, [state, framed], left, **quiet)
        for number, button in ((seed, draw), (of_class, draw), (other, style)):  # Enter presses it
            number.submit(None, js=f"() => document.getElementById('{button.elem_id}').click()", queue=False)
        draw.click(do.draw, [state, *how], shown, **alone)
        random.click(do.draw_random, [state, psi, of_class], [seed, *shown], **alone)
        style.click(do.style, [state, other, psi, of_class], shown, **alone)
        examples.click(start.examples, None, [offered, gallery], **alone)
        seeds.click(start.seeds, [state, psi, of_class], [offered, gallery], **alone)
        picked = [menu, *how, controls.lr, *shown]
        starting = gallery.pick(do.example, [state, offered, psi, of_class, *controls], picked, **alone)

        pulled = view.live(do.dragging.live, [state, *controls], shown, **quiet, trigger_mode="once")
        view.aim(do.dragging.aim, **quiet, trigger_mode="multiple", queue=False)
        view.edit(do.edit, state, [*shown, menu, *how], **quiet, trigger_mode="multiple")
        view.look(do.look, state, view, **quiet, trigger_mode="always_last")
        running = drag.click(do.dragging.drag, [state, *controls], shown, **alone)
        stop.click(None, cancels=[running, pulled, choosing, opening, reading, starting, inverting], queue=False)
        for long in (running, pulled, choosing, opening, reading, starting):  # what is cancelled has ended
            long.failure(do.stop, state, [menu, *shown], **quiet)

        for button, handler in ((picture, keep.picture), (both, keep.both), (video, keep.video), (gif, keep.gif)):
            button.click(handler, [state, points], view, **alone)
        latent.click(keep.latent, state, view, **alone)
        pasted.click(keep.pasted, state, view, **alone)
        session.click(keep.session, state, view, **alone)
        view.copy(keep.copied, state, view, **quiet, trigger_mode="always_last")
        view.safe(keep.safe, state, view, **quiet, trigger_mode="always_last")

        remembered = gr.BrowserState(storage_key="draggan-settings", secret="settings are no secret")
        page.load(settings.remembered, remembered, controls, **quiet)
        for chosen in (choosing, opening):
            chosen.success(step_size, menu, controls.lr, **quiet)
        # As they are typed, without a way to the server, which would take time; what is wrong for a moment is kept too.
        gr.on([c.change for c in controls], None, controls, remembered, js="(...shown) => [shown]", queue=False)
        restore.click(settings.defaults, menu, controls, **quiet)
        engine = controls.engine
        engine.change(settings.of_engine, engine, [getattr(controls, name) for name in settings.PAPERS], **quiet)
        engine.input(settings.own, engine, [getattr(controls, name) for name in settings.OWN], **quiet)
    return page


def serve(page: Page, config: ServerConfig) -> str:
    """Starts the server without waiting for it; -> the address of the page. `page.block_thread()` waits."""
    for name in ("NO_PROXY", "no_proxy"):  # the loopback never goes through a proxy
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost", "::1", "::"]))
    os.environ |= UNCOUNTED
    host = config.host.strip("[]")
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
        theme=_theme(),
        css=CSS,
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
    return address


def _head() -> str:
    """What is there before the components are: `window.draggan`."""
    scripts, words = canvas.joined("store.js", "speech.js"), json.dumps(CHINESE, ensure_ascii=False)
    first = f"(() => {{ {scripts} Object.assign(window.draggan, speech({words})); }})();"
    return f"<script>{first} {canvas.script()}</script>"


def _theme() -> themes.Base:
    """Gradio's soft theme with darker colours: every text has a contrast of at least 4.5 to what is behind it."""
    theme = themes.Soft(font=FONTS, font_mono=("ui-monospace", "monospace"))
    return theme.set(
        background_fill_primary="*neutral_50",  # as it is: `set` forgets it
        body_text_color_subdued="*neutral_600",
        block_label_text_color="*primary_700",
        block_title_text_color="*primary_700",
        slider_color="*primary_600",
        checkbox_label_background_fill_selected="*primary_600",
        checkbox_background_color_selected="*primary_700",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_selected="*primary_700",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
        button_secondary_background_fill_hover_dark="*primary_600",
    )


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
