"""Drags as files keep them: those whose answer is known, and those of FreeDragBench."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from draggan.geometry import DragPair, Point

DRAGS = Path(__file__).parent / "drags.json"


@dataclass(frozen=True)
class Case:
    """A drag; with landmarks and a code its answer is known."""

    seed: int
    kind: str
    landmarks: tuple[str, ...]
    pairs: tuple[DragPair, ...]
    target_z: tuple[float, ...]


def read_cases(path: Path = DRAGS) -> tuple[Case, ...]:
    """Of a .json file of ours, or a .jsonl file of FreeDragBench (Ling et al. 2024), whose points are [y, x]."""
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        return tuple(_without_answer(row, path.stem) for row in rows)
    cases = []
    for row in json.loads(path.read_text())["drags"]:
        pairs = [DragPair(Point(*p["handle"]), Point(*p["target"])) for p in row["pairs"]]
        names = tuple(p["landmark"] for p in row["pairs"])
        cases.append(Case(row["seed"], row["kind"], names, tuple(pairs), tuple(row["target_z"])))
    return tuple(cases)


def few(cases: Sequence[Case], n: int | None) -> list[Case]:
    """The first `n` of each kind; None: all."""
    kinds = dict.fromkeys(case.kind for case in cases)
    return [case for kind in kinds for case in [c for c in cases if c.kind == kind][:n]]


def _without_answer(row: dict[str, Any], kind: str) -> Case:
    handles, targets = ([Point(x, y) for y, x in row["points"][end]] for end in ("handle", "target"))
    return Case(row["seed"], kind, (), tuple(map(DragPair, handles, targets)), ())
