"""The engines by name, for the command line, the page and the benchmarks. Data: torch comes with the first use."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from draggan.engine import DragState, DragStep

DEFAULT = "draggan"


@dataclass(frozen=True)
class Engine:
    """A way to drag: a function like `draggan.engine.drag`, with settings and a state of its own."""

    help: str  # one line
    module: str  # where its `drag` is
    config: str  # the class of its settings there; their defaults are a good start
    kept: str  # the class of what its drags go on from

    @property
    def drag(self) -> "Callable[..., Iterator[DragStep]]":
        """generator, latent, pairs, mask, config, resume -> the steps, as `draggan.engine.drag`."""
        return importlib.import_module(self.module).drag

    @property
    def state(self) -> "type[DragState]":
        """What its drags go on from."""
        return getattr(importlib.import_module(self.module), self.kept)

    def settings(self, **given: Any) -> Any:
        """Its config. What is None stays at its default. Raises ValueError for a setting that it does not have."""
        given = {name: value for name, value in given.items() if value is not None}
        config = getattr(importlib.import_module(self.module), self.config)
        known = [field.name for field in fields(config)]
        for name in given:
            if name not in known:
                raise ValueError(f"{name} is not a setting of this engine: it has {', '.join(known)}")
        return config(**given)


_PAPER = Engine("the paper's: many small steps by Adam", "draggan.engine", "DragConfig", "DragState")
_KINEMATIC = Engine(
    "a few large steps, each solved for: several times faster",
    "draggan.kinematics",
    "KinematicConfig",
    "KinematicState",
)
ENGINES = {"draggan": _PAPER, "kinematics": _KINEMATIC}


def engine_of(name: str) -> Engine:
    """Raises ValueError for a name that is none."""
    if name not in ENGINES:
        raise ValueError(f"engine {name!r} is not one of {', '.join(ENGINES)}")
    return ENGINES[name]
