"""How well pictures are turned into latents: `python -m benchmarks.invert`.

What each part and column means is in README.md. With `--json FILE` every figure is kept, and the same command goes on
where a run was cut off.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from tqdm import tqdm

import draggan
from benchmarks import edits
from benchmarks.cases import Case, read_cases
from benchmarks.detector import Detector, missed
from benchmarks.engines import ENGINES
from benchmarks.make_renders import code, render
from benchmarks.networks import random_generator
from draggan.geometry import DragPair
from draggan.inversion.invert import InversionConfig, invert
from draggan.inversion.likeness import psnr
from draggan.inversion.perceptual import lpips
from draggan.inversion.picture import read_picture, to_tensor
from draggan.inversion.survey import BATCH, piece_of
from draggan.inversion.tuning import tune
from draggan.stylegan2.delta import changed
from draggan.stylegan2.distribution import Distribution
from draggan.stylegan2.generator import Generator

PARTS = ("jittered", "renders", "drags", "steps")
RENDERS = Path(__file__).parent / "renders"
JITTER = 0.35  # standard deviations of w
FIRST_SEED = 90000  # of the jittered codes
MAX_STEPS = 200  # of a drag
OTHERS = (80000, 80001, 80002, 80003)  # seeds of pictures that a tuning should leave as they are
Row = dict[str, float]
Task = tuple[str, Callable[[], Row]]  # the name of what is measured, and how


@dataclass(frozen=True, eq=False)
class Bench:
    """What every part needs."""

    generator: Generator
    detect: Detector

    def inverted(self, picture: Tensor) -> tuple[Tensor, Row]:
        begun, busy = time.perf_counter(), time.process_time()
        *_, last = invert(self.generator, picture)
        row = {"seconds": time.perf_counter() - begun, "CPU seconds": time.process_time() - busy, "PSNR": last.psnr()}
        return last.latent, row | _perceived("LPIPS", last.image(), picture)

    def tuned(self, latent: Tensor, picture: Tensor) -> tuple[Generator, Row]:
        begun, busy = time.perf_counter(), time.process_time()
        *_, last = tune(self.generator, latent, picture)
        seconds, busy = time.perf_counter() - begun, time.process_time() - busy
        tuned = changed(self.generator, last.delta())
        others = torch.cat([self.generator.latent(seed, 0.7) for seed in OTHERS])
        return tuned, {
            "PSNR tuned": psnr(tuned.render(latent), picture),
            "PSNR of others": psnr(tuned.render(others), self.generator.render(others)),
            "delta MB": last.delta().nbytes / 1e6,
            "tuning seconds": seconds,
            "tuning CPU seconds": busy,
            **_perceived("LPIPS tuned", tuned.render(latent), picture),
        }


def _perceived(name: str, image: Tensor, picture: Tensor) -> Row:
    """LPIPS of two pictures under a name; nothing where it cannot be measured here."""
    found = lpips(image, picture)
    return {} if found is None else {name: found}


def jittered(bench: Bench, seed: int) -> Row:
    """A picture of the model's own, whose layers differ by a random part of the deviation of w."""
    spread = bench.generator.known(Distribution).deviation
    noise = torch.randn(bench.generator.num_ws, len(spread), generator=torch.Generator().manual_seed(seed))
    latent = bench.generator.latent(seed) + JITTER * spread.float() * noise
    _, row = bench.inverted(bench.generator.render(latent))
    return row


def rendered(bench: Bench, path: Path) -> Row:
    """A picture that the model did not make."""
    picture = to_tensor(read_picture(path).pixels)
    latent, row = bench.inverted(picture)
    _, more = bench.tuned(latent, picture)
    return row | more | {"gain": more["PSNR tuned"] - row["PSNR"]}


