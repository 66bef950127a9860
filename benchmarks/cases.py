"""Drags whose answer is known, as files keep them."""

import json
from dataclasses import dataclass
from pathlib import Path

from draggan.geometry import DragPair, Point

DRAGS = Path(__file__).parent / "drags.json"


@dataclass(frozen=True)
class Case:
    """A drag with a known answer."""

    seed: int
    kind: str
    landmarks: tuple[str, ...]
    pairs: tuple[DragPair, ...]
    target_z: tuple[float, ...]


def read_cases(path: Path = DRAGS) -> tuple[Case, ...]:
    cases = []
    for row in json.loads(path.read_text())["drags"]:
        pairs = [DragPair(Point(*p["handle"]), Point(*p["target"])) for p in row["pairs"]]
        names = tuple(p["landmark"] for p in row["pairs"])
        cases.append(Case(row["seed"], row["kind"], names, tuple(pairs), tuple(row["target_z"])))
    return tuple(cases)
