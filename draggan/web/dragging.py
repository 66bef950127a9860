"""What the page does while something is dragged: by the button, or live, under the hand."""

import math
import time
from collections.abc import Iterator
from concurrent import futures
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np

from draggan.engine.engines import engine_of
from draggan.engine.progress import Patience
from draggan.engine.steps import DragStep
from draggan.geometry import Point
from draggan.render import encode, leaving, thumbnail
from draggan.session import Session
from draggan.web import canvas, settings, words
from draggan.web.aims import Aim, Aims
from draggan.web.answers import counted, free, kept, shown
from draggan.web.network import STOP_SECONDS, Network
from draggan.web.presence import Drags, Line, Listeners
from draggan.web.telling import tell

FRAME_SECONDS = 1 / 15  # between two answers of a drag
SILENT_SECONDS = 1  # likewise at most
SLOW = 0.2  # seconds: of pictures that take longer, coarser previews are shown
COARSEST = 128  # pixels along the longer side of a preview
AIM_STEPS = 3  # steps towards one place of the pointer, at least


class Dragging:
    """The handlers of running drags."""

    def __init__(self, network: Network, listeners: Listeners) -> None:
        self._network = network
        self._listeners = listeners
        self._drags = Drags()
        self._aims = Aims()
        self._resolutions: dict[str, int] = {}  # of previews, by model, where those are not as fine as the picture

    def drag(self, session: Session, request: gr.Request, *controls: Any) -> Iterator[tuple]:
        """The drag: the points at every turn, the picture where it takes at most a third of the network's time.

        Whoever stops keeps the last step that was shown; `stop` brings its picture.
        controls: what they show, in the order of `settings.Shown`.
        """
        if not free(session):
            return
        last = session
        try:
            how = settings.chosen(settings.Shown(*controls))
            yield from self._preparing(session, how[0])
            session = session.begin().dragged_by(*how)
            done = session.steps if session.drag is last.drag else None  # of a drag that goes on, or has not begun
            frames, patience = self._frames(session, request), Patience()
            repaint = True  # what was painted after the drag began is not in its mask
            with self._drags.one():
                for step, seconds in self._network.steps(session):
                    moved = step.index > session.steps
                    session = session.advance(step, stuck=patience.lost(step))
                    if step.last and step.index == done:  # there was nothing left to do, nor is to undo
                        session = replace(session, past=last.past, future=last.future)
                    frames.spend(seconds)
                    if session.busy and not frames.turn():
                        continue
                    frame = None
                    if moved and (not session.busy or frames.due()):
                        picture = frames.preview(step) if session.busy else frames.draw(step)
                        session = session if session.busy else session.keep(thumbnail(picture))
                        frame, last = encode(picture, lossless=False), session
                    if moved:
                        frames.shown()
                    status = words.status(session, self._drags.others)
                    yield counted(shown(session, frame, status, strip=not session.busy, repaint=repaint), frames.line)
                    repaint = False
                    if not session.busy:
                        break
        except Exception as error:
            yield shown(last.stop())
            tell(error)

    def live(self, session: Session, event: gr.EventData, request: gr.Request, *controls: Any) -> Iterator[tuple]:
        """A drag whose target is where the pointer is, until it is let go, and stays there: see `aim`."""
        if not free(session):
            return
        last, tab = session, str(request.session_hash)
        try:
            how = settings.live(settings.Shown(*controls))
            session, index = canvas.pulled(session, event)
            yield from self._preparing(session, how[0])
            session = session.dragged_by(*how)
            frames, steps, taken = self._frames(session, request), iter(()), 0
            with self._drags.one():
                while not (aim := self._aims.get(tab, int(event.gesture)) or Aim(session.pairs[index].target)).done:
                    if not taken or (taken >= AIM_STEPS and aim.at != session.pairs[index].target):
                        session, taken = replace(session.aimed(index, aim.at), phase="dragging"), 0
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
                            frame, last = encode(frames.preview(step), lossless=False), session
                    if frame or frames.silent():
                        frames.shown()
                        yield counted(shown(session, frame, words.status(session, self._drags.others)), frames.line)
            yield kept(self._network, session.aimed(index, aim.at).stop())
        except Exception as error:
            yield shown(last.stop())
            tell(error)
        finally:
            self._aims.forget(tab)

    def _preparing(self, session: Session, engine: str) -> Iterator[tuple]:
        """What is answered while the rehearsal of a model that was just chosen is under way.

        A drag that needs it waits for it: on the worker it would do the rest of it in one go, before everybody else.
        """
        needed = session.pairs and engine_of(engine).waits
        if needed and (rehearsal := self._network.rehearsal(session.model)):
            while not rehearsal.done():
                yield shown(replace(session, loading=True), status=words.preparing(session.model))
                futures.wait([rehearsal], timeout=STOP_SECONDS)

    def aim(self, event: gr.EventData, request: gr.Request) -> None:
        """Where the pointer of a pull is now, or that it was let go."""
        x, y = event.at
        self._aims.put(str(request.session_hash), int(event.gesture), Aim(Point(float(x), float(y)), bool(event.done)))

    def _frames(self, session: Session, request: gr.Request) -> "_Frames":
        line = self._listeners.line(str(request.session_hash))
        return _Frames(self._network, session, self._resolutions, line)


class _Frames:
    """When a running drag says where it is, and when it shows a picture, which takes a third of its time at most.

    What is not sent while the tab is behind is not old when it comes.
    """

    def __init__(self, network: Network, session: Session, resolutions: dict[str, int], line: Line) -> None:
        self._network = network
        self._model, self._finest = session.model, max(session.image_size)
        self._resolutions = resolutions
        self._stepping, self._drawing = 0.0, 0.0  # seconds: of steps since the last picture, of a picture
        self.line = line
        self._told = -math.inf

    def spend(self, seconds: float) -> None:
        """A step took so long."""
        self._stepping += seconds

    def turn(self) -> bool:
        return self.silent() if self.line.behind else time.monotonic() - self._told >= FRAME_SECONDS

    def silent(self) -> bool:
        """Whether nothing was said for so long that a tab that is gone would not be noticed."""
        return time.monotonic() - self._told > SILENT_SECONDS

    def due(self) -> bool:
        return self._stepping >= 2 * self._drawing and not self.line.behind

    def draw(self, step: DragStep, resolution: int | None = None) -> np.ndarray:
        """The picture of a step, in full, or as a preview of a resolution."""
        picture, self._drawing = self._network.timed(lambda: leaving(step.image(resolution)))
        self._stepping = 0.0
        return picture()

    def preview(self, step: DragStep) -> np.ndarray:
        """The picture of a step in the drag's precision, and coarser where pictures take long: rather more often."""
        resolution = self._resolutions.get(self._model, self._finest)
        picture = self.draw(step, resolution)
        if self._drawing > SLOW and resolution >= 2 * COARSEST:
            self._resolutions[self._model] = resolution // 2
        elif self._drawing < SLOW / 4 and resolution < self._finest:
            self._resolutions[self._model] = 2 * resolution
        return picture

    def shown(self) -> None:
        self._told = time.monotonic()
