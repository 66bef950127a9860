"""What a GPU records: that it can be recorded, on any machine, and where there is a GPU, what is played."""

import gc
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from itertools import count, cycle
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet, ref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from draggan.engine.course import together
from draggan.engine.engines import ENGINES, drag, engine_of
from draggan.engine.kinematics import KinematicConfig
from draggan.engine.paper import DragConfig
from draggan.geometry import DragPair, Point
from draggan.render import leaving
from draggan.stylegan2 import recordings
from draggan.stylegan2.lowpass import blur
from draggan.stylegan2.recordings import Recordings
from draggan.web.network import _rehearsal
from tests.networks import tiny_generator

WAITING = (  # what a GPU is waited for: to read a value, or to send it numbers of the program
    "_local_scalar_dense", "nonzero", "unique", "masked_select", "equal.default", "check_errors", "lift_fresh",
)  # fmt: skip
DRAGS = {
    "draggan": partial(drag, config=DragConfig(lr=0.02, max_steps=12, feature_resolution=64)),
    "kinematics": partial(drag, config=KinematicConfig(max_steps=6, feature_resolution=64)),
}
PAIRS = [DragPair(Point(20, 24), Point(33, 30)), DragPair(Point(44, 10), Point(40, 21))]
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def upper_half() -> torch.Tensor:
    mask = torch.zeros(64, 64)
    mask[:32] = 1
    return mask


class Tape(TorchDispatchMode):
    """The operations of one call, of forward and backward passes alike, to be done again with other tensors."""

    def __init__(self, function, *given):
        super().__init__()
        self.given, self.calls = given, []
        with self:
            self.found = function(*given)

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        found = operation(*arguments, **(options or {}))
        self.calls.append((operation, arguments, options or {}, found))
        return found

    def __call__(self, *given):
        """What was found, with others given. Tensors that no operation made are what they were."""
        now = {id(before): after for before, after in zip(self.given, given, strict=True)}

        def of(before):
            return now.get(id(before), before)

        with torch.no_grad():
            for operation, arguments, options, found in self.calls:
                again = operation(*tree_map(of, arguments), **tree_map(of, options))
                now |= {id(a): b for a, b in zip(tree_leaves(found), tree_leaves(again), strict=True)}
        return tree_map(of, self.found)


class Trace:
    """A recording as a GPU makes them: the operations of one call, with its numbers, are what every later one gets."""

    bytes = 40

    def __init__(self, function, given, wanted):
        given = [t.detach().requires_grad_(w) for t, w in zip(given, wanted, strict=True)]
        with torch.set_grad_enabled(any(wanted)):
            found = function(*given)
        self.constant = tuple(not f.requires_grad for f in found)
        self.forward = Tape(function, *(t.detach() for t in given))
        self.tapes = [self.forward]

        def derived(*all_given):
            given = [t.detach().requires_grad_(w) for t, w in zip(all_given, wanted, strict=False)]
            with torch.enable_grad():
                slopes = all_given[len(given) :]
                each = [(f, s) for f, s in zip(function(*given), slopes, strict=True) if f.requires_grad]
            by = [t for t in given if t.requires_grad]
            sums, weights = zip(*each, strict=True)
            gradients = iter(torch.autograd.grad(sums, by, weights, allow_unused=True))
            return [next(gradients) if w else None for w in wanted]

        if any(wanted):
            self.backward = Tape(derived, *(t.detach() for t in given), *map(torch.zeros_like, found))
            self.tapes.append(self.backward)

    def play(self, given):
        return 0, tuple(f.clone() for f in self.forward(*given))

    def derive(self, play, given, slopes):
        return self.backward(*given, *slopes)


class Apart(TorchDispatchMode):
    """Refuses operations on what does not lie where the network does: a GPU would be waited for to send it."""

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        for each in tree_leaves((arguments, options)):
            assert not isinstance(each, torch.Tensor) or each.is_meta, f"{operation} of {tuple(each.shape)}"
        return operation(*arguments, **(options or {}))


class Traced(Recordings):
    def __init__(self):
        super().__init__()
        self.recorded = []

    def _recording(self, function, given, wanted, *_):
        self.recorded.append(Trace(function, given, wanted))
        there = [deepcopy(each).to("meta") if isinstance(each, torch.nn.Module) else each for each in function.args]
        given = [t.to("meta") for t in given]
        with Apart():
            Trace(partial(function.func, *there), given, wanted)
        return self.recorded[-1]


@contextmanager
def unrecorded():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("draggan.stylegan2.recordings.RECORDED_ON", ())
        yield


