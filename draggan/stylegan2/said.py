"""What is said in words, with its figures apart, so that a page can say it in another language."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Said:
    """Something said in English, with its figures apart. Of an error it may be what it was made of."""

    text: str  # with a place {name} for each figure
    values: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text.format(**self.values)
