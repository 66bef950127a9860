"""The engines that `python -m benchmarks.edits` compares, by name, each as it is measured."""

import ast
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


PUBLISHED = {"lr": 2e-3, "tolerance": 1.0}  # Pan et al. 2023: W+, 6 layers
MEASURED: dict[str, dict[str, Any]] = {"draggan": PUBLISHED, "kinematics": {"most": 40}}
ENGINES = {name: _measured(name, **settings) for name, settings in MEASURED.items()}


def named(text: str) -> Engine:
    """An engine of `ENGINES`, or with other settings: NAME:SETTING=VALUE,SETTING=VALUE. Raises ValueError."""
    name, _, given = text.partition(":")
    if name not in ENGINES:
        raise ValueError(f"engine {name!r} is not one of {', '.join(ENGINES)}")
    if not given:
        return ENGINES[name]
    settings = {}
    for each in given.split(","):
        setting, _, value = each.partition("=")
        try:
            settings[setting] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[setting] = value  # a word: space=w
    engine_of(name).settings(**settings)  # refuses what it does not have
    settings["most"] = settings.pop("max_steps", MEASURED[name].get("most"))
    return _measured(name, **MEASURED[name] | settings)
