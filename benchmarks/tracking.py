"""How far trackers drift by themselves: `python -m benchmarks.tracking`.

The picture moves along the exact path of a drag with a known answer, from its code to the answer's, and each engine's
tracker follows the handles; nothing is optimised. What it then misses the targets by is what no way of stepping mends.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import draggan
from benchmarks.cases import DRAGS, Case, few, read_cases
from draggan.engine import DragConfig, track
from draggan.features import Features, around
from draggan.geometry import square, to_points, to_tensor
from draggan.kinematics import KinematicConfig
from draggan.matching import describe, locate
from draggan.stylegan2.generator import Generator

STRIDE = 4  # pixels that the farthest landmark moves between two pictures of the path
Follow = Callable[[Features, Tensor, Tensor | None], tuple[Tensor, Tensor]]  # handles, templates -> the next ones


def published(features: Features, handles: Tensor, templates: Tensor | None) -> tuple[Tensor, Tensor]:
    """The nearest feature by L1, to whole pixels (Pan et al. 2023, equation 3)."""
    if templates is None:
        return handles, features.sample(handles[:, None])[:, 0]
    return track(features, handles, templates, DragConfig().r2 * max(features.image_size)), templates


def matching(features: Features, handles: Tensor, templates: Tensor | None) -> tuple[Tensor, Tensor]:
    """Directions of the features on a patch, between pixels, renewed slowly: `draggan.matching`."""
    config, side = KinematicConfig(), max(features.image_size)
    patch = square(1, handles) * (config.spacing * side)
    if templates is None:
        return handles, describe(features, handles[:, None], patch)[:, 0]
    handles = locate(features, handles, templates, patch, config.search * side)
    here = describe(features, handles[:, None], patch)[:, 0]
    return handles, templates + config.renewal * (here - templates)


TRACKERS: dict[str, tuple[Follow, int]] = {
    "draggan": (published, DragConfig().feature_resolution),
    "kinematics": (matching, KinematicConfig().feature_resolution),
}


def path(case: Case) -> Iterator[Tensor]:
    """The codes (1, 64) from the drag's picture to its answer."""
    start = torch.from_numpy(np.random.RandomState(case.seed).randn(1, 64))
    start = start / start.square().mean().sqrt()
    end = torch.tensor([case.target_z], dtype=torch.float64)
    count = max(1, math.ceil(max(pair.distance for pair in case.pairs) / STRIDE))
    return (start.lerp(end, i / count) for i in range(count + 1))


@torch.no_grad()
def drift(generator: Generator, case: Case, follow: Follow, resolution: int) -> float:
    """Mean distance in pixels of the handles to their targets at the end of the path."""
    targets = to_tensor([pair.target for pair in case.pairs], torch.empty(0))
    handles, templates = to_tensor([pair.handle for pair in case.pairs], targets), None
    for code in path(case):
        features = around(generator, generator.map(code), resolution, to_points(handles), 20)
        handles, templates = follow(features, handles, templates)
    return (handles - targets).norm(dim=1).mean().item()


def table(cases: Sequence[Case], drifts: dict[str, list[float]]) -> str:
    kinds = list(dict.fromkeys(case.kind for case in cases))
    lines = [f"| tracker | {' | '.join(kinds)} | all |", "|---" * (len(kinds) + 2) + "|"]
    for name, values in drifts.items():
        means = [fmean(v for v, c in zip(values, cases, strict=True) if k in ("all", c.kind)) for k in [*kinds, "all"]]
        lines.append(f"| {name} | {' | '.join(f'{mean:.2f}' for mean in means)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking", description=__doc__.partition("\n")[0])
    parser.add_argument("--drags", type=Path, default=DRAGS, help="file of drags with known answers")
    parser.add_argument("--n", type=int, help="drags of each kind (default: all)")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(arguments)
    cases = few(read_cases(args.drags), args.n)
    generator = draggan.load("plush-256", args.device)
    drifts = {
        name: [drift(generator, case, *tracker) for case in tqdm(cases, unit="drag", desc=name, disable=None)]
        for name, tracker in TRACKERS.items()
    }
    print(table(cases, drifts))


if __name__ == "__main__":
    main()
