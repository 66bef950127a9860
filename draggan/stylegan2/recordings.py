"""Functions of tensors recorded as CUDA graphs, so that many small operations cost one launch and not one each.

A drag step is some hundreds of small operations; on a GPU asking for them takes longer than doing them. The
second call with tensors of some shapes records, forward and backward; from then on the recording is played. On other
devices functions are just called.
"""

import gc
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from threading import Lock
from typing import Any, Protocol
from weakref import WeakSet, ref

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from draggan.stylegan2.shortage import out_of_memory
from draggan.stylegan2.slopes import derived
from draggan.stylegan2.tf32 import in_tf32

RECORDED_ON = ("cuda",)  # types of devices
RECORDING = Lock()  # one at a time in a process, says torch
REELS: WeakSet["_Reel"] = WeakSet()  # all that there are, each with a stream of its own as far as there are streams
STREAMS = 32  # of a device: torch hands them out in turn
MOST = 96  # recordings that are kept of a network; beyond, all are made anew
PART = 4  # of a device's memory, one in so many: with more than that of it in recordings, likewise

Function = Callable[..., tuple[Tensor, ...]]


def records(device: torch.device) -> bool:
    """Whether what is done on a device is recorded."""
    return device.type in RECORDED_ON


def memory(device: torch.device) -> int:
    """Bytes that a device has."""
    return torch.cuda.get_device_properties(device).total_memory


