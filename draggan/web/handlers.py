"""What the page does when something is clicked. Each handler turns (session, inputs) into (session, canvas, ..)."""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from draggan.engine import DragStep
from draggan.geometry import Point
from draggan.models import available_models
from draggan.progress import until_stuck
from draggan.render import encode, thumbnail, to_picture
from draggan.session import Session
from draggan.table import MODELS
from draggan.web import canvas, settings, words
from draggan.web.aims import Aim, Aims
from draggan.web.network import Network
from draggan.web.starts import EXAMPLE_MODEL, EXAMPLE_PSI, Start
from draggan.web.telling import EXPECTED, tell, told, warn

FRAME_SECONDS = 1 / 15  # between two frames; and drawing them takes at most a third of the time
AIM_STEPS = 3  # steps towards one place of the pointer, at least
STAY_SECONDS = 5  # between two signs of life to a tab where nothing happens


class Handlers:
    """The handlers of one page."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._aims = Aims()

    async def stay(self) -> AsyncIterator[None]:
        """Runs as long as the tab is open, so that its stream of answers is never closed.

        Gradio closes the stream after the last answer that is due. An edit sent at that moment is carried out, but
        its answer waits for the next edit.
        """
        while True:
            yield
            await asyncio.sleep(STAY_SECONDS)

    @told
    def start(self, model: str, seed: float, truncation_psi: float) -> tuple:
        """The first picture of a tab. -> what `shown` gives"""
        return self._drawn(None, model, seed, truncation_psi)

    @told
    def draw(self, session: Session, seed: float, truncation_psi: float) -> tuple:
        """A new picture of the same model. Undo goes back to the old one."""
        _must_be_free(session)
        return self._drawn(session, session.model, seed, truncation_psi)

    def draw_random(self, session: Session, truncation_psi: float) -> tuple:
        """A picture of a seed that nobody chose. -> seed, then what `shown` gives"""
        seed = random.randrange(2**31)
        return seed, *self.draw(session, seed, truncation_psi)

    @told
    def style(self, session: Session, seed: float, truncation_psi: float, moving_layers: float) -> tuple:
        """The colours of another seed: its layers from `moving_layers` on."""
        _must_be_free(session)
        other = self._network.draw(session.model, int(seed), truncation_psi)
        styled = session.restyled(other.latent, int(moving_layers))
        return self._kept(styled)

    def choose(self, session: Session, model: str, seed: float, truncation_psi: float) -> Iterator[tuple]:
        """Another model, by name or file: downloaded where needed, then shown. A failure keeps the old one.

        -> model, then what `shown` gives
        """
        try:
            _must_be_free(session)
            for progress in self._network.download(model):
                status, part = words.loading(model, progress), progress.received / (progress.total or math.inf)
                yield model, *shown(replace(session, phase="loading"), status=status, progress=part)
            yield (
                model,
                *shown(
                    replace(session, phase="loading"),
                    status=words.Said("Loading {model} ...", {"model": Path(model).name}),
                ),
            )
            yield model, *self._drawn(session, model, seed, truncation_psi)
        except Exception as error:
            yield session.model, *shown(session)
            tell(error)

    def open_file(self, session: Session, path: str, seed: float, truncation_psi: float) -> Iterator[tuple]:
        """A model in a file that the user sends. -> menu, then what `shown` gives"""
        for model, *rest in self.choose(session, path, seed, truncation_psi):
            yield self.menu(model), *rest

    def menu(self, model: str) -> dict[str, Any]:
        """The menu with a model chosen, also one that the table does not have."""
        choices = [(spec.label, spec.name) for spec in MODELS]
        if model not in available_models():
            choices.append((Path(model).name, model))
        return gr.update(choices=choices, value=model)

    def edit(self, session: Session, event: gr.EventData) -> tuple:
        """What the user does on the canvas. It is always answered, so that the next edit can be sent."""
        try:
            _must_be_free(session)
            edited = canvas.edited(session, event)
        except EXPECTED as error:
            warn(error)
            edited = session
        repaint = event.kind in ("undo", "redo", "back")
        return shown(edited, answered=event.number, repaint=repaint)

    @told
    def look(self, session: Session, event: gr.EventData) -> dict[str, Any]:
        """The picture of a session, and where it is asked for that as drawn, which edits are compared to. -> canvas"""
        original = encode(self._network.picture(session, session.start), lossless=False) if event.original else None
        return canvas.picture(session, self._network.frame(session), original)

    def drag(self, session: Session, *controls: Any) -> Iterator[tuple]:
        """The drag, frame by frame; what each yield shows belongs together, so stopping keeps the last one.

        controls: as `settings.config` reads them.
        """
        kept = session
        try:
            _must_be_free(session)
            session = replace(session, config=settings.config(controls))
            frames = _Frames()
            for step, stuck in until_stuck(self._steps(session)):
                moved = step.index > session.steps
                session = session.advance(step, stuck)
                if not moved and session.busy:
                    yield shown(session)  # the picture is still the one that is shown
                elif not session.busy or frames.due():
                    picture = frames.draw(self._network, step)
                    session = session if session.busy else session.keep(thumbnail(picture))
                    kept = session
                    yield shown(session, encode(picture, lossless=False), strip=not session.busy)
        except Exception as error:
            yield shown(kept.stop())
            tell(error)

    def live(self, session: Session, event: gr.EventData, request: gr.Request, *controls: Any) -> Iterator[tuple]:
        """A drag whose target is where the pointer is, until it is let go: see `aim`."""
        kept, tab = session, str(request.session_hash)
        try:
            _must_be_free(session)
            session, index = canvas.pulled(replace(session, config=settings.config(controls)), event)
            frames, steps, taken, sign = _Frames(), iter(()), 0, time.monotonic()
            while not (aim := self._aims.get(tab, event.gesture) or Aim(session.pairs[index].target)).done:
                if not taken or (taken >= AIM_STEPS and aim.at != session.pairs[index].target):
                    session, taken = session.aimed(index, aim.at), 0
                    steps = self._steps(session)
                step = next(steps, None)
                taken += 1
                if step is None:
                    time.sleep(FRAME_SECONDS)
                else:
                    moved = step.index > session.steps
                    session = replace(session.advance(step), phase="dragging")
                    if moved and frames.due():
                        picture = frames.draw(self._network, step)
                        kept, sign = session, time.monotonic()
                        yield shown(session, encode(picture, lossless=False))
                if time.monotonic() - sign > 1:  # a tab that is gone is noticed when it is written to
                    sign = time.monotonic()
                    yield shown(session)
            yield self._kept(session.stop())
        except Exception as error:
            yield shown(kept.stop())
            tell(error)
        finally:
            self._aims.forget(tab)

    def aim(self, event: gr.EventData, request: gr.Request) -> None:
        """Where the pointer of a pull is now, or that it was let go."""
        x, y = event.at
        self._aims.put(str(request.session_hash), event.gesture, Aim(Point(float(x), float(y)), bool(event.done)))

    def example(
        self, session: Session, offered: tuple[Start, ...], event: gr.EventData, *controls: Any
    ) -> Iterator[tuple]:
        """A picture of the gallery: drawn, and where it comes with points, dragged.

        controls: truncation psi, then as `drag` takes them. -> seed, model, then what `shown` gives
        """
        start = offered[event.index]
        psi, *drag = controls
        try:
            _must_be_free(session)
            if start.pairs and session.model != EXAMPLE_MODEL:
                drawn = self._drawn(session, EXAMPLE_MODEL, start.seed, EXAMPLE_PSI)
            else:
                drawn = self._drawn(session, session.model, start.seed, EXAMPLE_PSI if start.pairs else psi)
        except Exception as error:
            tell(error)
        session = drawn[0]
        yield start.seed, session.model, *drawn
        for pair in start.pairs:
            session = session.add(pair)
        if start.pairs:
            for dragged in self.drag(session, *drag):
                yield start.seed, session.model, *dragged

    def stop(self, session: Session) -> tuple:
        """After Stop or an error: the last step kept. -> model, then what `shown` gives"""
        session = session.stop()
        try:
            stopped = self._kept(session) if session.phase == "stopped" else shown(session)
        except EXPECTED:  # what failed may be the network itself
            stopped = shown(session)
        return session.model, *stopped

    def _steps(self, session: Session) -> Iterator[DragStep]:
        """The steps of a drag, each taken on the worker."""
        steps = self._network.run(lambda: session.run(self._network.generator(session.model)))
        while (step := self._network.run(next, steps, None)) is not None:
            yield step

    def _drawn(self, session: Session | None, model: str, seed: float, truncation_psi: float) -> tuple:
        fresh = self._network.draw(model, int(seed), truncation_psi)
        if session is not None and session.model == model:
            fresh = session.redrawn(fresh)
        elif session is not None:
            fresh = replace(fresh, number=session.number + 1)
        return self._kept(fresh)

    def _kept(self, session: Session) -> tuple:
        """A session whose picture is kept to go back to."""
        picture = self._network.picture(session)
        return shown(session.keep(thumbnail(picture)), encode(picture, lossless=False), strip=True)


class _Frames:
    """When a running drag shows its next frame: not too often, and not so that drawing takes most of the time."""

    def __init__(self) -> None:
        self._took, self._drawn = 0.0, -math.inf  # seconds that the last frame took, and when it was done

    def due(self) -> bool:
        return time.monotonic() - self._drawn >= max(FRAME_SECONDS, 2 * self._took)

    def draw(self, network: Network, step: DragStep) -> np.ndarray:
        began = time.monotonic()
        picture = to_picture(network.run(step.image))
        self._drawn = time.monotonic()
        self._took = self._drawn - began
        return picture


def shown(
    session: Session,
    frame: bytes | None = None,
    status: words.Said | None = None,
    progress: float | None = None,
    repaint: bool = False,
    answered: int | None = None,
    strip: bool = False,
) -> tuple:
    """-> session, canvas, then the buttons to drag, stop, undo and redo"""
    marks = canvas.update(session, status or words.status(session), frame, progress, repaint, answered, strip)
    label = "Continue" if session.phase in ("stopped", "limit", "stuck") else "Drag it"
    return (
        session,
        marks,
        gr.update(value=words.say(label), interactive=not session.busy),
        gr.update(interactive=session.busy),
        gr.update(interactive=bool(session.past) and not session.busy),
        gr.update(interactive=bool(session.future) and not session.busy),
    )


def _must_be_free(session: Session) -> None:
    if session.busy:
        raise ValueError("something is running: press Stop first")