def dragged(bench: Bench, case: Case) -> Row:
    """A drag on the model's own picture, and the same on a render of the same scene that was inverted and tuned; from
    there back as on the page, where the targets are put back to where the handles were and the drag goes on."""
    picture = to_tensor(render(code(case.seed)))
    latent, row = bench.inverted(picture)
    tuned, more = bench.tuned(latent, picture)
    figures = {"PSNR": row["PSNR"], "PSNR tuned": more["PSNR tuned"]}
    ways = [DragPair(pair.handle, pair.handle) for pair in case.pairs]
    for name, engine in ENGINES.items():
        *_, own = engine(bench.generator, bench.generator.latent(case.seed), case.pairs, None, MAX_STEPS)
        *_, there = engine(tuned, latent, case.pairs, None, MAX_STEPS)
        *_, back = engine(tuned, there.latent, ways, None, MAX_STEPS, there.state)
        figures |= {
            f"own, {name}": missed(bench.detect(own.image().cpu()), case),
            f"inverted, {name}": missed(bench.detect(there.image().cpu()), case),
            f"PSNR there and back, {name}": psnr(back.image(), picture),
        }
    return figures


def stepped(resolution: int) -> Row:
    """What each kind of step costs on a config-f network with random weights."""
    generator = random_generator(resolution)
    picture = generator.render(generator.latent(1)).clamp(-1, 1)
    config = InversionConfig(samples=2 * BATCH, candidates=6, refinements=3, steps=4)
    begun, row, last = time.perf_counter(), {}, None
    for last in invert(generator, picture, config):
        now = time.perf_counter()
        row[last.stage], begun = now - begun, now  # the last of each kind counts
    assert last is not None, "an inversion yields at least one step"
    steps = tune(generator, last.latent, picture)
    next(steps)
    next(steps)
    begun = time.perf_counter()
    next(steps)
    row["tune"] = time.perf_counter() - begun
    return row | {"MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}


def tasks(part: str, bench: Bench, n: int | None) -> list[Task]:
    """What a part measures. n: how many, of drags of each kind."""
    if part == "jittered":
        return [(str(seed), partial(jittered, bench, seed)) for seed in range(FIRST_SEED, FIRST_SEED + (n or 50))]
    if part == "renders":
        return [(path.name, partial(rendered, bench, path)) for path in sorted(RENDERS.glob("*.webp"))[:n]]
    if part == "steps":
        return [("512", partial(stepped, 512))]
    cases = read_cases()
    few = [case for kind in dict.fromkeys(c.kind for c in cases) for case in [c for c in cases if c.kind == kind][:n]]
    return [(f"{case.kind} {case.seed}", partial(dragged, bench, case)) for case in few]


def run(
    part: str, todo: Sequence[tuple[str, Callable[[], Row]]], kept: edits.Kept, file: Path | None
) -> Iterator[None]:
    """Measures what is not kept yet."""
    for name, measure in todo:
        key = (part, "invert", name)
        if key not in kept:
            kept[key] = measure()
            if file:
                with file.open("a") as out:
                    out.write(json.dumps({"part": part, "engine": "invert", "name": name, "figures": kept[key]}) + "\n")
        yield


def table(part: str, names: Sequence[str], kept: edits.Kept) -> str:
    """Of each figure the median, the least and the most."""
    rows = [kept[part, "invert", name] for name in names]
    lines = ["| figure | pictures | median | mean | least | most |", "|---|---|---|---|---|---|"]
    for figure in dict.fromkeys(figure for row in rows for figure in row):
        values = [row[figure] for row in rows if figure in row]
        mean = sum(values) / len(values)
        lines.append(
            f"| {figure} | {len(values)} | {median(values):.2f} | {mean:.2f} | {min(values):.2f} | {max(values):.2f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.invert", description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--n", type=int, help="pictures, or drags of each kind (default: all)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="keep every figure in this file, and go on from it")
    args = parser.parse_args(arguments)
    generator = draggan.load("plush-256", args.device)
    begun = time.process_time()
    if set(args.parts) != {"steps"}:
        for piece in range(InversionConfig().samples // BATCH):
            generator.known(piece_of, piece)
        print(f"survey of the model, once: {time.process_time() - begun:.1f} CPU seconds")
    bench = Bench(generator, Detector())
    kept = edits.read(args.json)
    for part in args.parts:
        todo = tasks(part, bench, args.n)
        for _ in tqdm(run(part, todo, kept, args.json), total=len(todo), unit="picture", desc=part, disable=None):
            pass
        print(f"\n## {part}\n\n{table(part, [name for name, _ in todo], kept)}")


if __name__ == "__main__":
    main()
