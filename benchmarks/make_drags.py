"""Makes a file of drags with known answers: `python -m benchmarks.make_drags --first-seed 3000 --out drags.json`.

A drag of a kind changes some parameters of a scene and leaves the others: its targets are where the scene's landmarks
then go, and the changed code is its answer. The kinds, their landmarks and their parameters are those of drags.json.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import scene
from benchmarks.cases import Case
from benchmarks.truth import SIZE, landmarks_of
from draggan.geometry import DragPair, Point, to_points

MARGIN = 8  # pixels from the border within which no handle or target lies


@dataclass(frozen=True)
class Kind:
    """What is dragged and what may differ between a picture and its answer."""

    name: str
    landmarks: tuple[str, ...]
    parameters: tuple[str, ...]  # of the scene
    spread: float  # largest change of a parameter, in standard deviations
    shortest: float  # pixels: the mean way of the landmarks
    longest: float


POSE = ("yaw", "pitch", "roll", "scale", "ear_len", "ear_tilt", "mouth")
KINDS = (
    Kind("pose", ("nose",), ("yaw", "pitch"), 1.0, 30, 50),
    Kind("mouth", ("chin",), ("mouth",), 2.0, 5, 9),
    Kind("ears", ("ear_r", "ear_l"), ("ear_len", "ear_tilt"), 2.0, 15, 35),
    Kind("face5", ("nose", "eye_r", "eye_l", "chin", "ear_r"), POSE, 1.0, 20, 35),
    Kind("all8", tuple(scene.LANDMARKS), POSE, 1.0, 15, 30),
)


def make(kind: Kind, first_seed: int) -> Iterator[Case]:
    """Drags of a kind without end, one from each seed on that yields one within the kind's bounds."""
    names = list(scene.LANDMARKS)
    rows = [names.index(name) for name in kind.landmarks]
    changed = [scene.IDX[name] for name in kind.parameters]
    for seed in range(first_seed, 2**32):
        rng = np.random.RandomState(seed)
        z = torch.from_numpy(rng.randn(1, 64))
        answer = z / z.square().mean().sqrt()
        answer[0, changed] += torch.from_numpy(rng.uniform(-kind.spread, kind.spread, len(changed)))
        before, after = (landmarks_of(code)[0, rows].round(decimals=2) for code in (z, answer))
        way = (after - before).norm(dim=1).mean().item()
        both = torch.cat([before, after])
        if kind.shortest <= way <= kind.longest and both.min() >= MARGIN and both.max() <= SIZE - 1 - MARGIN:
            pairs = tuple(DragPair(a, b) for a, b in zip(to_points(before), to_points(after), strict=True))
            code = tuple(round(v, 5) for v in answer[0].tolist())
            yield Case(seed, kind.name, kind.landmarks, pairs, code)


def text(cases: list[Case]) -> str:
    def place(p: Point) -> list[float]:
        return [round(p.x, 2), round(p.y, 2)]

    drags = []
    for case in cases:
        named = zip(case.landmarks, case.pairs, strict=True)
        pairs = [{"landmark": name, "handle": place(p.handle), "target": place(p.target)} for name, p in named]
        drags.append({"seed": case.seed, "kind": case.kind, "pairs": pairs, "target_z": case.target_z})
    return json.dumps({"resolution": SIZE, "truncation_psi": 1.0, "drags": drags}, separators=(",", ":")) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.make_drags", description=__doc__.partition("\n")[0])
    parser.add_argument("--first-seed", type=int, default=3000)
    parser.add_argument("--n", type=int, default=12, help="drags of each kind (default: 12)")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    cases, seed = [], args.first_seed
    for kind in KINDS:
        drags = make(kind, seed)
        cases += [next(drags) for _ in range(args.n)]
        seed = cases[-1].seed + 1
    args.out.write_text(text(cases))


if __name__ == "__main__":
    main()
