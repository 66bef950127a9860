"""What settings must be."""

from collections.abc import Callable
from typing import Any


def require(config: object, what: str, holds: Callable[[Any], bool], *names: str) -> None:
    """Raises ValueError, which says what it must be, for the first of some settings of which that does not hold."""
    for name in names:
        value = getattr(config, name)
        if not holds(value):
            raise ValueError(f"{name} is {value}: it must be {what}")