class Recordings:
    """Those of one network. They read its tensors where these lay, so a network that moves forgets them."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Recording | None] = {}  # None: met once
        self._changing = Lock()
        self._reel: _Reel | None = None  # of those that are kept
        self._gone: list[ref[_Reel]] = []  # of others, whose memory is still to be given back

    def __reduce__(self) -> tuple:
        return Recordings, ()  # a copy of the network has tensors of its own

    def clear(self) -> None:
        with self._changing:
            self._forget()

    def _forget(self) -> None:
        if self._reel:
            self._gone.append(ref(self._reel))
        self._kept, self._reel = {}, None

    def run(self, function: Function, constants: tuple[Hashable, ...], *given: Tensor) -> tuple[Tensor, ...]:
        """function(*constants, *given), whose gradients reach `given` where they are switched on.

        The function must be one of a module, do the same operations whatever the values of `given`, and wait for none
        of them. What it reads besides must not change as long as the network stays where it is.
        """
        if not records(given[0].device):
            return function(*constants, *given)
        wanted = tuple(torch.is_grad_enabled() and t.requires_grad for t in given)
        shapes = tuple((t.shape, t.dtype) for t in given)
        named = tuple(ref(each) if isinstance(each, nn.Module) else each for each in constants)  # which may go
        key = function, named, shapes, wanted, given[0].device, in_tf32()
        with self._changing:
            known, recording = key in self._kept, self._kept.get(key)
            if known and recording is None:
                with torch.inference_mode(False):
                    recording = self._made(partial(function, *constants), given, wanted)
            if recording is None and len(self._kept) >= MOST:
                self._forget()
            self._kept[key] = recording
        if recording is None:  # libraries choose their algorithms in a first call, which cannot be recorded
            return function(*constants, *given)
        with torch.inference_mode(False):
            return _Played.apply(recording, *given)  # type: ignore[return-value]

    def _made(self, function: Function, given: tuple[Tensor, ...], wanted: tuple[bool, ...]) -> "Recording | None":
        """A recording; None where memory is used up: the others are given back, and the next call tries again."""
        if sum(each.bytes for each in self._kept.values() if each) > memory(given[0].device) / PART:
            self._forget()
        held = [each for each in self._gone if each()]  # by a step that is still to be derived from
        if len(held) < len(self._gone):
            self._gone = held
            _give_back()
        try:
            return self._recording(function, given, wanted)
        except RuntimeError as error:
            self._forget()
            if not out_of_memory(error):
                raise
        gc.collect()  # networks that are gone
        _give_back()
        return None

    def _recording(self, function: Function, given: tuple[Tensor, ...], wanted: tuple[bool, ...]) -> "Recording":
        with torch.cuda.device(given[0].device):
            self._reel = self._reel or _Reel()
            return _Graphs(function, given, wanted, self._reel)


class Recording(Protocol):
    """One function, for tensors of some shapes."""

    constant: tuple[bool, ...]  # which of its results have no gradients
    bytes: int  # that it takes

    def play(self, given: tuple[Tensor, ...]) -> tuple[int, tuple[Tensor, ...]]:
        """The number of this play, and what the function gives."""
        ...

    def derive(self, play: int, given: tuple[Tensor, ...], slopes: tuple[Tensor, ...]) -> list[Tensor | None]:
        """The gradients by what was given at a play, of what the function gave."""
        ...


class _Reel:
    """A stream, one for many recordings, since libraries keep a workspace for each, and all graphs recorded there.

    They go together, when the last of these recordings goes: torch 2.12 to 2.14 give the workspace away with any of
    them, though the others still write there (github.com/pytorch/pytorch/issues/193402).
    """

    def __init__(self) -> None:
        self._graphs = list[torch.cuda.CUDAGraph]()
        with RECORDING:
            taken = [reel.stream for reel in REELS]
            streams = [torch.cuda.Stream() for _ in range(STREAMS)]
            self.stream = next((stream for stream in streams if stream not in taken), streams[0])
            REELS.add(self)

    def graph(self) -> torch.cuda.CUDAGraph:
        self._graphs.append(torch.cuda.CUDAGraph())
        return self._graphs[-1]

    @contextmanager
    def here(self) -> Iterator[None]:
        """What is done inside is done on the stream, after all that came before and before all that comes after."""
        self.stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            torch.cuda.current_stream().wait_stream(self.stream)


class _Graphs:
    """As two CUDA graphs, whose memory is their own."""

    def __init__(self, function: Function, given: tuple[Tensor, ...], wanted: tuple[bool, ...], reel: _Reel) -> None:
        self._given = tuple(t.detach().clone().requires_grad_(w) for t, w in zip(given, wanted, strict=True))
        self._wanted, self._plays, self._playing = wanted, 0, Lock()
        self._reel, self._forward, self._backward = reel, reel.graph(), reel.graph()
        self._gradients: tuple[Tensor | None, ...] = ()
        with reel.here(), torch.set_grad_enabled(any(wanted)):
            if any(wanted):  # the first call need not have been derived from
                found = function(*self._given)
                self._derived(found, tuple(map(torch.zeros_like, found)))
            before = torch.cuda.memory_reserved()
            with _recorded(self._forward):
                found = function(*self._given)
            self._slopes = tuple(map(torch.zeros_like, found))
            if any(wanted):
                with _recorded(self._backward, self._forward.pool()):
                    self._gradients = self._derived(found, self._slopes)
            self.bytes = torch.cuda.memory_reserved() - before
        self.constant = tuple(not f.requires_grad for f in found)
        self._found = tuple(f.detach() for f in found)

    def play(self, given: tuple[Tensor, ...]) -> tuple[int, tuple[Tensor, ...]]:
        with self._playing, torch.cuda.device(self._given[0].device):
            self._play(given)
            return self._plays, tuple(f.clone() for f in self._found)

    def derive(self, play: int, given: tuple[Tensor, ...], slopes: tuple[Tensor, ...]) -> list[Tensor | None]:
        with self._playing, torch.cuda.device(self._given[0].device):
            if play != self._plays:  # it was played for others since
                self._play(given)
            _copied(self._slopes, slopes)
            self._backward.replay()
            found = (None if gradient is None else gradient.clone() for gradient in self._gradients)
            return [next(found) if wanted else None for wanted in self._wanted]

    def _play(self, given: tuple[Tensor, ...]) -> None:
        _copied(self._given, given)
        self._forward.replay()
        self._plays += 1

    def _derived(self, found: tuple[Tensor, ...], slopes: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
        """The gradients by what is given. They can be had again: the recording is played more than once."""
        return derived(found, slopes, tuple(t for t in self._given if t.requires_grad), allow_unused=True)


def _give_back() -> None:
    """The memory of graphs that are gone, which no others can use. Left to itself torch keeps it as long as it can."""
    with RECORDING:
        torch.cuda.empty_cache()


@contextmanager
def _recorded(graph: torch.cuda.CUDAGraph, pool: Any = None) -> Iterator[None]:
    """What is done inside goes into a graph instead. Other threads may go on as they like, but for recording too."""
    with RECORDING, _uncollected():
        graph.capture_begin(pool, capture_error_mode="thread_local")
        try:
            yield
        except BaseException:
            with suppress(RuntimeError):  # which says only that there was an error
                graph.capture_end()
            raise
        graph.capture_end()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Garbage is left alone: a graph in it, of a network that is gone, spoils what is recorded when it goes."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class _Played(torch.autograd.Function):
    @staticmethod
    def forward(ctx, recording: Recording, *given: Tensor) -> tuple[Tensor, ...]:
        ctx.recording = recording
        ctx.play, found = recording.play(given)
        ctx.save_for_backward(*given)
        ctx.mark_non_differentiable(*(f for f, constant in zip(found, recording.constant, strict=True) if constant))
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx, *slopes: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return (None, *ctx.recording.derive(ctx.play, ctx.saved_tensors, slopes))


def _copied(to: tuple[Tensor, ...], values: tuple[Tensor, ...]) -> None:
    """In one launch for all of a type."""
    each = zip(to, values, strict=True)
    with torch.no_grad():
        for _, pairs in groupby(sorted(each, key=_type), key=_type):
            there, here = zip(*pairs, strict=True)
            torch._foreach_copy_(there, here)  # type: ignore[attr-defined]


def _type(pair: tuple[Tensor, Tensor]) -> str:
    return str(pair[0].dtype)