@pytest.fixture
def traced(monkeypatch):
    """A generator that does as on a GPU, and its recordings."""
    monkeypatch.setattr("draggan.stylegan2.recordings.RECORDED_ON", ("cpu",))
    monkeypatch.setattr("draggan.stylegan2.recordings.memory", lambda device: 1 << 30)
    monkeypatch.setattr("draggan.engine.features.IN_ONE_PASS", ())
    monkeypatch.setattr("draggan.stylegan2.alone.ALONE_ON", ())
    monkeypatch.setattr("draggan.stylegan2.convolution.IN_PART", ())
    monkeypatch.setattr("draggan.stylegan2.lowpass.FIR_IN_PAIRS", ("cpu",))
    monkeypatch.setattr("draggan.stylegan2.windows.WINDOW_COST", 0.1)  # windows pay on a tiny network too
    generator = tiny_generator(64).double()
    generator.recordings = Traced()
    return generator


@pytest.mark.parametrize("mask", [None, upper_half()], ids=["free", "masked"])
@pytest.mark.parametrize("name", DRAGS)
def test_a_drag_of_recordings_is_the_drag(name, mask, traced):
    """No operation, number or branch of a recording hangs on what was given first, and none waits for the device, nor
    for what lies elsewhere."""
    plain, drag = tiny_generator(64).double(), DRAGS[name]
    latent, played = plain.latent(3), [*DRAGS[name](traced, plain.latent(3), PAIRS, mask)]
    with unrecorded():
        usual = [*drag(plain, latent, PAIRS, mask)]
    assert len(played) == len(usual) > 3
    for a, b in zip(usual, played, strict=True):
        torch.testing.assert_close(b.latent, a.latent, rtol=1e-6, atol=1e-6)
        for place, where in zip(a.handles, b.handles, strict=True):
            assert place.distance(where) < 1e-4
    assert 2 <= len(traced.recordings.recorded) <= 5
    for tape in (tape for trace in traced.recordings.recorded for tape in trace.tapes):
        called = [str(operation) for operation, *_ in tape.calls]
        assert len(called) > 5
        assert not [name for name in called if any(waiting in name for waiting in WAITING)]


def together_for(steps, generator, engine, seeds):
    """The last steps of drags of some pictures, each with handles of its own number, taken together."""
    settings = engine_of(engine).settings(max_steps=steps, tolerance=1e-6)
    courses = [
        engine_of(engine).module().course(generator, generator.latent(seed), PAIRS[: 1 + seed % 2], None, settings)
        for seed in seeds
    ]
    found = {}
    for _ in range(steps + 1):
        found |= {i: step.result() for i, step in together(courses) if step.result() is not None}
    return [found[i] for i in range(len(seeds))]


@pytest.mark.parametrize("engine", ENGINES)
def test_drags_that_are_recorded_together(engine, traced):
    ours = together_for(3, traced, engine, (3, 4))
    with unrecorded():
        for seed, step in zip((3, 4), ours, strict=True):
            (alone,) = together_for(3, tiny_generator(64).double(), engine, (seed,))
            torch.testing.assert_close(step.latent, alone.latent, rtol=1e-5, atol=1e-5)


def test_another_number_of_drags_needs_no_recordings_of_its_own(traced):
    together_for(4, traced, "draggan", (2, 4, 6))
    before = len(traced.recordings.recorded)
    together_for(4, traced, "draggan", (2, 4, 6, 8))
    assert len(traced.recordings.recorded) == before
    kept = [fact for key in traced.recordings._kept for fact in key[1]]
    assert not [fact for fact in kept if isinstance(fact, torch.nn.Module)], "a network that nobody has goes"


