"""What a step costs where another process wants the cores: `python -m benchmarks.waiting`.

One process that drags, and two at once, with as many threads as there are cores, that wait as the command line tells
them to (asleep) or as torch's threads do by themselves (busy). All of them in turn, several times.
"""

import argparse
import os
import subprocess
import sys
import time
from statistics import median

from draggan.memory import keep_freed_memory

WAYS = {"busy": {}, "asleep": {"OMP_WAIT_POLICY": "passive"}}
COUNTS = (1, 2)


def together(count: int, way: str, seconds: float) -> float:
    """Milliseconds a step, the median over the steps of each process, and of those the mean."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")} | WAYS[way]
    command = [sys.executable, "-m", "benchmarks.waiting", "--drag", str(seconds)]
    running = [subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return sum(float(process.communicate()[0]) for process in running) / count


def drag(seconds: float) -> None:
    """One of the processes: drags for a while, and prints the milliseconds of a step."""
    keep_freed_memory()
    import draggan
    from benchmarks.step import spread_pairs

    generator = draggan.load("plush-256", "cpu")
    config = draggan.DragConfig(max_steps=10**6, tolerance=1e-6)
    steps = draggan.drag(generator, generator.latent(1), spread_pairs(generator, 1), config=config)
    for _ in range(3):
        next(steps)
    times, began = [], time.perf_counter()
    while (now := time.perf_counter()) - began < seconds:
        next(steps)
        times.append(1e3 * (time.perf_counter() - now))
    print(median(times))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="that each process drags for")
    parser.add_argument("--drag", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.drag:
        drag(args.drag)
        return
    cases = [(count, way) for count in COUNTS for way in WAYS]
    rounds = [{case: together(*case, args.seconds) for case in cases} for _ in range(args.rounds)]
    print(f"| processes | {' | '.join(f'waiting {way}, ms a step' for way in WAYS)} |\n|---|---|---|")
    for count in COUNTS:
        print(f"| {count} | {' | '.join(f'{median(taken[count, way] for taken in rounds):.0f}' for way in WAYS)} |")


if __name__ == "__main__":
    main()
