"""The engines that `python -m benchmarks.edits` compares, by name, each as it is measured."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor

from draggan import engines
from draggan.engine import DragState, DragStep
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
        """A drag as `draggan.engine.drag`, with the settings that are measured."""
        ...


def paper(
    generator: Generator,
    latent: Tensor,
    pairs: Sequence[DragPair],
    mask: Tensor | None,
    max_steps: int,
    resume: DragState | None = None,
) -> Iterator[DragStep]:
    """Pan et al. 2023 as published: W+, 6 layers, step size 2e-3, 1 px."""
    engine = engines.engine_of("draggan")
    config = engine.settings(lr=2e-3, max_steps=max_steps, tolerance=1.0)
    return engine.drag(generator, latent, pairs, mask, config, resume)


def inverse_kinematics(
    generator: Generator,
    latent: Tensor,
    pairs: Sequence[DragPair],
    mask: Tensor | None,
    max_steps: int,
    resume: DragState | None = None,
) -> Iterator[DragStep]:
    engine = engines.engine_of("kinematics")
    return engine.drag(generator, latent, pairs, mask, engine.settings(max_steps=min(max_steps, 40)), resume)


ENGINES: dict[str, Engine] = {"draggan": paper, "kinematics": inverse_kinematics}