def test_drags_of_one_to_ten_handles_fit_into_what_is_kept(traced, monkeypatch):
    """Else all is made anew again and again while one and the same network is dragged."""
    monkeypatch.setattr(traced.recordings, "_made", lambda *given: None)
    monkeypatch.setattr(traced.recordings, "_forget", lambda: pytest.fail("something was forgotten"))
    pairs = [DragPair(Point(6 * i + 5, 20), Point(6 * i + 5, 40)) for i in range(10)]
    for engine in ENGINES:
        for mask in (None, upper_half()):
            for many in range(1, 11):
                settings = engine_of(engine).settings(max_steps=1)
                deque(drag(traced, traced.latent(5), pairs[:many], mask, config=settings), maxlen=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_page_records_what_a_drag_of_one_handle_needs_before_anyone_drags(engine, traced):
    deque(_rehearsal(traced, "tiny"), maxlen=0)
    before = len(traced.recordings.recorded)
    settings = engine_of(engine).settings(max_steps=4)
    deque(drag(traced, traced.latent(5), [DragPair(Point(2, 61), Point(34, 40))], config=settings), maxlen=0)
    assert len(traced.recordings.recorded) == before > 0


def test_a_cpu_records_nothing():
    found = Recordings().run(_doubled_and_squared, (3.0,), torch.ones(2, requires_grad=True))
    assert [f.tolist() for f in found] == [[6, 6], [1, 1]]
    assert found[0].requires_grad


def test_a_moved_network_forgets(monkeypatch):
    generator = tiny_generator(16)
    cleared = []
    monkeypatch.setattr(generator.recordings, "clear", lambda: cleared.append(True))
    generator.double()
    assert cleared


def test_a_changed_network_has_recordings_of_its_own():
    generator = tiny_generator(16)
    assert generator.dragging_in(torch.bfloat16).recordings is not generator.recordings


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="needs torch's newer switches")
def test_other_settings_are_other_recordings_by_whichever_switch(traced):
    products: Any = torch.backends.cuda.matmul
    try:
        for switched in ("tf32", "tf32", "ieee", "ieee"):
            products.fp32_precision = switched
            traced.recordings.run(_doubled_and_squared, (3.0,), torch.ones(2))
    finally:
        products.fp32_precision = "none"
    assert len(traced.recordings.recorded) == 2


class Film:
    """A graph; of one that is spoilt nothing is left when it ends, as after an error in the midst of it."""

    def __init__(self, *, spoilt):
        self.spoilt = spoilt

    def capture_begin(self, pool, capture_error_mode):
        pass

    def capture_end(self):
        if self.spoilt:
            raise RuntimeError("operation failed due to a previous error during capture")


def test_an_error_in_the_midst_of_a_recording_is_told_as_what_it_is():
    film: Any = Film(spoilt=True)
    with pytest.raises(torch.OutOfMemoryError), recordings._recorded(film):
        raise torch.OutOfMemoryError
    with pytest.raises(RuntimeError, match="previous error"), recordings._recorded(film):
        pass


def test_a_recording_for_which_there_is_no_memory_is_made_when_the_others_are_gone(traced, monkeypatch):
    x, y = torch.ones(2), torch.ones(3)
    for _ in range(2):
        traced.recordings.run(_doubled_and_squared, (3.0,), x)
    traced.recordings.run(_doubled_and_squared, (3.0,), y)
    gone = tiny_generator(16)
    gone.dragging_in(torch.bfloat16)  # each holds the other
    garbage = ref(gone)
    del gone
    with monkeypatch.context() as full:
        full.setattr(traced.recordings, "_recording", _used_up)
        assert traced.recordings.run(_doubled_and_squared, (3.0,), y)[0].tolist() == [6.0] * 3
    assert list(traced.recordings._kept.values()) == [None], "the one to be made"
    assert garbage() is None
    assert traced.recordings.run(_doubled_and_squared, (3.0,), y)[0].tolist() == [6.0] * 3
    assert len(traced.recordings.recorded) == 2


def _used_up(*_):
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.fixture
def graphs(monkeypatch):
    """All graphs that there are, of recordings of 40 bytes as a GPU has them, in which nothing is."""
    alive = WeakSet()

    class Graph(Film):
        def __init__(self):
            super().__init__(spoilt=False)
            alive.add(self)

        pool = replay = lambda self: None

    monkeypatch.setattr(recordings, "RECORDED_ON", ("cpu",))
    monkeypatch.setattr(recordings, "memory", lambda device: 1 << 30)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    for name in ("Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, lambda: SimpleNamespace(wait_stream=lambda other: None))
    for name in ("stream", "device"):
        monkeypatch.setattr(torch.cuda, name, nullcontext)
    monkeypatch.setattr(torch.cuda, "memory_reserved", count(0, 40).__next__)
    return alive


def test_graphs_of_one_stream_go_together(graphs):
    """torch frees the workspace that all of them write to with any of them."""
    played = Recordings()
    given = [torch.ones(size, requires_grad=True) for size in (1, 2, 3)]
    found = [played.run(_doubled_and_squared, (3.0,), x) for x in given * 2]
    assert len(graphs) == 6
    played.clear()
    del found[:-1]
    assert len(graphs) == 6, "the last of them can still be derived from"
    found.clear()
    assert not graphs


def test_no_recordings_share_a_stream_with_others_that_are_kept(graphs, monkeypatch):
    streams = cycle([torch.cuda.Stream() for _ in range(recordings.STREAMS)])
    monkeypatch.setattr(torch.cuda, "Stream", streams.__next__)
    one = recordings._Reel()
    assert all(recordings._Reel().stream is not one.stream for _ in range(2 * recordings.STREAMS)), "torch has few"


def test_recordings_take_a_part_of_a_devices_memory(graphs, monkeypatch):
    monkeypatch.setattr(recordings, "memory", lambda device: 400)
    kept, given_back, played = [], [], Recordings()
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(recordings.RECORDING.locked()))
    for size in (1, 2, 3, 4, 5):
        for _ in range(3):
            (found, _) = played.run(_doubled_and_squared, (3.0,), torch.ones(size))
            assert found.tolist() == [6.0] * size
        kept.append(len(played._kept))
    assert kept == [1, 2, 3, 1, 2], "100 bytes, and one more"
    assert given_back == [True], "and not while another thread records"


