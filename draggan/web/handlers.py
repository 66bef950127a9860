"""What the page does when something is clicked. Each handler turns (session, inputs) into (session, canvas, ..).

All work on the network goes through one worker thread, a step at a time: tabs that drag at once take turns, and the
processor never runs two networks against each other.
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

FRAME_SECONDS = 1 / 15  # between two frames; and drawing them takes at most a third of the time
STAY_SECONDS = 5  # between two signs of life to a tab where nothing happens
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
    """The handlers of one page: its models, the device they run on, and the worker that runs them."""

    def __init__(self, models: ModelCache, device: str, worker: ThreadPoolExecutor) -> None:
        self._models = models
        self._device = device
        self._worker = worker

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

    async def stay(self) -> AsyncIterator[None]:
        """Runs as long as the tab is open, so that its stream of answers is never closed.

        Gradio closes the stream after the last answer that is due. An edit sent at that moment is carried out, but
        its answer waits for the next edit.
        """
        while True:
            yield
            await asyncio.sleep(STAY_SECONDS)

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
            edited = session
        return shown(edited, answered=event.number, repaint=event.kind in ("undo", "redo"))

    @told
    def look(self, session: Session) -> dict[str, Any]:
        """The picture of a session. -> canvas"""
        return canvas.picture(session, self._frame(session))

    @told
    def save(self, session: Session) -> dict[str, Any]:
        """The picture without points, as a PNG for the browser to keep. -> canvas"""
        said = facts(session.model, session.seed, session.truncation_psi)
        png = encode(self._run(self._picture, session), said, lossless=True)
        return canvas.file(f"{Path(session.model).stem}-seed{session.seed}-step{session.steps}.png", png)

    def drag(self, session: Session, lr: float, max_steps: float, space: Space, mask_weight: float) -> Iterator[tuple]:
        """The drag, frame by frame; what each yield shows belongs together, so stopping keeps the last one."""
        kept = session
        try:
            _must_be_free(session)
            config = DragConfig(lr=lr, max_steps=int(max_steps), space=space, mask_weight=mask_weight)
            steps = session.run(self._run(self._generator, session.model), config)
            drawing, drawn = 0.0, -math.inf  # seconds that the last frame took, and when it was done
            while (step := self._run(next, steps, None)) is not None:
                moved = step.index > session.steps
                session = session.advance(step)
                if not moved and session.phase == "dragging":
                    yield shown(session)  # the picture is still the one that is shown
                    continue
                if session.phase == "dragging" and time.monotonic() - drawn < max(FRAME_SECONDS, 2 * drawing):
                    continue
                began = time.monotonic()
                frame = encode(to_picture(self._run(step.image)), lossless=False)
                drawn = time.monotonic()
                drawing = drawn - began
                kept = session
                yield shown(session, frame)
        except Exception as error:
            yield shown(kept.stop())
            _tell(error)

    def stop(self, session: Session) -> tuple:
        """After Stop or an error: the points of the last step kept. -> model, then what `shown` gives"""
        return session.model, *shown(session.stop())

    def _run(self, work: Callable, *args: Any) -> Any:
        return self._worker.submit(work, *args).result()

    def _generator(self, model: str) -> Generator:
        return self._models.load(model, self._device)

    def _drawn(self, session: Session | None, model: str, seed: float, truncation_psi: float) -> tuple:
        number = 0 if session is None else session.number + 1
        fresh = self._run(lambda: new_session(self._generator(model), model, int(seed), truncation_psi))
        return shown(replace(fresh, number=number), self._frame(fresh))

    def _picture(self, session: Session) -> np.ndarray:
        return to_picture(self._generator(session.model).render(session.latent))

    def _frame(self, session: Session) -> bytes:
        return encode(self._run(self._picture, session), lossless=False)


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


def _must_be_free(session: Session) -> None:
    if session.busy:
        raise ValueError("something is running: press Stop first")


def _tell(error: Exception) -> NoReturn:
    """Shows what went wrong on the page; what nobody expected also goes to the server's log."""
    if isinstance(error, EXPECTED):
        said = words.explain(error)
        raise gr.Error(said, duration=10 + len(said) / 15, print_exception=False) from error  # seconds to read it
    raise error
