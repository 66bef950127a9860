"""The parts of `python -m benchmarks.edits`: what is dragged, and what is measured of it.

Each part is a list of tasks; a task drags with an engine and gives a row of figures. Pictures are on the CPU, in
[-1, 1]; distances in pixels by the detector, not by the engine's own tracking.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from benchmarks import flow, scene
from benchmarks.cases import Case
from benchmarks.detector import LANDMARKS, Detector, amiss, mismarked, missed
from benchmarks.engines import Engine
from benchmarks.truth import surface_of
from draggan.engine.steps import DragState, DragStep
from draggan.geometry import DragPair, to_points
from draggan.inversion.perceptual import lpips
from draggan.stylegan2.distribution import Distribution
from draggan.stylegan2.generator import Generator

Row = dict[str, Any]  # figures; of faces also the features that the Frechet distance compares, lists of them
ARRIVED = 2.0  # pixels to its target within which every tracked handle must be
FIVE = ("nose", "eye_r", "eye_l", "chin", "ear_r")


class Detect(Protocol):
    def __call__(self, image: Tensor, /) -> Tensor:
        """picture (N, 3, H, W) in [-1, 1] -> (N, K, 2): x, y in pixels; NaN where nothing was found."""
        ...


@dataclass(frozen=True, eq=False)
class Bench:
    """What every part needs."""

    generator: Generator
    detect: Detect

    @cached_property
    def distribution(self) -> Distribution:
        return Distribution(self.generator)

    def features(self, picture: Tensor) -> list[float]:
        """Of the embedded model's detector, whichever finds the landmarks. (96,)"""
        return self._embedded.features(picture)[0].tolist()

    @cached_property
    def _embedded(self) -> Detector:
        return Detector()

    def picture(self, latent: Tensor) -> Tensor:
        return self.generator.render(latent).cpu()

    def edit(
        self,
        engine: Engine,
        latent: Tensor,
        pairs: Sequence[DragPair],
        mask: Tensor | None,
        max_steps: int,
        resume: DragState | None = None,
    ) -> tuple[DragStep, Tensor, Row]:
        """A drag to its end, its picture, and the figures that every part has."""
        begun, busy = time.perf_counter(), time.process_time()
        *_, last = engine(self.generator, latent, pairs, mask, max_steps, resume)
        seconds, busy = time.perf_counter() - begun, time.process_time() - busy
        row = {
            "arrived": float(max(last.distances) <= ARRIVED),
            "steps": float(last.index),
            "seconds": seconds,
            "CPU seconds": busy,
            "Mahalanobis before": self.distribution.distance(latent),
            "Mahalanobis": self.distribution.distance(last.latent),
        }
        return last, last.image().cpu(), row


@dataclass(frozen=True)
class Task:
    """One drag of a part: `name` tells it from the others, `kind` is the line of the table it counts in."""

    part: str
    kind: str
    name: str
    run: "partial[Row]"


def known(bench: Bench, cases: Sequence[Case], max_steps: int = 200) -> Iterator[Task]:
    """Drags whose exact answer is known."""
    for case in cases:
        if not case.target_z:
            raise ValueError("these drags have no known answer: measure them with --parts back")
        yield Task("known", case.kind, f"{case.kind} {case.seed}", partial(_known, bench, case, max_steps))


def _known(bench: Bench, case: Case, max_steps: int, engine: Engine) -> Row:
    latent = bench.generator.latent(case.seed)
    start = bench.picture(latent)
    answer = bench.picture(bench.generator.map(torch.tensor([case.target_z], dtype=torch.float64)))
    _, end, row = bench.edit(engine, latent, case.pairs, None, max_steps)
    first, last, best = map(bench.detect, (start, end, answer))
    before, after, floor = (missed(found, case) for found in (first, last, best))
    far = {"no edit": before, "after": after, "floor": floor, "exact": mismarked(first, case)}
    mse = {"MSE before": _mse(start, answer), "MSE after": _mse(end, answer)}
    return {**far, "amiss": amiss(first, last, case), **row, **mse}


