"""The convolutions of small maps, as the library takes them and as one matrix: `python -m benchmarks.convolution`.

Forward and gradient of the input, 512 channels, one square map, one thread; up to `SMALL` cells, or `SMALL_UP`, the
drag takes the matrix where the weight is large. Both ways in turn, the least processor time of several, so that it
holds on a busy machine.
"""

import argparse
import time
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from draggan.precision import TYPES
from draggan.stylegan2 import convolution
from draggan.stylegan2.convolution import SMALL, SMALL_UP, arranged, conv3x3, conv_transpose3x3

SIDES = (4, 6, 8, 10, 12, 16, 20, 24, 28, 32, 48, 64)
WAYS = {"library": 0, "matrix": 10**9}  # cells below which the matrix is taken


def rounds(side: int, dtype: torch.dtype, up: bool, channels: int, repeats: int) -> dict[str, float]:
    """Milliseconds of each way."""
    weight = arranged(torch.randn(channels, channels, 3, 3).to(dtype), up)
    x = torch.randn(1, channels, side, side).to(memory_format=torch.channels_last).requires_grad_()

    def both() -> None:
        y = conv_transpose3x3(x, weight, crop=0) if up else conv3x3(x, weight, padding=1)
        torch.autograd.grad(y, x, y.detach())

    convolution.LARGE = 0
    best = dict.fromkeys(WAYS, float("inf"))
    for _ in range(repeats + 1):
        for way, small in WAYS.items():
            convolution.SMALL = convolution.SMALL_UP = small
            best[way] = min(best[way], 1e3 * seconds(both))
    return best


def seconds(work: Callable[[], Tensor | None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convolution", description=__doc__.partition("\n")[0])
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--precision", nargs="+", choices=TYPES, default=["fp32", "bf16"])
    args = parser.parse_args()
    torch.set_num_threads(1)  # others would be counted while they wait
    print(f"one thread, torch {torch.__version__}; matrix up to {SMALL} and {SMALL_UP} cells")
    print("| precision | layer | cells | library, ms | matrix, ms |\n|---|---|---|---|---|")
    for name, up, side in product(args.precision, (False, True), SIDES):
        best = rounds(side, TYPES[name], up, args.channels, args.repeats)
        layer = "doubling" if up else "same size"
        print(f"| {name} | {layer} | {side * side} | {best['library']:.1f} | {best['matrix']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
