"""The convolutions against the library's, as a matrix and not."""

import pytest
import torch
import torch.nn.functional as F

from draggan.stylegan2 import convolution
from draggan.stylegan2.convolution import arranged, conv3x3, conv_transpose3x3


@pytest.fixture(params=[0, 10**9], ids=["library", "matrix"])
def way(request, monkeypatch):
    for name in ("SMALL", "SMALL_UP"):
        monkeypatch.setattr(convolution, name, request.param)
    monkeypatch.setattr(convolution, "LARGE", 0)


def tensors(size, count=2):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(count, 3, *size, dtype=torch.float64, generator=rng, requires_grad=True)
    return x, torch.randn(4, 3, 3, 3, dtype=torch.float64, generator=rng)


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


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (4, 6)])
@pytest.mark.parametrize("crop", [0, 1])
def test_conv_transpose3x3(way, size, crop):
    x, weight = tensors(size)
    expected = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2, padding=crop)
    same(conv_transpose3x3(x, arranged(weight, up=True), crop), expected, x)


@pytest.mark.parametrize("up", [False, True])
def test_it_multiplies_in_the_type_of_the_weight(way, up):
    x, weight = tensors((5, 5))
    low = arranged(weight.bfloat16(), up)
    run = (lambda x, w: conv_transpose3x3(x, w, 1)) if up else (lambda x, w: conv3x3(x, w, 1))
    ours = run(x, low)
    assert ours.dtype == x.dtype
    rounded = run(x.bfloat16(), low).double()
    torch.testing.assert_close(ours, rounded, rtol=0, atol=0)
    torch.testing.assert_close(ours, run(x, low.double()), rtol=0.02, atol=0.05)


def test_gradients(way):
    x, weight = tensors((4, 4), count=1)
    assert torch.autograd.gradcheck(lambda x: conv3x3(x, weight, 1), (x,))
    assert torch.autograd.gradcheck(lambda x: conv_transpose3x3(x, weight, 1), (x,))


@pytest.mark.parametrize("up", [False, True])
def test_arranged_is_the_same_weight_and_its_matrix_a_view(up):
    _, weight = tensors((3, 3))
    ours = arranged(weight, up)
    assert torch.equal(ours, weight)
    matrix = ours.permute(1, 2, 3, 0) if up else ours.permute(0, 2, 3, 1)
    assert matrix.flatten(1).data_ptr() == ours.data_ptr()
