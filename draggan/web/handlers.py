"""What the page does when something is clicked. Each handler turns (session, inputs) into (session, canvas, ..).

All work on the network goes through one worker thread, a step at a time: tabs that drag at once take turns, and the
processor never runs two networks against each other.
"""

import functools
import math
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch

from draggan.engine import DragConfig, Space
from draggan.geometry import Point
from draggan.render import encode, facts, to_picture
from draggan.session import Session, new_session
from draggan.stylegan2.generator import Generator
from draggan.web import canvas, words

FRAME_SECONDS = 1 / 15  # between two frames; and drawing them takes at most a third of the time
EXPECTED = (ValueError, OSError, ArithmeticError, MemoryError, torch.OutOfMemoryError)


def told(handler: Callable) -> Callable:
    """What was wrong with the input is told on the page; nothing else changes."""

    @functools.wraps(handler)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except EXPECTED as error:
            raise gr.Error(words.explain(error), duration=15, print_exception=False) from error

    return wrapper


class Handlers:
    """The handlers of one page: `load` gives the generator of a model, by name or path."""

    def __init__(self, load: Callable[[str], Generator], worker: ThreadPoolExecutor) -> None:
        self._load = load
        self._worker = worker

    @told
    def draw(self, session: Session | None, model: str, seed: float, truncation_psi: float) -> tuple:
        """A new picture. -> what `shown` gives"""
        _must_be_free(session)
        number = 0 if session is None else session.number + 1
        fresh = self._run(self._new, model, int(seed), truncation_psi)
        return shown(replace(fresh, number=number), self._frame(fresh))

    def draw_random(self, session: Session | None, model: str, truncation_psi: float) -> tuple:
        """A picture of a seed that nobody chose. -> seed, then what `shown` gives"""
        seed = random.randrange(2**31)
        return seed, *self.draw(session, model, seed, truncation_psi)

    @told
    def pick(self, session: Session, event: gr.EventData) -> tuple:
        """A click on the picture."""
        _must_be_free(session)
        return shown(session.click(Point(float(event.x), float(event.y))))

    @told
    def mask(self, session: Session, event: gr.EventData) -> tuple:
        """The mask as it is painted now."""
        _must_be_free(session)
        return shown(session.with_mask(canvas.read_mask(event.png, session.image_size)))

    @told
    def undo_point(self, session: Session) -> tuple:
        _must_be_free(session)
        return shown(session.undo_point())

    @told
    def clear_points(self, session: Session) -> tuple:
        _must_be_free(session)
        return shown(session.clear_points())

    @told
    def reset(self, session: Session) -> tuple:
        """Back to the picture as drawn."""
        _must_be_free(session)
        session = session.reset()
        return shown(session, self._frame(session))

    @told
    def save(self, session: Session) -> dict[str, Any]:
        """The picture without points, as a PNG for the browser to keep. -> canvas"""
        said = facts(session.model, session.seed, session.truncation_psi)
        png = encode(self._run(self._picture, session), said, lossless=True)
        return canvas.update(file=(f"{Path(session.model).stem}-seed{session.seed}-step{session.steps}.png", png))

    def drag(self, session: Session, lr: float, max_steps: float, space: Space, mask_weight: float) -> Iterator[tuple]:
        """The drag, frame by frame; what each yield shows belongs together, so stopping keeps the last one."""
        kept = session
        try:
            _must_be_free(session)
            config = DragConfig(lr=lr, max_steps=int(max_steps), space=space, mask_weight=mask_weight)
            steps = session.run(self._run(self._load, session.model), config)
            drawing, drawn = 0.0, -math.inf  # seconds that the last frame took, and when it was done
            while (step := self._run(next, steps, None)) is not None:
                session = session.advance(step)
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
            if isinstance(error, EXPECTED):
                raise gr.Error(words.explain(error), duration=15, print_exception=False) from error
            raise

    def stop(self, session: Session) -> tuple:
        """After Stop: the picture and the points of the last frame."""
        return shown(session.stop())

    def _run(self, work: Callable, *args: Any) -> Any:
        return self._worker.submit(work, *args).result()

    def _new(self, model: str, seed: int, truncation_psi: float) -> Session:
        return new_session(self._load(model), model, seed, truncation_psi)

    def _picture(self, session: Session) -> np.ndarray:
        return to_picture(self._load(session.model).render(session.latent))

    def _frame(self, session: Session) -> bytes:
        return encode(self._run(self._picture, session), lossless=False)


def shown(session: Session, frame: bytes | None = None) -> tuple:
    """-> session, canvas, drag button, stop button"""
    dragging = session.phase == "dragging"
    label = "Continue" if session.phase in ("stopped", "limit") else "Drag it"
    return (
        session,
        canvas.update(session, words.status(session), frame),
        gr.update(value=label, interactive=not dragging),
        gr.update(interactive=dragging),
    )


def _must_be_free(session: Session | None) -> None:
    if session is not None and session.phase == "dragging":
        raise ValueError("a drag is running: press Stop first")
