"""Small operations on one thread: the same results, and who has how many threads."""

import threading

import pytest
import torch

from draggan.stylegan2 import alone, windows
from tests.networks import tiny_generator


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_alone_there_is_one_thread_but_for_what_is_shared():
    with alone.alone():
        assert torch.get_num_threads() == 1
        with alone.shared():
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with alone.shared():
        assert torch.get_num_threads() == 2


def test_an_error_leaves_as_many_threads_as_before():
    with pytest.raises(RuntimeError, match="inside"), alone.alone(), alone.shared():
        raise RuntimeError("inside")
    assert torch.get_num_threads() == 2


def test_others_keep_their_threads():
    seen = []

    def other():
        torch.ones(1 << 17).add(1)
        seen.append(torch.get_num_threads())

    with alone.alone():
        beside = threading.Thread(target=other)
        beside.start()
        beside.join()
    assert seen == [2]


def counted(x, y, counts):
    counts.append(torch.get_num_threads())
    return (x * y).exp(), x.square()


def test_gradients_reach_what_is_given_as_often_as_they_are_asked_for():
    x, y, counts = torch.randn(3, requires_grad=True), torch.randn(3), []
    a, b = alone.run(lambda *given: counted(*given, counts), x, y)
    expected = (x * y).exp(), x.square()
    for ours, theirs in ((a, expected[0]), (b, expected[1]), (a + b, sum(expected)), (a * a, expected[0].square())):
        ours, theirs = (torch.autograd.grad(z.sum(), x, retain_graph=True)[0] for z in (ours, theirs))
        torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        assert torch.equal(alone.run(lambda *given: counted(*given, counts), x, y)[1], x.square())
    assert counts == [1, 1]


def test_windows_of_few_cells_are_evaluated_alone_forward_and_backward(monkeypatch):
    generator, seen, here = tiny_generator(64), [], threading.get_ident()
    looked = windows.ops.activate

    class Heard(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view_as(x)

        @staticmethod
        def backward(ctx, *slopes):
            seen.append(torch.get_num_threads())
            return slopes[0]

    def hear(*given):
        if threading.get_ident() != here:  # of another test's server
            return looked(*given)
        seen.append(torch.get_num_threads())
        return Heard.apply(looked(*given))

    monkeypatch.setattr(windows.ops, "activate", hear)
    ws = generator.latent(1, 0.7).requires_grad_()
    for corners, threads in ((((30, 30),), {1}), (((0, 0), (40, 0), (0, 40), (40, 40)), {2})):
        seen.clear()
        found = windows.evaluate(generator, ws, 64, windows.Windows(corners, 8))
        forward = len(seen)
        torch.autograd.grad(found.sum(), ws)
        assert len(seen) > forward > 0
        assert set(seen) == threads
    assert torch.get_num_threads() == 2
