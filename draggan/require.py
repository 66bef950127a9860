"""What settings must be."""

import operator
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args


def require(config: object, what: str, holds: Callable[[Any], bool], *names: str) -> None:
    """Raises ValueError, which says what it must be, for the first of some settings of which that does not hold."""
    for name in names:
        value = getattr(config, name)
        with suppress(TypeError):  # what is no number is not what it must be
            if holds(value):
                continue
        raise ValueError(f"{name} is {value!r}: it must be {what}")


def require_choice(what: str, value: Any, kind: Any) -> None:
    """Raises ValueError, which names the choices, for a value that is none of those of a `Literal`."""
    if value not in get_args(kind):
        raise ValueError(f"{what} {value!r:.50} is not one of {', '.join(get_args(kind))}")


def require_whole(config: object, *names: str) -> None:
    """Raises ValueError for the first of some settings that is no whole number."""
    require(config, "a whole number", lambda v: operator.index(v) == v, *names)
