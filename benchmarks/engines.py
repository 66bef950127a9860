"""The engines that `python -m benchmarks.edits` compares, by name."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from draggan import engine, kinematics
from draggan.engine import DragStep
from draggan.geometry import DragPair
from draggan.stylegan2.generator import Generator

Engine = Callable[[Generator, Tensor, Sequence[DragPair], Tensor | None, int], Iterator[DragStep]]


def paper(
    generator: Generator, latent: Tensor, pairs: Sequence[DragPair], mask: Tensor | None, max_steps: int
) -> Iterator[DragStep]:
    """Pan et al. 2023 as published: W+, 6 layers, step size 2e-3, 1 px."""
    config = engine.DragConfig(lr=2e-3, max_steps=max_steps, tolerance=1.0)
    return engine.drag(generator, latent, pairs, mask, config)


def inverse_kinematics(
    generator: Generator, latent: Tensor, pairs: Sequence[DragPair], mask: Tensor | None, max_steps: int
) -> Iterator[DragStep]:
    return kinematics.drag(generator, latent, pairs, mask, kinematics.KinematicConfig(max_steps=min(max_steps, 40)))


ENGINES: dict[str, Engine] = {"draggan": paper, "kinematics": inverse_kinematics}
