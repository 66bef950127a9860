"""The engines that `python -m benchmarks.edits` compares, by name, each as it is measured."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from draggan import engines
from draggan.engine import DragStep
from draggan.geometry import DragPair
from draggan.stylegan2.generator import Generator

Engine = Callable[[Generator, Tensor, Sequence[DragPair], Tensor | None, int], Iterator[DragStep]]


def paper(
    generator: Generator, latent: Tensor, pairs: Sequence[DragPair], mask: Tensor | None, max_steps: int
) -> Iterator[DragStep]:
    """Pan et al. 2023 as published: W+, 6 layers, step size 2e-3, 1 px."""
    engine = engines.engine_of("draggan")
    config = engine.settings(lr=2e-3, max_steps=max_steps, tolerance=1.0)
    return engine.drag(generator, latent, pairs, mask, config)


def inverse_kinematics(
    generator: Generator, latent: Tensor, pairs: Sequence[DragPair], mask: Tensor | None, max_steps: int
) -> Iterator[DragStep]:
    engine = engines.engine_of("kinematics")
    return engine.drag(generator, latent, pairs, mask, engine.settings(max_steps=min(max_steps, 40)))


ENGINES: dict[str, Engine] = {"draggan": paper, "kinematics": inverse_kinematics}