def back(bench: Bench, cases: Sequence[Case], max_steps: int = 200) -> Iterator[Task]:
    """There and back: from where the first drag left the handles to where they were (FreeDrag's CCSD).

    The way back twice: as a drag of its own, and as on the page, where the targets are put back to where the handles
    were and the drag goes on.
    """
    for case in cases:
        yield Task("back", case.kind, f"{case.kind} {case.seed}", partial(_back, bench, case, max_steps))


def _back(bench: Bench, case: Case, max_steps: int, engine: Engine) -> Row:
    latent = bench.generator.latent(case.seed)
    start = bench.picture(latent)
    there, there_picture, row = bench.edit(engine, latent, case.pairs, None, max_steps)
    ways = [DragPair(a, p.handle) for a, p in zip(there.handles, case.pairs, strict=True)]
    _, again, second = bench.edit(engine, there.latent, ways, None, max_steps)
    same = [DragPair(pair.handle, pair.handle) for pair in case.pairs]
    _, going_on, _ = bench.edit(engine, latent, same, None, max_steps, there.state)
    return {
        "MSE there": _mse(there_picture, start),
        "MSE there and back": _mse(again, start),
        "MSE going on": _mse(going_on, start),
        "CPU seconds": row["CPU seconds"] + second["CPU seconds"],
        "Mahalanobis": second["Mahalanobis"],
    }


def mask(bench: Bench, cases: Sequence[Case], max_steps: int = 200, margin: int = 24) -> Iterator[Task]:
    """One landmark alone may move, within a box around its way: a drag of one ear, the chin or the nose."""
    for case in cases:
        if case.kind in ("ears", "mouth", "pose"):
            yield Task("mask", case.kind, f"{case.kind} {case.seed}", partial(_mask, bench, case, max_steps, margin))


def _mask(bench: Bench, case: Case, max_steps: int, margin: int, engine: Engine) -> Row:
    latent, pair = bench.generator.latent(case.seed), case.pairs[0]
    start = bench.picture(latent)
    height, width = bench.generator.image_size
    movable = torch.zeros(height, width)
    xs, ys = sorted((pair.handle.x, pair.target.x)), sorted((pair.handle.y, pair.target.y))
    top, left = max(0, round(ys[0]) - margin), max(0, round(xs[0]) - margin)
    movable[top : round(ys[1]) + margin, left : round(xs[1]) + margin] = 1
    row: Row = {}
    for name, given in (("free", None), ("masked", movable)):
        last, end, facts = bench.edit(engine, latent, [pair], given, max_steps)
        change = (end - start).abs().mean(dim=1)[0]  # (H, W)
        row |= {
            f"to go, {name}": last.distances[0],
            f"inside, {name}": change[movable == 1].mean().item(),
            f"outside, {name}": change[movable == 0].mean().item(),
            f"CPU seconds, {name}": facts["CPU seconds"],
        }
    return row


def faces(bench: Bench, count: int, seed: int, max_steps: int = 300) -> Iterator[Task]:
    """The paper's table 1: landmarks of one random picture dragged to those of another (section 4.2)."""
    every = range(bench.detect(bench.picture(bench.generator.latent(seed))).shape[1])
    five = [round(i * (len(every) - 1) / 4) for i in range(5)]
    if len(every) == len(LANDMARKS):
        five = [LANDMARKS.index(name) for name in FIVE]
    for i in range(count):
        for points, rows in {1: five[:1], 5: five, len(every): every}.items():
            kind, a, b = f"{points} points", seed + 2 * i, seed + 2 * i + 1
            yield Task("faces", kind, f"{kind} {a}", partial(_faces, bench, a, b, list(rows), max_steps))


