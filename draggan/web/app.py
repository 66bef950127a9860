"""The page: its layout and its wiring."""

from typing import Any

import gradio as gr

from draggan.registry.cache import ModelCache
from draggan.registry.models import step_size
from draggan.web import canvas, settings, starts
from draggan.web.handlers import Handlers
from draggan.web.keep import Keep
from draggan.web.network import Network
from draggan.web.own import Own
from draggan.web.page import Page
from draggan.web.presence import Places
from draggan.web.sent import FORMATS, IDLE_SECONDS
from draggan.web.starts import Starts
from draggan.web.visits import Visits
from draggan.web.words import say

SETTLED = "async (...inputs) => { await window.draggan.settled(); return inputs; }"
# The last two inputs become what the browser kept of a session, sent as files, and how many they should be.
KEPT = "async (...inputs) => [...inputs.slice(0, -2), ...await draggan.kept()]"
# Likewise, where that waits for a model.
WAITING = "async (...inputs) => [...(await draggan.settled(), inputs.slice(0, -2)), ...await draggan.waiting()]"
ABOUT = """# draggan
Click a **handle** (blue) and its **target** (red ring), or draw from one to the other, and press **Drag it**. Paint
white what **may move**, or nothing: then all may."""

PRIVACY = (
    "Any photo; it goes no further than the machine that serves this page, and is deleted there with the tab. Your "
    "browser keeps it a week longer."
)


def build(models: ModelCache, device: str, model: str, max_users: int) -> Page:
    """The page. `model`, a name or a file, is the one shown first; `max_users` tabs may be open, others wait."""
    network = Network(models, device)
    network.rehearse(model)
    page = Page()
    visits = Visits(Places(max_users), page)
    do, own = Handlers(network, page.listeners), Own(network, page.listeners)
    keep, start = Keep(network), Starts(network)
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
                    gr.Markdown(say(PRIVACY))
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
        sending = photo.upload(own.upload, [state, framed, photo], [framed, *left], **alone)
        sending.success(None, js="() => window.draggan.framed()", queue=False)
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
