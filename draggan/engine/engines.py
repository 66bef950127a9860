"""The engines by name, for the command line, the page and the benchmarks. Torch comes with the first use of one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from draggan.engine.course import Course
    from draggan.engine.kinematics import KinematicConfig
    from draggan.engine.paper import DragConfig
    from draggan.engine.steps import DragState, DragStep
    from draggan.geometry import DragPair
    from draggan.stylegan2.generator import Generator

PAPER, DEFAULT = "draggan", "kinematics"

Config: TypeAlias = "KinematicConfig | DragConfig"  # the settings of a drag, of one engine or the other


class Module(Protocol):
    """What the module of every engine has."""

    @property
    def Settings(self) -> "type[Config]":
        """The dataclass of its settings; their defaults are a good start."""
        ...

    @property
    def State(self) -> "type[DragState]":
        """What its drags go on from."""
        ...

    def course(
        self,
        generator: "Generator",
        latent: "Tensor",
        pairs: "Sequence[DragPair]",
        mask: "Tensor | None" = None,
        config: Any = ...,  # its own `Settings`
        resume: "DragState | None" = None,
    ) -> "Course[DragStep]":
        """The course of a drag, of the arguments of `drag`."""
        ...

    def prepare(self, generator: "Generator", config: Any = ...) -> Iterator[None]:
        """Works out what its first drag would take long for, a piece before each yield."""
        ...


@dataclass(frozen=True)
class Engine:
    """A way to drag, with settings and a state of its own."""

    help: str  # one line
    module: Callable[[], Module]  # imports it
    waits: bool  # whether its first drag with a model takes long unless that is prepared

    def settings(self, **given: Any) -> Config:
        """What is None stays at its default. Raises ValueError for a setting that it does not have."""
        given = {name: value for name, value in given.items() if value is not None}
        for name in given:
            if name not in self.known:
                others = [other for other, engine in ENGINES.items() if name in engine.known]
                remedy = f"{', '.join(others)} has it" if others else f"it has {', '.join(self.known)}"
                raise ValueError(f"{name} is not a setting of this engine: {remedy}")
        return self.module().Settings(**given)

    @property
    def known(self) -> tuple[str, ...]:
        """The names of its settings."""
        return tuple(field.name for field in fields(self.module().Settings))


def _kinematics() -> Module:
    from draggan.engine import kinematics

    return kinematics


def _paper() -> Module:
    from draggan.engine import paper

    return paper


ENGINES = {
    DEFAULT: Engine("a few large steps, each solved for", _kinematics, waits=True),
    PAPER: Engine("the paper's: many small steps by Adam", _paper, waits=False),
}


def engine_of(name: str) -> Engine:
    """Raises ValueError for a name that is none."""
    if name not in ENGINES:
        raise ValueError(f"engine {name!r} is not one of {', '.join(ENGINES)}")
    return ENGINES[name]


def drag(
    generator: "Generator",
    latent: "Tensor",
    pairs: "Sequence[DragPair]",
    mask: "Tensor | None" = None,
    config: "Config | None" = None,
    resume: "DragState | None" = None,
) -> "Iterator[DragStep]":
    """Moves each handle to its target, yielding after each step, with the engine whose settings `config` are.

    latent: (1, num_ws, w_dim). pairs: 1 to 68, in pixels of the picture. mask: (H, W), 1 where the picture may
    change and 0 where it must not; None: everywhere. config: None for the default engine, or for the one that
    `resume` belongs to, as it comes.

    The first step yielded is where the drag starts, before anything moved, so there is always one. The drag ends when
    every handle has arrived, after `config.max_steps`, or where its engine gives it up (`DragStep.stuck`). To go on
    later, hand in a step's `state` as `resume`, with the same arguments: the drag goes on as if it had not stopped
    (`latent` is then ignored in favour of the state's). Pairs whose handle the state knows by its start keep their
    place and template, others start now.

    Raises ValueError for points outside the picture, a mask or latent of another shape, or settings that this
    generator does not have; FloatingPointError when the drag diverges.
    """
    from draggan.engine.course import alone

    modules = [engine.module() for engine in ENGINES.values()]
    if config is None:
        config = next((m for m in modules if type(resume) is m.State), ENGINES[DEFAULT].module()).Settings()
    for module in modules:
        if type(config) is module.Settings:
            return alone(module.course(generator, latent, pairs, mask, config, resume))
    kinds = " or ".join(module.Settings.__name__ for module in modules)
    raise ValueError(f"config is a {type(config).__name__}: it must be a {kinds}")
