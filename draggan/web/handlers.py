"""What the page does when something is clicked. Each handler turns (session, inputs) into (session, canvas, ..).

All work on the network goes through one worker thread, a step or a picture at a time, first come, first served: each
tab waits for one piece of work of every other tab at most, and the processor never runs two networks against each
other. Models are loaded beside it, in the thread of the tab that wants one.
"""

import asyncio
import functools
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import gradio as gr
import numpy as np
import torch

from draggan.cache import ModelCache
from draggan.engine import DragConfig, Space
from draggan.geometry import DragPair, Point
from draggan.models import available_models
from draggan.render import encode, facts, to_picture
from draggan.session import Session, new_session
from draggan.stylegan2.generator import Generator
from draggan.table import MODELS
from draggan.web import canvas, words
from draggan.web.presence import Drags, Places

FRAME_SECONDS = 1 / 15  # between two answers of a drag
STAY_SECONDS = 5  # between two signs of life to a tab where nothing happens
WAIT_SECONDS = 1  # between two looks of a tab for a place that has become free
ENTER_SECONDS = 0.05  # between two looks whether the tab has entered
EXPECTED = (ValueError, OSError, ArithmeticError, MemoryError, torch.OutOfMemoryError)


def told(handler: Callable) -> Callable:
    """What was wrong with the input is told on the page; nothing else changes."""

    @functools.wraps(handler)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except EXPECTED as error:
            _tell(error)

    return wrapper


class Handlers:
    """The handlers of one page: its models, the device they run on, the worker that runs them, and who may come."""

    def __init__(self, models: ModelCache, device: str, worker: ThreadPoolExecutor, places: Places) -> None:
        self._models = models
        self._device = device
        self._worker = worker
        self._places = places
        self._drags = Drags()

    def rehearse(self, model: str) -> None:
        """A step of a drag that nobody sees, on the worker: libraries prepare themselves when they are first used."""

        def step() -> None:
            session = new_session(self._generator(model), model, seed=0, truncation_psi=0.7)
            height, width = session.image_size
            session = session.add(DragPair(Point(width / 2, height / 2), Point(width / 2, height / 4)))
            for step in session.run(self._generator(model), DragConfig(max_steps=1)):
                step.image()

        self._worker.submit(step)

    @told
    def start(self, model: str, seed: float, truncation_psi: float) -> tuple:
        """The first picture of a tab. -> what `shown` gives"""
        return self._drawn(None, model, seed, truncation_psi)

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
    def draw(self, session: Session, seed: float, truncation_psi: float) -> tuple:
        """A new picture of the same model."""
        _must_be_free(session)
        return self._drawn(session, session.model, seed, truncation_psi)

    def draw_random(self, session: Session, truncation_psi: float) -> tuple:
        """A picture of a seed that nobody chose. -> seed, then what `shown` gives"""
        seed = random.randrange(2**31)
        return seed, *self.draw(session, seed, truncation_psi)

    def choose(self, session: Session, model: str, seed: float, truncation_psi: float) -> Iterator[tuple]:
        """Another model, by name or file: downloaded where needed, then shown. A failure keeps the old one.

        -> model, then what `shown` gives
        """
        try:
            _must_be_free(session)
            for progress in self._models.download(model):
                status, part = words.loading(model, progress), progress.received / (progress.total or math.inf)
                yield model, *shown(replace(session, phase="loading"), status=status, progress=part)
            yield model, *shown(replace(session, phase="loading"), status=f"Loading {Path(model).name} ...")
            yield model, *self._drawn(session, model, seed, truncation_psi)
        except Exception as error:
            if session is not None:
                yield session.model, *shown(session)
            _tell(error)

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
            gr.Warning(words.explain(error))
            if session is None:
                return session, gr.update(answered=event.number), *4 * [gr.skip()]
            edited = session
        return shown(edited, answered=event.number, repaint=event.kind in ("undo", "redo"))

    @told
    def look(self, session: Session) -> dict[str, Any]:
        """The picture of a session. -> canvas"""
        _must_be_here(session)
        return canvas.picture(session, self._frame(session))

    @told
    def save(self, session: Session) -> dict[str, Any]:
        """The picture without points, as a PNG for the browser to keep. -> canvas"""
        _must_be_here(session)
        said = facts(session.model, session.seed, session.truncation_psi)
        png = encode(self._picture(session), said, lossless=True)
        return canvas.file(f"{Path(session.model).stem}-seed{session.seed}-step{session.steps}.png", png)

    def drag(self, session: Session, lr: float, max_steps: float, space: Space, mask_weight: float) -> Iterator[tuple]:
        """The drag: the points at every turn, the picture where it takes at most a third of the network's time.

        Whoever stops keeps the last step that was shown; `stop` brings its picture.
        """
        kept = session
        try:
            _must_be_free(session)
            config = DragConfig(lr=lr, max_steps=int(max_steps), space=space, mask_weight=mask_weight)
            steps = session.run(self._generator(session.model), config)
            stepping, drawing, told = 0.0, 0.0, -math.inf  # seconds: steps since the last frame, a frame; when told
            with self._drags.one():
                while (timed := self._run(_timed, next, steps, None))[0] is not None:
                    step, seconds = timed
                    moved = step.index > session.steps
                    session = session.advance(step)
                    stepping += seconds
                    ended = session.phase != "dragging"
                    if time.monotonic() - told < FRAME_SECONDS and not ended:
                        continue
                    frame = None
                    if moved and (ended or stepping >= 2 * drawing):
                        picture, drawing = self._run(_timed, step.image)
                        frame = encode(to_picture(picture), lossless=False)
                        stepping, kept = 0.0, session
                    if moved:
                        told = time.monotonic()
                    yield shown(session, frame, words.status(session, self._drags.others))
        except Exception as error:
            if kept is not None:
                yield shown(kept.stop())
            _tell(error)

    def stop(self, session: Session) -> Iterator[tuple]:
        """After Stop or an error: the last step kept, with its picture. -> model, then what `shown` gives"""
        if session is None:
            yield 7 * (gr.skip(),)
            return
        stopped = session.stop()
        try:
            yield session.model, *shown(stopped, self._frame(stopped))
        except EXPECTED as error:
            yield session.model, *shown(stopped)
            _tell(error)

    def _run(self, work: Callable, *args: Any) -> Any:
        return self._worker.submit(work, *args).result()

    def _generator(self, model: str) -> Generator:
        return self._models.load(model, self._device)

    def _drawn(self, session: Session | None, model: str, seed: float, truncation_psi: float) -> tuple:
        number = 0 if session is None else session.number + 1
        fresh = self._run(new_session, self._generator(model), model, int(seed), truncation_psi)
        return shown(replace(fresh, number=number), self._frame(fresh))

    def _picture(self, session: Session) -> np.ndarray:
        return to_picture(self._run(self._generator(session.model).render, session.latent))

    def _frame(self, session: Session) -> bytes:
        return encode(self._picture(session), lossless=False)


