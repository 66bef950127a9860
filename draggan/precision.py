"""The type in which a drag's convolutions multiply. Everything else, and every picture, is computed in the usual one.

A lower type is taken only where this machine multiplies faster in it, which is measured: what a processor names among
its features says little.
"""

import time
from collections.abc import Callable
from typing import Any, Literal

import torch

from draggan.require import require_choice
from draggan.stylegan2.convolution import conv3x3
from draggan.stylegan2.generator import Generator
from draggan.stylegan2.tf32 import convolve_in_tf32, in_tf32

Precision = Literal["auto", "fp32", "bf16", "fp16", "tf32"]
DragPrecision = Literal["auto", "fp32", "bf16", "fp16"]  # what one drag may choose: tf32 is a switch of all
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CELLS = 10  # of the side of the window that is measured: what one handle needs
GAIN = 1.2  # how much faster it must be
REPEATS = 5


def check_drag_precision(precision: Any) -> DragPrecision:
    require_choice("precision", precision, DragPrecision)
    return precision


def in_precision(generator: Generator, precision: Precision) -> Generator:
    """The generator with its drags in a precision.

    "auto" takes bf16 where a CPU is faster in it, and on an NVIDIA GPU tf32, as torch does. That bf16 is as good, and
    fp16 no better: the tables of `benchmarks.landmarks` and `benchmarks.edits` by `--precision`. tf32 is a switch of
    the whole process: pictures are then made in it too. Raises ValueError for an unknown name, or tf32 on another
    device.
    """
    require_choice("precision", precision, Precision)
    on_gpu = generator.device.type == "cuda"
    if precision == "tf32" and not on_gpu:
        raise ValueError(f"precision tf32 is one of NVIDIA GPUs, not of {generator.device}: use auto, fp32 or bf16")
    if on_gpu:
        convolve_in_tf32(precision in ("auto", "tf32"))
    if precision in TYPES:
        return generator.dragging_in(TYPES[precision])
    pays = precision == "auto" and generator.device.type == "cpu" and _pays(generator, torch.bfloat16)
    return generator.dragging_in(torch.bfloat16) if pays else generator


def for_drag(generator: Generator, precision: DragPrecision) -> Generator:
    """The generator for one drag in a precision of its own; "auto" takes that which the generator has.

    Raises ValueError for another name.
    """
    check_drag_precision(precision)
    return generator if precision == "auto" else generator.dragging_in(TYPES[precision])


def precision_of(generator: Generator) -> str:
    """The name of the precision that its drags have now."""
    dtype = generator.multiplies_in
    if dtype == torch.float32 and generator.device.type == "cuda" and in_tf32()[0]:
        return "tf32"
    return next((name for name, each in TYPES.items() if each == dtype), "fp32")


def _pays(generator: Generator, dtype: torch.dtype) -> bool:
    """Whether the generator's heaviest convolution is faster in a type than in its own, forward and backward."""
    weight = max((block.conv1.weight for block in generator.synthesis.blocks()), key=torch.Tensor.numel)
    x = torch.ones(1, weight.shape[1], CELLS + 2, CELLS + 2, dtype=generator.dtype, requires_grad=True)
    low = weight.to(dtype)

    def work(weight: torch.Tensor) -> Callable[[], object]:
        return lambda: torch.autograd.grad(conv3x3(x, weight, padding=0).sum(), x)

    usual, lower = work(weight), work(low)
    times = [(_seconds(usual), _seconds(lower)) for _ in range(REPEATS)]
    return min(a for a, _ in times) > GAIN * min(b for _, b in times)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
