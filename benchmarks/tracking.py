"""How far trackers drift by themselves: `python -m benchmarks.tracking`.

The picture moves along the exact path of a drag with a known answer, from its code to the answer's, and each engine's
tracker follows the handles; nothing is optimised. What it then misses the targets by is what no way of stepping mends.
Beside them: a tracker of the picture's own pixels, and how far the landmarks move that a detector finds.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import draggan
from benchmarks.cases import DRAGS, Case, few, read_cases
from benchmarks.detector import Detector, ends, marks
from draggan.engine.features import Features, whole
from draggan.engine.kinematics import KinematicConfig
from draggan.engine.matching import describe, lattice, locate
from draggan.engine.paper import DragConfig, track
from draggan.engine.views import around
from draggan.geometry import square, to_points
from draggan.stylegan2.generator import Generator, Trunk

STRIDE = 4  # pixels that the farthest landmark moves between two pictures of the path
REACH = 20  # pixels around the handles that a tracker may read
PIXELS_RENEWED = 0.3  # part of a patch of pixels that each picture renews
Look = Callable[[Generator, Tensor, Tensor], Features]  # latents, handles -> what is seen around them
Follow = Callable[[Features, Tensor, Tensor | None], tuple[Tensor, Tensor]]  # handles, templates -> the next ones


@dataclass(frozen=True)
class Drift:
    """How far the places found are from the true ones, in pixels, the mean over the handles of a drag."""

    distance: float
    behind: float  # along the way from handle to target; negative: ahead

    @staticmethod
    def of(misses: Tensor, ways: Tensor) -> "Drift":
        """misses, ways (N, 2)"""
        behind = -(misses * ways).sum(dim=1) / ways.norm(dim=1)
        return Drift(misses.norm(dim=1).mean().item(), behind.mean().item())


def published(features: Features, handles: Tensor, templates: Tensor | None) -> tuple[Tensor, Tensor]:
    """The nearest feature by L1, to whole pixels (Pan et al. 2023, equation 3)."""
    if templates is None:
        return handles, features.sample(handles[:, None])[:, 0]
    around = square(DragConfig().r2 * max(features.image_size), handles)
    return track(features, handles, templates, around), templates


def matching(features: Features, handles: Tensor, templates: Tensor | None) -> tuple[Tensor, Tensor]:
    """Directions of the features on a patch, between pixels, renewed slowly: `draggan.engine.matching`."""
    config, side = KinematicConfig(), max(features.image_size)
    patch = square(1, handles) * (config.spacing * side)
    if templates is None:
        return handles, describe(features, handles[:, None], patch)[:, 0]
    handles = locate(features, handles, templates, patch, lattice(patch, config.search * side))
    here = describe(features, handles[:, None], patch)[:, 0]
    return handles, templates + config.renewal * (here - templates)


def colours(features: Features, handles: Tensor, templates: Tensor | None) -> tuple[Tensor, Tensor]:
    """The patch of 25 pixels a side whose squared differences are least, within 7 pixels."""
    patch = 2 * square(6, handles)

    def seen(places: Tensor) -> Tensor:
        """places (N, K, 2) -> (N, K, P C)"""
        return features.sample((places[:, :, None] + patch).flatten(1, 2)).reshape(*places.shape[:2], -1)

    if templates is None:
        return handles, seen(handles[:, None])[:, 0]
    places = handles[:, None] + square(7, handles)
    nearest = (seen(places) - templates[:, None]).square().sum(dim=2).argmin(dim=1)
    handles = places[torch.arange(len(places)), nearest]
    return handles, templates.lerp(seen(handles[:, None])[:, 0], PIXELS_RENEWED)


def block(resolution: int) -> Look:
    """The features of a block."""
    return lambda generator, ws, handles: around(generator, ws, resolution, to_points(handles), REACH)


def picture(generator: Generator, ws: Tensor, handles: Tensor) -> Features:
    """The picture's own colours."""
    size = generator.image_size
    return whole(Trunk((generator.render(ws),)), size, len(handles))


TRACKERS: dict[str, tuple[Look, Follow]] = {
    "draggan": (block(DragConfig().feature_resolution), published),
    "kinematics": (block(KinematicConfig().feature_resolution), matching),
    "pixels": (picture, colours),
}


def path(case: Case) -> Iterator[Tensor]:
    """The codes (1, 64) from the drag's picture to its answer."""
    start = torch.from_numpy(np.random.RandomState(case.seed).randn(1, 64))
    start = start / start.square().mean().sqrt()
    end = torch.tensor([case.target_z], dtype=torch.float64)
    count = max(1, math.ceil(max(pair.distance for pair in case.pairs) / STRIDE))
    return (start.lerp(end, i / count) for i in range(count + 1))


@torch.no_grad()
def drift(generator: Generator, case: Case, look: Look, follow: Follow) -> Drift:
    """Of the handles from their targets at the end of the path."""
    handles, targets = ends(case)
    ways, templates = targets - handles, None
    for code in path(case):
        handles, templates = follow(look(generator, generator.map(code), handles), handles, templates)
    return Drift.of(handles - targets, ways)


@torch.no_grad()
def shown(generator: Generator, case: Case, detector: Detector) -> Drift:
    """What the pictures themselves make of it: how far the landmarks that a detector finds move."""
    first, *_, last = path(case)
    before, after = (marks(detector(generator.render(generator.map(code))), case) for code in (first, last))
    handles, targets = ends(case)
    return Drift.of(after - before - (targets - handles), targets - handles)


def table(cases: Sequence[Case], drifts: dict[str, list[Drift]]) -> str:
    kinds = list(dict.fromkeys(case.kind for case in cases))
    lines = [f"| tracker | {' | '.join(kinds)} | all |", "|---" * (len(kinds) + 2) + "|"]
    for name, values in drifts.items():
        rows = [[v for v, c in zip(values, cases, strict=True) if k in ("all", c.kind)] for k in [*kinds, "all"]]
        cells = [f"{fmean(v.distance for v in row):.2f} ({fmean(v.behind for v in row):.2f})" for row in rows]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking", description=__doc__.partition("\n")[0])
    parser.add_argument("--drags", type=Path, default=DRAGS, help="file of drags with known answers")
    parser.add_argument("--n", type=int, help="drags of each kind (default: all)")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(arguments)
    cases = few(read_cases(args.drags), args.n)
    generator = draggan.load("plush-256", args.device)
    detector = Detector()
    ways: dict[str, Callable[[Case], Drift]] = {
        **{name: partial(drift, generator, look=look, follow=follow) for name, (look, follow) in TRACKERS.items()},
        "detector": partial(shown, generator, detector=detector),
    }
    drifts = {
        name: [way(case) for case in tqdm(cases, unit="drag", desc=name, disable=None)] for name, way in ways.items()
    }
    print(table(cases, drifts))


if __name__ == "__main__":
    main()
