"""The network behind the page: models on their device, and the one worker that runs them.

A step or a picture at a time, in turns: the processor never runs two networks against each other. Models are loaded
beside it, in the thread of the tab that wants one; but a device that is for one thread is the worker's alone.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from torch import Tensor

from draggan.engine.engines import ENGINES, engine_of
from draggan.engine.steps import DragStep
from draggan.geometry import DragPair, Point
from draggan.precision import for_drag
from draggan.registry.cache import ModelCache
from draggan.registry.models import pick_device
from draggan.registry.transfer import Progress
from draggan.render import encode, to_picture
from draggan.session import Session, new_session
from draggan.stylegan2.config import GeneratorConfig
from draggan.stylegan2.delta import Delta, changed
from draggan.stylegan2.device import ONE_THREAD
from draggan.stylegan2.generator import Generator
from draggan.web.sent import use, was_sent
from draggan.web.turns import Turns
from draggan.web.words import Said

STOP_SECONDS = 0.2  # in which whoever waits for the worker notices that it is stopped
LARGEST_SIDE, MOST_PRODUCTS = 2048, 1 << 40  # of a model that was sent: 7 times those of FFHQ's with 1024 pixels a side
Step = TypeVar("Step")


class Network:
    """Models, the device they run on, and the worker that runs them."""

    def __init__(self, models: ModelCache, device: str) -> None:
        self._models = models
        self._device = device
        self._alone = pick_device(device).type in ONE_THREAD
        self._turns = Turns()
        self._rehearsals: WeakKeyDictionary[Generator, Future[None]] = WeakKeyDictionary()  # each goes with its model

    def run(self, work: Callable, *args: Any) -> Any:
        """`work(*args)` on the worker, when it is its turn."""
        return self._turns.submit(work, *args).result()

    def beside(self, work: Callable, *args: Any) -> Any:
        """`work(*args)` beside the worker, in this thread; on the worker where its device is for one thread."""
        return self.run(work, *args) if self._alone else work(*args)

    def timed(self, work: Callable, *args: Any) -> tuple[Any, float]:
        """What some work gives, and the seconds that it took, without the time in which it waited for its turn."""

        def run() -> tuple[Any, float]:
            began = time.monotonic()
            return work(*args), time.monotonic() - began

        return self.run(run)

    def each(self, steps: Iterator[Step]) -> Iterator[Step | None]:
        """What an iterator gives, each on the worker; None as long as one is not there: whoever stops need not wait."""
        while True:
            coming = self._turns.submit(next, steps, None)
            while wait([coming], timeout=STOP_SECONDS).not_done:
                yield None
            if (step := coming.result()) is None:
                return
            yield step

    def steps(self, session: Session) -> Iterator[tuple[DragStep, float]]:
        """The steps of a session's drag, each taken on the worker, with its share of the seconds that it took."""
        generator = self.beside(self._dragging, session)
        course = self.run(session.course, generator)
        yield from self._turns.drag((generator, session.engine), course, len(session.pairs))

    def download(self, model: str) -> Iterator[Progress]:
        """Brings a model's file, where it is not here yet."""
        return self._models.download(model)

    def generator(self, model: str) -> Generator:
        """The model, loaded where it is not yet; its file must be here."""
        return self.beside(self._loaded, model)

    def sha256(self, model: str) -> str:
        """The SHA-256 of a model's file; empty where that is not here."""
        return self._models.sha256(model)

    def generator_of(self, session: Session) -> Generator:
        """The model of a session, with the weights that were changed for its picture."""
        return self.beside(self._formed, session)

    def _loaded(self, model: str) -> Generator:
        use(model)
        generator = self._models.load(model, self._device)
        if _takes_long(generator.config) and was_sent(model):
            height, width = generator.image_size
            said = "{name} is too large to be sent ({width} x {height}): have the server started with it, as --model"
            raise ValueError(Said(said, {"name": Path(model).name, "width": width, "height": height}))
        return generator

    def _formed(self, session: Session) -> Generator:
        generator = self._loaded(session.model)
        if session.photo is None or session.photo.delta is None:
            return generator
        delta, forms = session.photo.delta, generator.known(_changed_forms)
        if delta not in forms:
            forms[delta] = changed(generator, delta)
        return forms[delta]

    def _dragging(self, session: Session) -> Generator:
        """The model of a session with its drags in the precision that the session asks for."""
        return for_drag(self._formed(session), session.precision)

    def draw(self, model: str, seed: int, truncation_psi: float, class_index: int = 0) -> Session:
        """A picture of a seed; the class is that of a model which has classes."""
        given = seed, truncation_psi, class_index if self.classes(model) else None
        return self.run(new_session, self.generator(model), model, *given)

    def classes(self, model: str) -> int:
        """Of a class-conditional model; 0: it has none."""
        return self.generator(model).config.c_dim

    def picture(self, session: Session, latent: Tensor | None = None) -> np.ndarray:
        """The picture of a session, or of another latent (1, num_ws, w_dim) of its model. -> (H, W, 3) uint8"""
        latent = session.latent if latent is None else latent
        return self.drawn(self.generator_of(session).render, latent)

    def original(self, session: Session) -> np.ndarray:
        """What the edits of a session are compared to: one's own picture, or the one as drawn. -> (H, W, 3) uint8"""
        return session.photo.shown if session.photo else self.picture(session, session.start)

    def drawn(self, image: Callable[..., Tensor], *args: Any) -> np.ndarray:
        """The picture that `image(*args)` gives, computed on the worker. -> (H, W, 3) uint8"""
        return self.beside(to_picture, self.run(image, *args))

    def frame(self, session: Session) -> bytes:
        """The picture of a session for the screen: a JPEG."""
        return encode(self.picture(session), lossless=False)

    def rehearse(self, model: str) -> Future[None]:
        """A step of each engine that nobody sees: what is worked out at the first use of a model, is by then.

        Once a model, on the worker, in turn with all else. -> done when all of it is.
        """
        generator, done = self.generator(model), Future[None]()
        if (known := self._rehearsals.setdefault(generator, done)) is not done:
            return known
        parts = _rehearsal(generator, model)

        def part() -> None:
            try:
                if next(parts, done) is done:
                    return done.set_result(None)
                self._turns.submit(part)
            except BaseException as error:
                done.set_exception(error.with_traceback(None))  # whose frames would hold the model for ever

        self._turns.submit(part)
        return done

    def rehearsal(self, model: str) -> Future[None] | None:
        """The one that is under way."""
        known = self._rehearsals.get(self.generator(model))
        return None if known is None or known.done() else known


def _takes_long(config: GeneratorConfig) -> bool:
    """Whether a picture takes so long that all others wait for its turn, or all memory."""
    return max(config.height, config.width) > LARGEST_SIDE or config.products > MOST_PRODUCTS


def _changed_forms(model: Generator) -> WeakKeyDictionary[Delta, Generator]:
    """The forms of a model with changed weights: each goes with its last session, all of them with the model."""
    return WeakKeyDictionary()


def _rehearsal(generator: Generator, model: str) -> Iterator[None]:
    """What is done once with a generator, little by little."""
    for engine in ENGINES.values():
        yield from engine.module().prepare(generator, engine.settings())
    session = new_session(generator, model, 0, 0.7, 0 if generator.config.c_dim else None)
    height, width = session.image_size
    session = session.add(DragPair(Point(width / 2, height / 2), Point(width / 2, height / 4)))
    steps = 3 if generator.steady else 1  # a GPU records what is done for the second time
    for engine in ENGINES:
        for step in session.dragged_by(engine, engine_of(engine).settings(max_steps=steps)).run(generator):
            step.image()
            yield