@pytest.mark.parametrize("most", [3, 48], ids=["in number", "in bytes"])
def test_recordings_that_a_step_holds_give_their_memory_back_after_it(most, graphs, monkeypatch):
    monkeypatch.setattr(recordings, "memory", lambda device: 400)
    monkeypatch.setattr(recordings, "MOST", most)
    played, left = Recordings(), []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: left.append(len(graphs)))
    given = [torch.ones(size, requires_grad=True) for size in (1, 2, 3)]
    found = [played.run(_doubled_and_squared, (3.0,), x) for x in given * 2][-1:]
    for _ in range(2):
        played.run(_doubled_and_squared, (3.0,), torch.ones(4))
    assert len(graphs) == 8, "those of the last recording, too, since its results are there"
    assert not left
    found.clear()
    for _ in range(2):
        played.run(_doubled_and_squared, (3.0,), torch.ones(5))
    assert left == [2]


def test_one_thread_at_a_time_records():
    one: Any = Film(spoilt=False)
    other: Any = Film(spoilt=False)

    def record():
        with recordings._recorded(other):
            pass

    with ThreadPoolExecutor(1) as threads:
        with recordings._recorded(one):
            recording = threads.submit(record)
            assert not wait([recording], timeout=0.1).done
        recording.result(timeout=5)


def test_garbage_stays_where_it_is_while_something_is_recorded():
    """A graph among it would go then, which spoils what is recorded."""
    film: Any = Film(spoilt=False)
    with recordings._recorded(film):
        assert not gc.isenabled()
    assert gc.isenabled()


def _doubled_and_squared(factor, x):
    return 2 * factor * x, x.detach().square()


def _mixed(x, y, index):
    return (x * y).sum(), x.index_select(0, index).square()


@on_gpu
def test_what_is_played_is_what_the_function_gives():
    played = Recordings()
    for _ in range(3):
        x, y = (torch.randn(5, 3, device="cuda", requires_grad=wanted) for wanted in (True, False))
        index = torch.randint(5, (4,), device="cuda")
        ours, expected = played.run(_mixed, (), x, y, index), _mixed(x, y, index)
        torch.testing.assert_close(ours, expected)
        ways = [(found[0] * 3 + found[1].sum(),) for found in (ours, expected)]
        a, b = (torch.autograd.grad(way, x) for way in ways)
        torch.testing.assert_close(a, b)
    assert len(played._kept) == 1


@on_gpu
def test_gradients_of_an_earlier_play():
    """Two are played before either is derived from, and one twice."""
    played = Recordings()
    given = [torch.randn(6, device="cuda", requires_grad=True) for _ in range(2)]
    sums = [played.run(_mixed, (), x, x.detach(), torch.arange(3, device="cuda"))[1].sum() for x in given]
    for i in (0, 1, 0):
        (gradient,) = torch.autograd.grad(sums[i], given[i], retain_graph=True)
        torch.testing.assert_close(gradient, torch.cat([2 * given[i][:3], torch.zeros(3, device="cuda")]))


@on_gpu
def test_other_shapes_settings_and_facts_are_other_recordings():
    played = Recordings()
    for size in (2, 3):
        for factor in (1.0, 2.0):
            x = torch.ones(size, device="cuda", requires_grad=True)
            assert played.run(_doubled_and_squared, (factor,), x)[0].tolist() == [2 * factor] * size
    with torch.no_grad():
        assert not played.run(_doubled_and_squared, (1.0,), x)[0].requires_grad
    with torch.inference_mode():
        assert played.run(_doubled_and_squared, (1.0,), x)[1].tolist() == [1.0] * 3
    assert len(played._kept) == 5


