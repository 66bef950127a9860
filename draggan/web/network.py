"""The network behind the page: models on their device, and the one worker that runs them.

A step at a time: tabs that drag at once take turns, and the processor never runs two networks against each other.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from draggan.cache import ModelCache
from draggan.engine import DragConfig
from draggan.geometry import DragPair, Point
from draggan.render import encode, to_picture
from draggan.session import Session, new_session
from draggan.stylegan2.generator import Generator
from draggan.transfer import Progress


class Network:
    """Models, the device they run on, and the worker that runs them."""

    def __init__(self, models: ModelCache, device: str) -> None:
        self._models = models
        self._device = device
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")

    def run(self, work: Callable, *args: Any) -> Any:
        """`work(*args)` on the worker, when it is its turn."""
        return self._worker.submit(work, *args).result()

    def download(self, model: str) -> Iterator[Progress]:
        """Brings a model's file, where it is not here yet."""
        return self._models.download(model)

    def generator(self, model: str) -> Generator:
        """The model, loaded where it is not yet. To be called on the worker."""
        return self._models.load(model, self._device)

    def draw(self, model: str, seed: int, truncation_psi: float) -> Session:
        """A picture of a seed."""
        return self.run(lambda: new_session(self.generator(model), model, seed, truncation_psi))

    def picture(self, session: Session, latent: Tensor | None = None) -> np.ndarray:
        """The picture of a session, or of another latent (1, num_ws, w_dim) of its model. -> (H, W, 3) uint8"""
        latent = session.latent if latent is None else latent
        return self.run(lambda: to_picture(self.generator(session.model).render(latent)))

    def frame(self, session: Session) -> bytes:
        """The picture of a session for the screen: a JPEG."""
        return encode(self.picture(session), lossless=False)

    def rehearse(self, model: str) -> None:
        """A step of a drag that nobody sees, on the worker: libraries prepare themselves when they are first used."""

        def step() -> None:
            session = new_session(self.generator(model), model, seed=0, truncation_psi=0.7)
            height, width = session.image_size
            session = session.add(DragPair(Point(width / 2, height / 2), Point(width / 2, height / 4)))
            for step in replace(session, config=DragConfig(max_steps=1)).run(self.generator(model)):
                step.image()

        self._worker.submit(step)
