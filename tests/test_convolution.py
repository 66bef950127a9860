"""The convolutions against the library's, as matrices and not."""

import pytest
import torch
import torch.nn.functional as F

from draggan.stylegan2 import convolution
from draggan.stylegan2.convolution import arranged, conv3x3, doubling3x3
from draggan.stylegan2.lowpass import blur
from draggan.stylegan2.squares import Squares


@pytest.fixture(params=[(0, 1), (10**9, 1), (10**9, 2)], ids=["library", "matrices", "matrices in parts"])
def way(request, monkeypatch):
    small, threads = request.param
    monkeypatch.setattr(convolution, "SMALL", small)
    monkeypatch.setattr(convolution, "LARGE", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)


def tensors(size, count=2):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(count, 6, *size, dtype=torch.float64, generator=rng, requires_grad=True)
    return x, torch.randn(4, 6, 3, 3, dtype=torch.float64, generator=rng)


def same(ours, expected, x):
    torch.testing.assert_close(ours, expected)
    weight = torch.randn_like(expected)
    for a, b in zip(*(torch.autograd.grad((y * weight).sum(), x) for y in (ours, expected)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [(3, 3), (7, 5), (6, 6)])
@pytest.mark.parametrize("padding", [0, 1])
def test_conv3x3(way, size, padding):
    x, weight = tensors(size)
    same(conv3x3(x, arranged(weight, up=False), padding), F.conv2d(x, weight, padding=padding), x)


def doubled(x, weight):
    return blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), gain=4, padding=1)


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (4, 6)])
def test_doubling3x3(way, size):
    x, weight = tensors(size)
    same(doubling3x3(x, arranged(weight, up=True)), doubled(x, weight), x)


@pytest.mark.parametrize("corners", [[(2, 3), (5, 2)], [(4, 4), (4, 4)]])
def test_doubling3x3_of_squares(way, corners):
    x, weight = tensors((6, 7))
    whole = doubled(x, weight)
    expected = torch.stack(
        [y[:, top : top + 5, left : left + 5] for y, (top, left) in zip(whole, corners, strict=True)]
    )
    squares = Squares(torch.tensor(corners), 5, beyond=False)
    same(doubling3x3(x, arranged(weight, up=True), squares), expected, x)


@pytest.mark.parametrize("part", [(0, 0, 1, 1), (4, 4, 5, 5), (1, 2, 3, 5), (2, 0, 4, 5), (0, 0, 5, 5), (0, 0, 0, 0)])
def test_gradients_that_are_zero_but_for_a_part(way, part):
    top, left, bottom, right = part
    slopes = torch.zeros(2, 4, 5, 5, dtype=torch.float64)
    slopes[:, :, top:bottom, left:right] = 1 + torch.rand(2, 4, 1, 1)
    x, weight = tensors((7, 7))
    squares = Squares(torch.tensor([(2, 3), (5, 6)]), 5, beyond=False)
    whole = doubled(x, weight)
    for ours, expected in (
        (conv3x3(x, arranged(weight, up=False), 0), F.conv2d(x, weight)),
        (
            doubling3x3(x, arranged(weight, up=True), squares),
            torch.stack([whole[0, :, 2:7, 3:8], whole[1, :, 5:10, 6:11]]),
        ),
    ):
        a, b = (torch.autograd.grad(y, x, slopes, retain_graph=True)[0] for y in (ours, expected))
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("up", [False, True])
def test_it_multiplies_in_the_type_of_the_weight(way, up):
    x, weight = tensors((5, 5))
    low = arranged(weight.bfloat16(), up)
    run = (lambda x, w: doubling3x3(x, w)) if up else (lambda x, w: conv3x3(x, w, 1))
    ours = run(x, low)
    assert ours.dtype == x.dtype
    assert torch.equal(ours, run(x.bfloat16().double(), low))  # what goes in is rounded too
    torch.testing.assert_close(ours, run(x, low.double()), rtol=0.02, atol=0.05)
    assert not torch.equal(ours, run(x, low.double()))


def test_gradients(way):
    x, weight = tensors((4, 4), count=1)
    assert torch.autograd.gradcheck(lambda x: conv3x3(x, weight, 1), (x,))
    assert torch.autograd.gradcheck(lambda x: doubling3x3(x, weight), (x,))


@pytest.mark.parametrize("up", [False, True])
def test_arranged_is_the_same_weight_and_its_matrices_are_views(up):
    _, weight = tensors((3, 3))
    ours = arranged(weight, up)
    assert torch.equal(ours, weight)
    matrix = ours.permute(1, 2, 3, 0) if up else ours.permute(0, 2, 3, 1)
    assert matrix.flatten(1).data_ptr() == ours.data_ptr()
