"""Small operations of the processor, done by one thread.

To wake another thread takes as long as an operation on some ten thousand numbers, and windows around a few handles are
no larger. Inside `alone` the thread that is there does all of it, but for what is `shared`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import torch
from threadpoolctl import LibController, ThreadpoolController
from torch import Tensor
from torch.autograd.function import once_differentiable

from draggan.stylegan2.slopes import derived

ALONE_ON = ("cpu",)  # types of devices whose operations wake threads
_COUNTS: ContextVar[list[int] | None] = ContextVar("how many threads there are outside `alone`", default=None)


@contextmanager
def alone() -> Iterator[None]:
    """Inside, operations that this thread asks for wake no others. What other threads ask for is not affected."""
    counts = [runtime.num_threads or 1 for runtime in _runtimes()]
    before = _COUNTS.set(counts)
    _use([1] * len(counts))
    try:
        yield
    finally:
        _use(counts)
        _COUNTS.reset(before)


@contextmanager
def shared() -> Iterator[None]:
    """Inside, also inside `alone`, there are as many threads as outside of it."""
    counts = _COUNTS.get()
    if counts is None:
        yield
        return
    _use(counts)
    try:
        yield
    finally:
        _use([1] * len(counts))


def run(function: Callable[..., tuple[Tensor, ...]], *given: Tensor) -> tuple[Tensor, ...]:
    """function(*given), done alone, as are the gradients by `given`, where they are switched on."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in given):
        return _Alone.apply(function, *given)  # type: ignore[return-value]
    with alone():
        return function(*given)


class _Alone(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function: Callable[..., tuple[Tensor, ...]], *given: Tensor) -> tuple[Tensor, ...]:
        ctx.given = [t.detach().requires_grad_(t.requires_grad) for t in given]
        with alone(), torch.enable_grad():
            ctx.found = function(*ctx.given)
        return tuple(t.detach() for t in ctx.found)

    @staticmethod
    @once_differentiable
    def backward(ctx, *slopes: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        by = [t for t in ctx.given if t.requires_grad]
        with alone(), torch.inference_mode(False), torch.enable_grad():
            slopes = tuple(slope.clone() for slope in slopes)  # which may be the caller's of inference
            gradients = iter(derived(ctx.found, slopes, by))
        return (None, *(next(gradients) if t.requires_grad else None for t in ctx.given))


@lru_cache(maxsize=1)
def _runtimes() -> list[LibController]:
    """The OpenMP libraries of this process, whose numbers of threads each thread has for itself."""
    return ThreadpoolController().select(user_api="openmp").lib_controllers


def _use(counts: list[int]) -> None:
    for runtime, count in zip(_runtimes(), counts, strict=True):
        runtime.set_num_threads(count)