def _faces(bench: Bench, a: int, b: int, rows: list[int], max_steps: int, engine: Engine) -> Row:
    latent = bench.generator.latent(a)
    start, other = (bench.picture(bench.generator.latent(s)) for s in (a, b))
    places, goals = bench.detect(start)[0, rows], bench.detect(other)[0, rows]
    if not (places.isfinite().all() and goals.isfinite().all()):
        return {"not detected": 1.0}
    pairs = [DragPair(p, q) for p, q in zip(to_points(places), to_points(goals), strict=True)]
    _, end, row = bench.edit(engine, latent, pairs, None, max_steps)
    found = bench.detect(end)[0, rows]
    if not found.isfinite().all():
        return {"not detected": 1.0, **row}
    before, after = ((p - goals).norm(dim=1).mean().item() for p in (places, found))
    row |= {name: bench.features(image) for name, image in (("features before", start), ("features", end))}
    return {"not detected": 0.0, "no edit": before, "after": after, **row}


@dataclass(frozen=True, eq=False)
class Pair:
    """Two latents (1, num_ws, w_dim), of which the second has its first 6 layers moved, and points that join them."""

    first: Tensor
    second: Tensor
    ways: Sequence[DragPair]


def pairs(
    bench: Bench, count: int, seed: int, max_steps: int = 100, points: int = 32, flows: Path | None = None
) -> Iterator[Task]:
    """The paper's table 2: a picture and one a little away from it, joined by points of known correspondence.

    flows: a folder of optical flows, for models other than the embedded one (`flow.py`). Raises ValueError where some
    are missing, after it has written the pictures to make them from.
    """
    join = partial(_scenes, bench, points)
    if flows is not None:
        seeds = [(seed + 2 * i, seed + 2 * i + 1) for i in range(count)]
        missing = [a for a, b in seeds if flow.missing(flows, str(a), *map(bench.picture, _moved(bench, a, b)))]
        if missing:
            raise ValueError(
                f"{len(missing)} flows are missing: from each SEED-1.png of {flows} to SEED-2.png, as SEED.npy, "
                "(H, W, 2), pixels to the right and down"
            )
        join = partial(_flowing, bench, points, flows)
    for i in range(count):
        a, b = seed + 2 * i, seed + 2 * i + 1
        yield Task("pairs", f"{points} points", f"pairs {a}", partial(_pairs, bench, partial(join, a, b), max_steps))


def _scenes(bench: Bench, points: int, a: int, b: int) -> Pair:
    """Of the embedded model: the scene a tenth of the way to another, and points of its surface."""
    first, other = (torch.from_numpy(np.random.RandomState(s).randn(1, 64)) for s in (a, b))
    first, other = (z / z.square().mean().sqrt() for z in (first, other))
    second = torch.cat([first.lerp(other, 0.1)[:, : scene.P], first[:, scene.P :]], dim=1)
    latent, moved = bench.generator.map(first), bench.generator.map(second)
    goal = torch.cat([moved[:, :6], latent[:, 6:]], dim=1)
    places, goals = surface_of(first, second, points)
    return Pair(latent, goal, [DragPair(p, q) for p, q in zip(to_points(places), to_points(goals), strict=True)])


def _moved(bench: Bench, a: int, b: int) -> tuple[Tensor, Tensor]:
    """The latent of a seed, and the same with its first 6 layers a tenth of the way to another's."""
    first, other = (bench.generator.latent(seed) for seed in (a, b))
    return first, torch.cat([first[:, :6].lerp(other[:, :6], 0.1), first[:, 6:]], dim=1)


def _flowing(bench: Bench, points: int, flows: Path, a: int, b: int) -> Pair:
    return Pair(*_moved(bench, a, b), flow.pairs_along(flows, str(a), bench.generator.image_size, points))


def _pairs(bench: Bench, join: Callable[[], Pair], max_steps: int, engine: Engine) -> Row:
    pair = join()
    _, end, row = bench.edit(engine, pair.first, pair.ways, None, max_steps)
    start, answer = bench.picture(pair.first), bench.picture(pair.second)
    row |= {"MSE x 100 before": 100 * _mse(start, answer), "MSE x 100": 100 * _mse(end, answer)}
    for name, image in (("LPIPS x 10 before", start), ("LPIPS x 10", end)):
        if (perceived := lpips(image, answer)) is not None:
            row[name] = 10 * perceived
    return row


def _mse(a: Tensor, b: Tensor) -> float:
    return (a - b).square().mean().item()
