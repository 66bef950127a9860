"""What a drag step costs: `python -m benchmarks.step`.

Each row runs in a process of its own: the engine's steps, and in turn with them, in another process, the same steps
taken with the whole network as the published applications take them, so that their ratio holds on a machine whose
speed varies. With `--sessions 1 2 4` a second table: what it costs when that many drag at once, one after the other
and together as they do on the page.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count, product
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from tqdm import tqdm

import draggan
from benchmarks.networks import random_generator
from benchmarks.whole_network import WholeNetworkDrag
from draggan.engine import course, kinematics, paper
from draggan.engine.course import Course, together
from draggan.engine.engines import ENGINES, PAPER, engine_of
from draggan.engine.fixed import FixedRows
from draggan.engine.mask import Held
from draggan.engine.steps import DragStep
from draggan.precision import in_precision
from draggan.stylegan2 import recordings
from draggan.stylegan2.generator import Generator
from draggan.stylegan2.layers import SynthesisLayer
from draggan.threads import free_cores

PARTS = ("features", "tracking", "supervision", "mask", "backward")
AS_THE_COMMAND_LINE = (  # which tells malloc and the threads first of all
    "from draggan.memory import keep_freed_memory; keep_freed_memory(); "
    "from draggan.threads import use_free_cores; use_free_cores(); from benchmarks.step import main; main()"
)
NETWORKS = ("plush-256", "256", "512", "1024")


@dataclass(frozen=True)
class Row:
    """One case."""

    engine: str
    network: str  # a model, or the resolution of a config-f network with random weights
    points: int
    mask: bool
    device: str
    precision: str
    sessions: int  # drags that go on at once
    steps: int  # of the engine that are timed
    baseline: int  # steps with the whole network, each after its share of the engine's
    recorded: bool = True  # on a GPU, whether operations are recorded, or asked for one by one


@dataclass(frozen=True)
class Cost:
    """Milliseconds are medians over the steps."""

    row: Row
    step: float  # with several sessions, one of each, together
    in_turns: float  # the same one after the other; 0 for one session
    parts: dict[str, float]  # of a step
    display: float  # the picture of a step
    whole_network: float  # the same step with the whole network
    ratio: float  # whole_network / step, the median of neighbouring pairs
    bare: float  # the trunk's convolutions alone on whole maps, forward and input gradient
    memory: float  # MB resident at most, of the engine alone; on a GPU that its tensors and recordings take there
    faults: float  # minor page faults a step
    beginning: float  # the slowest of the first steps, in which what a network needs once is worked out


def measure(row: Row) -> Cost:
    if not row.recorded:
        recordings.RECORDED_ON = ()
    generator = in_precision(network(row.network).to(row.device), row.precision)
    drags = [_endless(generator, row, first) for first in range(1, 1 + row.sessions)]

    def step() -> float:
        return _seconds(lambda: _stepped(generator, drags))

    def turn() -> float:
        return sum(_seconds(lambda drag=drag: _stepped(generator, [drag])) for drag in drags)

    beginning = max(step() for _ in range(4))
    times, taken, turns, faults = [], [], [], 0
    for _ in range(row.steps):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        times.append(step())
        faults += resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        if row.sessions > 1:
            turns.append(turn())
    with _timed(generator) as parts:  # which waits after each of them
        for _ in range(max(3, row.steps // 3)):
            parts.clear()
            step()
            taken.append(dict(parts))
    displays = [_seconds(_stepped(generator, drags[:1]).image) for _ in range(3)]
    memory = _memory(generator)
    whole, ratios = [], []
    if row.baseline:
        with baseline(row) as step_whole:
            share = max(3, row.steps // row.baseline)
            for _ in range(row.baseline):
                ours = median(step() for _ in range(share))
                whole.append(step_whole())
                ratios.append(whole[-1] / ours)
    return Cost(
        row,
        1e3 * median(times),
        1e3 * median(turns) if turns else 0.0,
        {name: 1e3 * median(each.get(name, 0.0) for each in taken) for name in PARTS},
        1e3 * median(displays),
        1e3 * median(whole) if whole else 0.0,
        median(ratios) if ratios else 0.0,
        1e3 * _bare(generator),
        memory,
        faults / row.steps,
        1e3 * beginning,
    )


def _memory(generator: Generator) -> float:
    """MB at most so far."""
    if generator.device.type == "cuda":
        return torch.cuda.max_memory_reserved() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _endless(generator: Generator, row: Row, first: int) -> Course[DragStep]:
    """The course of a drag, and where it ends, of the drag of another picture."""
    mask = _mask(generator) if row.mask else None
    engine = engine_of(row.engine)
    config = engine.settings(max_steps=10**6, tolerance=1e-6)
    for seed in count(first, row.sessions):
        latent, pairs = generator.latent(seed), spread_pairs(generator, row.points)
        yield from engine.module().course(generator, latent, pairs, mask, config)


def _stepped(generator: Generator, drags: list[Course[DragStep]]) -> DragStep:
    """Each drag a step on, together. -> the last of the steps"""
    steps = [found.result() for _, found in together(drags)]
    _wait(generator)
    assert steps[-1] is not None, "these drags do not end"
    return steps[-1]


@contextmanager
def baseline(row: Row) -> Iterator[Callable[[], float]]:
    """Takes a step with the whole network, in a process of its own with malloc as it is, and tells its seconds."""
    command = [sys.executable, "-m", "benchmarks.step", "--baseline-of", json.dumps(asdict(row))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def step() -> float:
            process.stdin.write("step\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        step()
        yield step
        process.stdin.close()


def serve_baseline(row: Row) -> None:
    """The other end of `baseline`."""
    generator = network(row.network).to(row.device)
    mask = _mask(generator) if row.mask else None
    whole = WholeNetworkDrag(generator, generator.latent(1).to(row.device), spread_pairs(generator, row.points), mask)
    for _ in sys.stdin:
        print(_seconds(whole.step), flush=True)


@contextmanager
def _timed(generator: Generator) -> Iterator[dict[str, float]]:
    """The seconds that the parts of steps take while it is open, added up."""
    parts: dict[str, float] = defaultdict(float)
    places = [(course, "seen", "features"), (course, "_derivatives", "backward")]
    places += [(Held, "estimate", "mask"), (FixedRows, "at", "mask")]
    if generator.steady:  # tracking and supervision are recorded as one
        places += [(paper, "recorded", "tracking"), (kinematics, "recorded", "tracking")]
    else:
        places += [(paper, "track", "tracking"), (kinematics, "locate", "tracking")]
        places += [(paper, "motion_supervision", "supervision")]
    before = [(owner, name, getattr(owner, name), part) for owner, name, part in places]

    def timing(function: Callable, part: str) -> Callable:
        def timed(*args, **kwargs):
            began = time.perf_counter()
            result = function(*args, **kwargs)
            _wait(generator)
            parts[part] += time.perf_counter() - began
            return result

        return timed

    for owner, name, function, part in before:
        setattr(owner, name, timing(function, part))
    try:
        yield parts
    finally:
        for owner, name, function, _ in before:
            setattr(owner, name, function)


def _bare(generator: Generator) -> float:
    """Seconds of the bare convolutions up to the 128 x 128 block, forward and gradient of the input."""
    layers = []
    for block, resolution in zip(generator.synthesis.blocks(), generator.config.resolutions, strict=True):
        if resolution > 128:
            break
        for layer in filter(None, (block.conv0, block.conv1)):
            cells = resolution // 2 if layer.up else resolution
            x = torch.randn(1, layer.weight.shape[1], cells, cells, device=generator.device)
            layers.append((layer, x.contiguous(memory_format=torch.channels_last).requires_grad_()))

    def both() -> None:
        for layer, x in layers:
            y = _convolved(layer, x)
            torch.autograd.grad(y, x, y.detach())
        _wait(generator)

    both()
    return median(_seconds(both) for _ in range(3))


def _convolved(layer: SynthesisLayer, x: Tensor) -> Tensor:
    if layer.up:
        return torch.conv_transpose2d(x, layer.weight.transpose(0, 1), stride=2)
    return torch.conv2d(x, layer.weight, padding=1)


def network(name: str) -> Generator:
    return random_generator(int(name)) if name.isdigit() else draggan.load(name, "cpu")


def spread_pairs(generator: Generator, count: int) -> list[draggan.DragPair]:
    """Handles spread over the picture, none of which can arrive."""
    height, width = generator.image_size
    rng = torch.Generator().manual_seed(3)
    places = (torch.rand(count, 2, generator=rng) * 0.7 + 0.15).tolist()
    ends = [(1 - x, 1 - y) for x, y in places]
    point = lambda x, y: draggan.Point(round(x * width), round(y * height))  # noqa: E731
    return [draggan.DragPair(point(*a), point(*b)) for a, b in zip(places, ends, strict=True)]


def _mask(generator: Generator) -> Tensor:
    """The upper half may change."""
    mask = torch.zeros(generator.image_size)
    mask[: generator.config.height // 2] = 1
    return mask


def _seconds(work: Callable) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _wait(generator: Generator) -> None:
    if generator.device.type == "cuda" and not torch.cuda.is_current_stream_capturing():
        torch.cuda.synchronize()


def table(costs: list[Cost]) -> str:
    lines = [
        f"| engine | network | precision | points | mask | step ms | {' | '.join(PARTS)} | display "
        "| whole network | ratio | bare | MB | faults | beginning |",
        f"|---|---|---|---|---|{'---|' * (len(PARTS) + 8)}",
    ]
    for c in costs:
        what = (
            f"{c.row.engine} | {c.row.network} | {c.row.precision} | {c.row.points} | {'yes' if c.row.mask else 'no'}"
        )
        parts = " | ".join(f"{c.parts[name]:.1f}" for name in PARTS)
        whole = f"{c.whole_network:.0f} | {c.ratio:.1f}" if c.ratio else "- | -"
        lines.append(
            f"| {what} | {c.step:.1f} | {parts} | {c.display:.0f} | {whole} | {c.bare:.0f} | {c.memory:.0f} "
            f"| {c.faults:.0f} | {c.beginning:.0f} |"
        )
    return "\n".join(lines)


def table_of_sessions(costs: list[Cost]) -> str:
    """Milliseconds until each session has made a step, by how many drag at once, and MB resident at most."""
    counts = sorted({c.row.sessions for c in costs})
    found = {(c.row.engine, c.row.network, c.row.points, c.row.sessions): c for c in costs if not c.row.mask}

    def cells(cost: Cost) -> str:
        turns = f"{cost.in_turns:.1f} / " if cost.row.sessions > 1 else ""
        return f"{turns}{cost.step:.1f} | {cost.memory:.0f}"

    heads = [f"{n} in turns / together, ms | MB" if n > 1 else "1 session, ms | MB" for n in counts]
    lines = [f"| engine | network | points | {' | '.join(heads)} |", f"|---|---|---|{'---|---|' * len(counts)}"]
    for case in dict.fromkeys(key[:-1] for key in found):
        lines.append(f"| {' | '.join(map(str, case))} | {' | '.join(cells(found[(*case, n)]) for n in counts)} |")
    return "\n".join(lines)


def costs_of(rows: list[Row]) -> list[Cost]:
    costs = []
    for row in tqdm(rows, unit="row"):
        command = [sys.executable, "-c", AS_THE_COMMAND_LINE, "--row", json.dumps(asdict(row))]
        said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        costs.append(Cost(**(said | {"row": row})))
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__.partition("\n")[0])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=[PAPER])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--points", nargs="+", type=int, default=[1, 5, 68])
    parser.add_argument("--no-mask", action="store_true", help="leave out the rows with a mask")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--baseline", type=int, default=3, help="steps with the whole network; 0: none")
    parser.add_argument("--sessions", nargs="+", type=int, help="the second table: how many drag at once")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", nargs="+", default=["fp32"], help="of auto, fp32, bf16, fp16, tf32")
    parser.add_argument("--one-by-one", action="store_true", help="on a GPU, record nothing")
    parser.add_argument("--json", type=Path, help="write every cost to this file")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--baseline-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.baseline_of:
        serve_baseline(Row(**json.loads(args.baseline_of)))
        return
    if args.row:
        print(json.dumps(asdict(measure(Row(**json.loads(args.row))))))
        return
    cases = [(points, False) for points in args.points] + [(1, True)] * (not args.no_mask and not args.sessions)
    rows = []
    for name, (points, mask), precision, sessions, chosen in product(
        args.networks, cases, args.precision, args.sessions or [1], args.engines
    ):
        without = args.sessions or (name == "plush-256" and points > 5)
        whole = 0 if without else args.baseline
        row = Row(chosen, name, points, mask, args.device, precision, sessions, args.steps, whole, not args.one_by_one)
        rows.append(row)
    costs = costs_of(rows)
    if args.json:
        args.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=1))
    where = torch.cuda.get_device_name(args.device) if args.device.startswith("cuda") else f"{free_cores()} threads"
    print(f"{where}, torch {torch.__version__}")
    print(table_of_sessions(costs) if args.sessions else table(costs))


if __name__ == "__main__":
    main()
