"""What the page does when something is clicked. Each handler turns (session, inputs) into (session, canvas, ..)."""

import asyncio
import base64
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
from draggan.progress import Patience
from draggan.project import Project, check_fits, load, unpack
from draggan.render import encode, thumbnail, to_picture
from draggan.session import Session
from draggan.table import MODELS
from draggan.web import canvas, settings, words
from draggan.web.aims import Aim, Aims
from draggan.web.network import Network
from draggan.web.presence import Drags, Places
from draggan.web.starts import EXAMPLE_MODEL, EXAMPLE_PSI, Start
from draggan.web.telling import EXPECTED, must_be_here, tell, told, warn

FRAME_SECONDS = 1 / 15  # between two answers of a drag
AIM_STEPS = 3  # steps towards one place of the pointer, at least
WAIT_SECONDS = 1  # between two looks of a tab for a place that has become free
ENTER_SECONDS = 0.05  # between two looks whether the tab has entered
STAY_SECONDS = 5  # between two signs of life to a tab where nothing happens


class Handlers:
    """The handlers of one page: the network behind it, and who is on it."""

    def __init__(self, network: Network, places: Places) -> None:
        self._network = network
        self._places = places
        self._drags = Drags()
        self._aims = Aims()

    async def stay(self, request: gr.Request) -> AsyncIterator[None]:
        """Runs as long as the tab is open: it has its place, or waits for one, and its stream of answers is open.

        Gradio closes the stream after the last answer that is due. An edit sent at that moment is carried out, but
        its answer waits for the next edit.
        """
        tab = str(request.session_hash)
        self._places.enter(tab)
        try:
            while True:
                yield
                await asyncio.sleep(STAY_SECONDS)
        finally:
            self._places.leave(tab)

    async def arrive(self, request: gr.Request) -> AsyncIterator[dict[str, Any]]:
        """Ends when the tab has a place. -> canvas"""
        yield gr.skip()
        while (before := self._places.before(str(request.session_hash))) != 0:
            yield canvas.note(words.waiting(before, self._places.most)) if before else gr.skip()
            await asyncio.sleep(WAIT_SECONDS if before else ENTER_SECONDS)

    @told
    def start(self, model: str, seed: float, truncation_psi: float, kept: str | None = None) -> tuple:
        """The first picture of a tab, or what its browser kept of one.

        -> controls, menu, seed, psi, then what `shown` gives
        """
        if kept:
            try:
                session = self._opened(unpack(base64.b64decode(kept)), (model,))
                return self._seen(session)
            except EXPECTED as error:
                warn(error)
        kept_as_they_are = [gr.skip()] * len(settings.NAMES)
        return (
            *kept_as_they_are,
            self.menu(model),
            seed,
            truncation_psi,
            *self._drawn(None, model, seed, truncation_psi),
        )

    def open_session(self, session: Session, path: str) -> Iterator[tuple]:
        """A session in a file that the user sends; its model is downloaded where needed.

        -> controls, menu, seed, psi, then what `shown` gives
        """
        same = [gr.skip()] * (len(settings.NAMES) + 3)
        try:
            must_be_free(session)
            saved = _read(Path(path))
            self._check_model(saved.session.model, (session.model,))
            for progress in self._network.download(saved.session.model):
                status, part = (
                    words.loading(saved.session.model, progress),
                    progress.received / (progress.total or math.inf),
                )
                yield *same, *shown(replace(session, phase="loading"), status=status, progress=part)
            yield self._seen(self._opened(saved, (session.model,)))
        except Exception as error:
            if session is not None:
                yield *same, *shown(session)
            tell(error)

    @told
    def draw(self, session: Session, seed: float, truncation_psi: float) -> tuple:
        """A new picture of the same model. Undo goes back to the old one."""
        must_be_free(session)
        return self._drawn(session, session.model, seed, truncation_psi)

    def draw_random(self, session: Session, truncation_psi: float) -> tuple:
        """A picture of a seed that nobody chose. -> seed, then what `shown` gives"""
        seed = random.randrange(2**31)
        return seed, *self.draw(session, seed, truncation_psi)

    @told
    def style(self, session: Session, seed: float, truncation_psi: float, moving_layers: float) -> tuple:
        """The colours of another seed: its layers from `moving_layers` on."""
        must_be_free(session)
        other = self._network.draw(session.model, int(seed), truncation_psi)
        styled = session.restyled(other.latent, int(moving_layers))
        return self._kept(styled)

    def choose(self, session: Session, model: str, seed: float, truncation_psi: float) -> Iterator[tuple]:
        """Another model, by name or file: downloaded where needed, then shown. A failure keeps the old one.

        -> model, then what `shown` gives
        """
        try:
            must_be_free(session)
            for progress in self._network.download(model):
                status, part = words.loading(model, progress), progress.received / (progress.total or math.inf)
                yield model, *shown(replace(session, phase="loading"), status=status, progress=part)
            loading = words.Said("Loading {model} ...", {"model": Path(model).name})
            yield model, *shown(replace(session, phase="loading"), status=loading)
            yield model, *self._drawn(session, model, seed, truncation_psi)
        except Exception as error:
            if session is not None:
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
            must_be_free(session)
            edited = canvas.edited(session, event)
        except EXPECTED as error:
            warn(error)
            if session is None:
                return session, gr.update(answered=event.number), *4 * [gr.skip()]
            edited = session
        repaint = event.kind in ("undo", "redo", "back")
        return shown(edited, answered=event.number, repaint=repaint)

    @told
    def look(self, session: Session, event: gr.EventData) -> dict[str, Any]:
        """The picture of a session, and where it is asked for that as drawn, which edits are compared to. -> canvas"""
        must_be_here(session)
        original = encode(self._network.picture(session, session.start), lossless=False) if event.original else None
        return canvas.picture(session, self._network.frame(session), original)

    def drag(self, session: Session, *controls: Any) -> Iterator[tuple]:
        """The drag: the points at every turn, the picture where it takes at most a third of the network's time.

        Whoever stops keeps the last step that was shown; `stop` brings its picture.
        controls: as `settings.chosen` reads them.
        """
        kept = session
        try:
            must_be_free(session)
            session = session.dragged_by(*settings.chosen(controls))
            frames, patience = _Frames(self._network), Patience()
            with self._drags.one():
                for step, seconds in self._network.steps(session):
                    moved = step.index > session.steps
                    session = session.advance(step, stuck=patience.lost(step))
                    frames.spend(seconds)
                    if session.busy and not frames.turn():
                        continue
                    frame = None
                    if moved and (not session.busy or frames.due()):
                        picture = frames.draw(step, max(session.image_size) if session.busy else None)
                        session = session if session.busy else session.keep(thumbnail(picture))
                        frame, kept = encode(picture, lossless=False), session
                    if moved:
                        frames.shown()
                    status = words.status(session, self._drags.others)
                    yield shown(session, frame, status, strip=not session.busy)
                    if not session.busy:
                        break
        except Exception as error:
            if kept is not None:
                yield shown(kept.stop())
            tell(error)

    def live(self, session: Session, event: gr.EventData, request: gr.Request, *controls: Any) -> Iterator[tuple]:
        """A drag whose target is where the pointer is, until it is let go: see `aim`."""
        kept, tab = session, str(request.session_hash)
        try:
            must_be_free(session)
            session, index = canvas.pulled(session.dragged_by(*settings.live(controls)), event)
            frames, steps, taken = _Frames(self._network), iter(()), 0
            with self._drags.one():
                while not (aim := self._aims.get(tab, event.gesture) or Aim(session.pairs[index].target)).done:
                    if not taken or (taken >= AIM_STEPS and aim.at != session.pairs[index].target):
                        session, taken = session.aimed(index, aim.at), 0
                        steps = self._network.steps(session)
                    step, seconds = next(steps, (None, 0.0))
                    taken += 1
                    frame = None
                    if step is None:
                        time.sleep(FRAME_SECONDS)
                    else:
                        moved = step.index > session.steps
                        session = replace(session.advance(step), phase="dragging")
                        frames.spend(seconds)
                        if moved and frames.turn() and frames.due():
                            frame, kept = encode(frames.draw(step, max(session.image_size)), lossless=False), session
                    if frame or frames.silent():
                        frames.shown()
                        yield shown(session, frame)
            yield self._kept(session.stop())
        except Exception as error:
            if kept is not None:
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
            must_be_free(session)
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

    def stop(self, session: Session) -> Iterator[tuple]:
        """After Stop or an error: the last step kept, with its picture. -> model, then what `shown` gives"""
        if session is None:
            yield 7 * (gr.skip(),)
            return
        stopped = session.stop()
        try:
            yield session.model, *(self._kept(stopped) if stopped.phase == "stopped" else shown(stopped))
        except EXPECTED as error:  # what failed may be the network itself
            yield session.model, *shown(stopped)
            tell(error)

    def _check_model(self, model: str, files: tuple[str, ...]) -> None:
        """A session may name a model of the table, or a file that this tab has already, but no other file here."""
        if model not in (*available_models(), *files):
            raise ValueError(f"the session was made with the model file {Path(model).name}: open that file first")

    def _opened(self, saved: Project, files: tuple[str, ...]) -> Session:
        self._check_model(saved.session.model, files)
        check_fits(saved, self._network.generator(saved.session.model))
        return saved.session

    def _seen(self, session: Session) -> tuple:
        """A whole session that the browser has not seen. -> controls, menu, seed, psi, then what `shown` gives"""
        session = session if session.shots else session.keep(thumbnail(self._network.picture(session)))
        parts = shown(session, self._network.frame(session), repaint=True, strip=True)
        controls = settings.shown(session.engine, session.config, session.model)
        return *controls, self.menu(session.model), session.seed, session.truncation_psi, *parts

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
    """When a running drag says where it is, and when it shows a picture, which takes a third of its time at most."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._stepping, self._drawing = 0.0, 0.0  # seconds: of steps since the last picture, of a picture
        self._told = -math.inf

    def spend(self, seconds: float) -> None:
        """A step took so long."""
        self._stepping += seconds

    def turn(self) -> bool:
        return time.monotonic() - self._told >= FRAME_SECONDS

    def silent(self) -> bool:
        """Whether nothing was said for so long that a tab that is gone would not be noticed."""
        return time.monotonic() - self._told > 1

    def due(self) -> bool:
        return self._stepping >= 2 * self._drawing

    def draw(self, step: DragStep, preview: int | None) -> np.ndarray:
        """The picture of a step: a preview of that resolution, in the precision of the drag; None: in full."""
        image, self._drawing = self._network.timed(step.image, preview)
        self._stepping = 0.0
        return to_picture(image)

    def shown(self) -> None:
        self._told = time.monotonic()


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


def _read(path: Path) -> Project:
    """A session in a file, whose errors name it as the user does."""
    try:
        return load(path)
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), path.name)) from error


def must_be_free(session: Session | None) -> None:
    """Raises ValueError where a tab has no picture, or something runs in it."""
    must_be_here(session)
    if session is not None and session.busy:
        raise ValueError("something is running: press Stop first")
