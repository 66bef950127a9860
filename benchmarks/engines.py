"""The engines that `python -m benchmarks.edits` compares, by name, each as it is measured."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor

import draggan
from draggan.engine.engines import engine_of
from draggan.engine.steps import DragState, DragStep
from draggan.geometry import DragPair
from draggan.stylegan2.generator import Generator


class Engine(Protocol):
    def __call__(
        self,
        generator: Generator,
        latent: Tensor,
        pairs: Sequence[DragPair],
        mask: Tensor | None,
        max_steps: int,
        resume: DragState | None = None,
    ) -> Iterator[DragStep]:
        """A drag as `draggan.drag`, with the settings that are measured."""
        ...


def _measured(name: str, most: int | None = None, **settings: Any) -> Engine:
    """An engine with settings of its own; `most` steps at most, however many are asked for."""

    def drag(
        generator: Generator,
        latent: Tensor,
        pairs: Sequence[DragPair],
        mask: Tensor | None,
        max_steps: int,
        resume: DragState | None = None,
    ) -> Iterator[DragStep]:
        config = engine_of(name).settings(max_steps=min(max_steps, most or max_steps), **settings)
        return draggan.drag(generator, latent, pairs, mask, config, resume)

    return drag


ENGINES: dict[str, Engine] = {
    "draggan": _measured("draggan", lr=2e-3, tolerance=1.0),  # Pan et al. 2023 as published: W+, 6 layers
    "kinematics": _measured("kinematics", most=40),
}