def shown(
    session: Session,
    frame: bytes | None = None,
    status: str | None = None,
    progress: float | None = None,
    repaint: bool = False,
    answered: int | None = None,
) -> tuple:
    """-> session, canvas, then the buttons to drag, stop, undo and redo"""
    marks = canvas.update(session, status or words.status(session), frame, progress, repaint, answered)
    label = "Continue" if session.phase in ("stopped", "limit") else "Drag it"
    return (
        session,
        marks,
        gr.update(value=label, interactive=not session.busy),
        gr.update(interactive=session.busy),
        gr.update(interactive=bool(session.past) and not session.busy),
        gr.update(interactive=bool(session.future) and not session.busy),
    )


def _timed(work: Callable, *args: Any) -> tuple[Any, float]:
    """What some work gives, and the seconds that it took, without the time in which it waited for its turn."""
    began = time.monotonic()
    return work(*args), time.monotonic() - began


def _must_be_here(session: Session | None) -> None:
    if session is None:
        raise ValueError("there is no picture in this tab: wait for the first one, or reload the page")


def _must_be_free(session: Session | None) -> None:
    _must_be_here(session)
    if session is not None and session.busy:
        raise ValueError("something is running: press Stop first")


def _tell(error: Exception) -> NoReturn:
    """Shows what went wrong on the page; what nobody expected also goes to the server's log."""
    if isinstance(error, EXPECTED):
        said = words.explain(error)
        raise gr.Error(said, duration=10 + len(said) / 15, print_exception=False) from error  # seconds to read it
    raise error
