"""How well engines edit: `python -m benchmarks.edits`.

Several engines side by side on the same drags; one table a part. What each part and column means is in README.md.
With `--json FILE` every figure is kept, one line a drag, and a run that was cut off goes on from there.
"""

import argparse
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import torch
from tqdm import tqdm

import draggan
from benchmarks import parts
from benchmarks.cases import DRAGS, Case, few, read_cases
from benchmarks.detector import Detector
from benchmarks.engines import ENGINES, Engine, named
from benchmarks.frechet import frechet
from benchmarks.parts import Bench, Row, Task

EMBEDDED = "plush-256"  # its scenes are known
PARTS = ("known", "faces", "pairs", "back", "mask")
Kept = dict[tuple[str, str, str], Row]  # part, engine, name of the task -> its figures


def tasks(
    part: str,
    bench: Bench,
    cases: Sequence[Case],
    n: int | None,
    seed: int,
    max_steps: int | None,
    flows: Path | None = None,
) -> list[Task]:
    """The drags of a part. n: how many of each kind, or pairs of pictures; None: all, or 200."""
    steps = {} if max_steps is None else {"max_steps": max_steps}
    make = {"known": parts.known, "back": parts.back, "mask": parts.mask}
    if part in make:
        return list(make[part](bench, few(cases, n), **steps))
    if part == "faces":
        return list(parts.faces(bench, n or 200, seed, **steps))
    return list(parts.pairs(bench, n or 200, seed, flows=flows, **steps))


def run(todo: Sequence[Task], engines: Mapping[str, Engine], kept: Kept, file: Path | None) -> Iterator[None]:
    """Measures what is not kept yet, task by task with every engine, so that a part of a run compares them too."""
    for task in todo:
        for engine, drag in engines.items():
            key = (task.part, engine, task.name)
            if key not in kept:
                kept[key] = task.run(drag)
                if file:
                    line = {"part": task.part, "engine": engine, "name": task.name, "figures": kept[key]}
                    with file.open("a") as out:
                        out.write(json.dumps(line) + "\n")
            yield


def read(file: Path | None) -> Kept:
    """The figures of a run so far; a last line that was cut off counts as not there."""
    if file is None or not file.exists():
        return {}
    text = file.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole)
    rows = map(json.loads, whole.splitlines())
    return {(row["part"], row["engine"], row["name"]): row["figures"] for row in rows}


def table(todo: Sequence[Task], engines: Sequence[str], kept: Kept) -> str:
    """The mean of each figure, a line for each kind and engine; figures that a drag does not have do not count."""
    names = dict.fromkeys(name for t in todo for e in engines for name in kept[t.part, e, t.name])
    columns = [name for name in names if not name.startswith("features")]
    far = ["Frechet"] if "features" in names else []
    kinds = list(dict.fromkeys(task.kind for task in todo))
    lines = [f"| kind | engine | drags | {' | '.join(columns + far)} |", "|---" * (len(columns + far) + 3) + "|"]
    for kind in [*kinds, *(["all"] if len(kinds) > 1 else [])]:
        for engine in engines:
            rows = [kept[t.part, engine, t.name] for t in todo if kind in ("all", t.kind)]
            cells = [_mean([row[name] for row in rows if name in row]) for name in columns]
            cells += [_frechet([row for row in rows if "features" in row]) for _ in far]
            lines.append(f"| {kind} | {engine} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _frechet(rows: Sequence[Row]) -> str:
    """Between the pictures before and after; nothing of fewer than two."""
    if len(rows) < 2:
        return ""
    before, after = (torch.tensor([row[name] for row in rows]) for name in ("features before", "features"))
    return f"{frechet(before, after):.3f}"


def _mean(figures: Sequence[float]) -> str:
    if not figures:
        return ""
    mean = fmean(figures)
    return f"{mean:.2f}" if abs(mean) >= 0.1 or mean == 0 else f"{mean:.4f}"


def _detector(name: str | None) -> parts.Detect:
    if name is None:
        return Detector()
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits", description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["known"])
    parser.add_argument(
        "--engines", nargs="+", default=list(ENGINES), help=f"of {', '.join(ENGINES)}; or NAME:SETTING=VALUE,.."
    )
    parser.add_argument(
        "--drags", type=Path, default=DRAGS, help="file of drags with known answers, or of FreeDragBench (.jsonl)"
    )
    parser.add_argument("--n", type=int, help="drags of each kind, or pairs of pictures (default: all, or 200)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed of the pictures of faces and pairs")
    parser.add_argument("--max-steps", type=int, help="of a drag (default: the part's)")
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--detector", help="module:function, picture in [-1, 1] -> (N, K, 2) pixels")
    parser.add_argument("--flows", type=Path, metavar="FOLDER", help="optical flows for the part pairs: see README.md")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32", help="of the drag's convolutions: auto, fp32, bf16, fp16, tf32")
    parser.add_argument("--json", type=Path, help="keep every figure in this file, and go on from it")
    args = parser.parse_args(arguments)
    try:
        engines = {text: named(text) for text in args.engines}
    except ValueError as error:
        parser.error(str(error))
    if "pairs" in args.parts and args.flows is None and args.model != EMBEDDED:
        parser.error(f"of {args.model} no correspondence is known: give --flows FOLDER")
    generator = draggan.load(args.model, args.device, precision=args.precision)
    bench = Bench(generator, _detector(args.detector))
    kept = read(args.json)
    for part in args.parts:
        todo = tasks(part, bench, read_cases(args.drags), args.n, args.seed, args.max_steps, args.flows)
        total = len(todo) * len(engines)
        for _ in tqdm(run(todo, engines, kept, args.json), total=total, unit="drag", desc=part, disable=None):
            pass
        print(f"\n## {part}\n\n{table(todo, list(engines), kept)}")


if __name__ == "__main__":
    main()
