"""A whole drag with its frames shown, beside the same with the whole network: `python -m benchmarks.whole_drag`.

Frames are drawn and encoded when the page makes them, at most 15 times a second and in at most a third of the time, and
the last one always; all of them whole, where the page shows coarser ones while they take long. The baseline shows the
picture of every step, which it has at no further cost; it takes fewer steps, in turn with the drag's own, and stands
for as many as the drag took.
"""

import argparse
import subprocess
import sys
import time
from collections import deque
from statistics import median

import draggan
from benchmarks.step import Row, baseline, network, spread_pairs
from draggan.engine.engines import ENGINES, PAPER
from draggan.precision import in_precision, precision_of
from draggan.render import encode, to_picture

FRAME_SECONDS = 1 / 15
AS_THE_COMMAND_LINE = (
    "from draggan.memory import keep_freed_memory; keep_freed_memory(); "
    "from draggan.threads import use_free_cores; use_free_cores(); from benchmarks.whole_drag import measure; measure()"
)


def run(generator, engine: str, points: int, steps: int) -> tuple[float, float, int, int]:
    """Seconds of the drag with its frames, and until the first frame that moved; the numbers of frames and steps."""
    config = ENGINES[engine].settings(max_steps=steps, tolerance=1e-6)
    began, drawing, drawn, frames, first = time.perf_counter(), 0.0, float("-inf"), 0, 0.0
    taken = 0
    for step in draggan.drag(generator, generator.latent(1), spread_pairs(generator, points), config=config):
        taken = step.index
        now = time.perf_counter()
        if step.index and (step.last or now - drawn >= max(FRAME_SECONDS, 2 * drawing)):
            encode(to_picture(step.image()), lossless=False)
            drawn, frames = time.perf_counter(), frames + 1
            drawing, first = drawn - now, first or drawn - began
    return time.perf_counter() - began, first, frames, taken


def measure() -> None:
    args = _parsed()
    generator = in_precision(network(args.network).to(args.device), args.precision)
    row = Row(args.engine, args.network, args.points, False, args.device, "fp32", 1, 0, args.rounds)
    began = time.perf_counter()
    deque(ENGINES[args.engine].module().prepare(generator), maxlen=0)
    prepared = time.perf_counter() - began
    run(generator, args.engine, args.points, 3)
    ours, whole = [], []
    with baseline(row) as step_whole:
        for _ in range(args.rounds):
            ours.append(run(generator, args.engine, args.points, args.steps))
            whole.append(ours[-1][-1] * step_whole())
    ratio = median(theirs / mine for theirs, (mine, *_) in zip(whole, ours, strict=True))
    seconds, first, frames, steps = (median(column) for column in zip(*ours, strict=True))
    print(
        "| network | engine | precision | points | prepared in, s | steps | seconds | first frame, s | frames "
        "| whole network, s | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    print(
        f"| {args.network} | {args.engine} | {precision_of(generator)} | {args.points} | {prepared:.1f} | {steps:.0f} "
        f"| {seconds:.1f} | {first:.2f} | {frames:.0f} | {median(whole):.0f} | {ratio:.0f} |"
    )


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_drag", description=__doc__.partition("\n")[0])
    parser.add_argument("--network", default="512")
    parser.add_argument("--engine", choices=ENGINES, default=PAPER)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--points", type=int, default=1)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3, help="drags, and steps with the whole network")
    return parser.parse_args()


if __name__ == "__main__":
    _parsed()
    subprocess.run([sys.executable, "-c", AS_THE_COMMAND_LINE, *sys.argv[1:]], check=True)
