"""The convolutions of small maps, as the library takes them and as matrices: `python -m benchmarks.convolution`.

Forward and gradient of the input, 512 channels, one or several square maps; each of several weights in turn, since in
a drag they come from memory, not from the processor's cache. Up to `SMALL` cells the drag takes matrices where the
weight is large. Both ways in turn, the least time of several; with one thread processor time, so that it holds on a
busy machine.
"""

import argparse
import time
from collections.abc import Callable
from itertools import product

import torch

from draggan.precision import TYPES
from draggan.stylegan2 import convolution
from draggan.stylegan2.convolution import SMALL, arranged, conv3x3, doubling3x3

MAPS = ((1, 4), (1, 8), (1, 9), (1, 12), (2, 9), (1, 16), (5, 8), (5, 9), (9, 9), (1, 32))  # how many, and their side
WEIGHTS = 6
WAYS = {"library": 0, "matrices": 10**9}  # cells up to which matrices are taken


def rounds(count: int, side: int, dtype: torch.dtype, up: bool, channels: int, repeats: int) -> dict[str, float]:
    """Milliseconds of each way."""
    weights = [arranged(torch.randn(channels, channels, 3, 3).to(dtype), up) for _ in range(WEIGHTS)]
    x = torch.randn(count, channels, side, side).to(memory_format=torch.channels_last).requires_grad_()

    def both() -> None:
        for weight in weights:
            y = doubling3x3(x, weight) if up else conv3x3(x, weight, padding=1)
            torch.autograd.grad(y, x, y.detach())

    convolution.LARGE = 0
    best = dict.fromkeys(WAYS, float("inf"))
    for _ in range(repeats + 1):
        for way, small in WAYS.items():
            convolution.SMALL = small
            best[way] = min(best[way], 1e3 * seconds(both) / WEIGHTS)
    return best


def seconds(work: Callable[[], None]) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    work()
    return clock() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convolution", description=__doc__.partition("\n")[0])
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", nargs="+", choices=TYPES, default=["fp32", "bf16"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{args.threads} threads, torch {torch.__version__}; matrices up to {SMALL} cells")
    print("| precision | layer | maps | cells | library, ms | matrices, ms |\n|---|---|---|---|---|---|")
    for name, up, (count, side) in product(args.precision, (False, True), MAPS):
        best = rounds(count, side, TYPES[name], up, args.channels, args.repeats)
        layer, cells = "doubling" if up else "same size", count * side * side
        times = f"{best['library']:.1f} | {best['matrices']:.1f}"
        print(f"| {name} | {layer} | {count} | {cells} | {times} |", flush=True)


if __name__ == "__main__":
    main()
