"""How near a drag brings the landmarks: `python -m benchmarks.landmarks`.

The 60 drags of drags.json on the embedded model, each with the code that is its exact answer; the distance of the
dragged landmarks to their targets is measured by a detector, not by the engine's own tracking.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch
from tqdm import tqdm

import draggan
from benchmarks.cases import Case, few, read_cases
from benchmarks.detector import Detector, missed
from draggan.stylegan2.generator import Generator

ARRIVED = 1.5  # pixels within which every tracked handle must be


@dataclass(frozen=True)
class Outcome:
    """What came of one drag; distances in pixels, the mean over its landmarks, by the detector."""

    kind: str
    before: float
    after: float
    floor: float  # of the exact answer's own picture
    arrived: bool
    steps: int
    mse_before: float  # to the answer's picture, in [-1, 1]
    mse_after: float


def run(generator: Generator, cases: Sequence[Case], config: draggan.DragConfig) -> Iterator[Outcome]:
    detect = Detector()
    for case in cases:
        latent = generator.latent(case.seed)
        answer = generator.render(generator.map(torch.tensor([case.target_z], dtype=torch.float64))).cpu()
        start = generator.render(latent).cpu()
        *_, last = draggan.drag(generator, latent, case.pairs, config=config)
        end = last.image().cpu()
        yield Outcome(
            kind=case.kind,
            before=missed(detect(start), case),
            after=missed(detect(end), case),
            floor=missed(detect(answer), case),
            arrived=max(last.distances) <= ARRIVED,
            steps=last.index,
            mse_before=(start - answer).square().mean().item(),
            mse_after=(end - answer).square().mean().item(),
        )


def table(outcomes: Sequence[Outcome]) -> str:
    kinds = list(dict.fromkeys(o.kind for o in outcomes))
    lines = [
        "| kind | drags | no edit | after | floor | arrived | steps | MSE before | MSE after |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in [*kinds, "all"]:
        rows = [o for o in outcomes if kind in ("all", o.kind)]
        mean = {name: fmean(float(asdict(o)[name]) for o in rows) for name in asdict(rows[0]) if name != "kind"}
        lines.append(
            f"| {kind} | {len(rows)} | {mean['before']:.2f} | {mean['after']:.2f} | {mean['floor']:.2f} "
            f"| {mean['arrived']:.2f} | {mean['steps']:.0f} | {mean['mse_before']:.4f} | {mean['mse_after']:.4f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.landmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32", help="of the drag's convolutions: auto, fp32, bf16, fp16, tf32")
    parser.add_argument("--max-steps", type=int, default=200)
    parser.add_argument("--kinds", nargs="*", help="only these kinds: pose, mouth, ears, face5, all8")
    parser.add_argument("--n", type=int, help="drags of each kind (default: all)")
    parser.add_argument("--json", type=Path, help="write every outcome to this file")
    args = parser.parse_args()
    cases = few([c for c in read_cases() if not args.kinds or c.kind in args.kinds], args.n)
    generator = draggan.load("plush-256", args.device, precision=args.precision)
    config = draggan.DragConfig(lr=2e-3, max_steps=args.max_steps, tolerance=1.0)
    outcomes = list(tqdm(run(generator, cases, config), total=len(cases), unit="drag"))
    if args.json:
        args.json.write_text(json.dumps([asdict(o) for o in outcomes], indent=1))
    print(table(outcomes))


if __name__ == "__main__":
    main()