@on_gpu
def test_recordings_are_limited(monkeypatch):
    monkeypatch.setattr(recordings, "MOST", 2)
    played, kept = Recordings(), []
    for size in (1, 2, 1, 3, 1, 2):
        assert played.run(_doubled_and_squared, (1.0,), torch.ones(size, device="cuda"))[0].tolist() == [2.0] * size
        kept.append(len(played._kept))
    assert kept == [1, 2, 2, 1, 2, 1]


@on_gpu
def test_no_picture_leaves_on_a_stream_that_records(monkeypatch):
    """Its memory may be freed while something is recorded there: torch notes that on the stream it left on."""
    played, used, stream = Recordings(), [], torch.cuda.stream
    for _ in range(2):
        played.run(_doubled_and_squared, (1.0,), torch.ones(2, device="cuda"))
    monkeypatch.setattr(torch.cuda, "stream", lambda each: used.append(each) or stream(each))
    for _ in range(40):  # more than torch has of a priority
        leaving(torch.zeros(1, 3, 8, 8, device="cuda"))()
    assert len(used) == 40
    assert played._reel
    assert played._reel.stream not in used


@pytest.fixture
def exact():
    """Convolutions in float32, not tf32."""
    with torch.backends.cudnn.flags(allow_tf32=False, enabled=True):
        yield


@on_gpu
@pytest.mark.parametrize("padding", [0, 1, (0, 1)])
def test_blur_on_a_gpu_has_the_gradients_of_a_cpu(padding):
    maps = torch.randn(2, 8, 9, 7).contiguous(memory_format=torch.channels_last)
    gradients = []
    for device in ("cpu", "cuda"):
        x = maps.to(device).requires_grad_()
        y = blur(x, 4, padding)
        gradients.append(torch.autograd.grad((y * y.detach()).sum(), x)[0].cpu())
    torch.testing.assert_close(*gradients)


@on_gpu
@pytest.mark.parametrize("cost", [0.1, 1e6], ids=["windows", "whole maps"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("mask", [None, upper_half()], ids=["free", "masked"])
@pytest.mark.parametrize("name", DRAGS)
def test_a_drag_on_a_gpu_is_that_of_a_cpu(name, mask, count, cost, exact, monkeypatch):
    monkeypatch.setattr("draggan.stylegan2.windows.WINDOW_COST", cost)
    generator, drag = tiny_generator(64), DRAGS[name]
    latent = generator.latent(3)
    usual = [*drag(generator, latent, PAIRS[:count], mask)]
    moved = tiny_generator(64).cuda()
    ours = [*drag(moved, latent, PAIRS[:count], mask)]
    for a, b in zip(usual, ours, strict=False):
        assert all(place.distance(where) < 0.5 for place, where in zip(a.handles, b.handles, strict=True))
        assert (a.latent - b.latent).norm() < 1e-3 * a.latent.norm()
    torch.testing.assert_close(ours[-1].image().cpu(), moved.cpu().render(ours[-1].latent), rtol=1e-3, atol=1e-3)


@on_gpu
@pytest.mark.parametrize("cost", [0.1, 1e6], ids=["windows", "whole maps"])
@pytest.mark.parametrize("engine", ENGINES)
def test_drags_together_on_a_gpu(engine, cost, exact, monkeypatch):
    monkeypatch.setattr("draggan.stylegan2.windows.WINDOW_COST", cost)
    ours = together_for(4, tiny_generator(64).double().cuda(), engine, (3, 4, 5))
    for seed, step in zip((3, 4, 5), ours, strict=True):
        (alone,) = together_for(4, tiny_generator(64).double(), engine, (seed,))
        torch.testing.assert_close(step.latent, alone.latent, rtol=1e-5, atol=1e-5)


@on_gpu
@pytest.mark.parametrize("mask", [None, upper_half()], ids=["free", "masked"])
@pytest.mark.parametrize(("name", "most"), [("draggan", 1), ("kinematics", 3)])
def test_a_step_waits_for_the_gpu_where_it_reads_the_handles(name, most, mask):
    generator = tiny_generator(64).cuda()
    steps = DRAGS[name](generator, generator.latent(3), PAIRS, mask)
    taken = [next(steps) for _ in range(4)]
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchroniz") as waits:
            taken.append(next(steps))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert taken[-1].index > taken[-2].index
    assert len([w for w in waits if "synchroniz" in str(w.message)]) <= most
