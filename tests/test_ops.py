"""Each operation against a slow plain version of its definition."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from draggan.stylegan2 import ops
from draggan.stylegan2.lowpass import _blurred_in_pairs, blur
from draggan.stylegan2.squares import Squares

TAPS = [1 / 8, 3 / 8, 3 / 8, 1 / 8]


def fir_by_loops(plane: torch.Tensor, gain: float) -> torch.Tensor:
    """Every output of the 4 x 4 FIR kernel written out. plane (h, w) -> (h - 3, w - 3)."""
    height, width = plane.shape[0] - 3, plane.shape[1] - 3
    out = torch.zeros(height, width, dtype=plane.dtype)
    for y in range(height):
        for x in range(width):
            for i in range(4):
                for j in range(4):
                    out[y, x] += plane[y + i, x + j] * TAPS[i] * TAPS[j] * gain
    return out


def with_zeros_between(plane: torch.Tensor) -> torch.Tensor:
    """plane (h, w) -> (2 h, 2 w): each value followed by a zero, both ways."""
    out = torch.zeros(2 * plane.shape[0], 2 * plane.shape[1], dtype=plane.dtype)
    out[::2, ::2] = plane
    return out


def modulated_by_weights(x, weight, styles, up, demodulate):
    """Equations 1 and 3 of StyleGAN2: a weight of its own for each sample, then a plain convolution."""
    outputs = []
    for sample, style in zip(x, styles, strict=True):
        w = weight * style[None, :, None, None]
        if demodulate:
            w = w / (w.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            spread = F.pad(torch.stack([with_zeros_between(plane) for plane in sample]), (2, 1, 2, 1))
            y = F.conv2d(spread[None], w.flip(2, 3))[0]  # true convolution, (out, 2 h + 1, 2 w + 1)
            y = torch.stack([fir_by_loops(F.pad(plane, (1, 1, 1, 1)), gain=4) for plane in y])
        else:
            y = F.conv2d(sample[None], w, padding=w.shape[-1] // 2)[0]
        outputs.append(y)
    return torch.stack(outputs)


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(st.integers(4, 9), st.integers(4, 9), st.floats(0.5, 4))
@settings(max_examples=10)
def test_blur_is_the_fir_kernel(height, width, gain):
    x = rand(2, 3, height, width)
    expected = torch.stack([torch.stack([fir_by_loops(plane, gain) for plane in sample]) for sample in x])
    torch.testing.assert_close(blur(x, gain), expected)


@pytest.mark.parametrize("padding", [0, 1, (0, 1)])
@pytest.mark.parametrize("bias", [None, rand(3, seed=1)], ids=["alone", "biased"])
def test_blur_on_a_gpu_is_the_blur(padding, bias):
    x = rand(2, 3, 7, 6)
    torch.testing.assert_close(_blurred_in_pairs(x, 4.0, padding, bias), blur(x, 4.0, padding, bias))


@given(st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=10)
def test_upsample2x_is_zero_insertion_and_fir(height, width):
    x = rand(1, 2, height, width)
    expected = [fir_by_loops(F.pad(with_zeros_between(plane), (2, 1, 2, 1)), gain=4) for plane in x[0]]
    torch.testing.assert_close(ops.upsample2x(x)[0], torch.stack(expected))


@pytest.mark.parametrize(("up", "kernel"), [(False, 1), (False, 3), (True, 3)])
@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("size", [(4, 4), (5, 3)])
def test_modulated_conv2d_is_a_weight_per_sample(up, demodulate, kernel, size):
    x, weight, styles = rand(3, 4, *size), rand(5, 4, kernel, kernel, seed=1), rand(3, 4, seed=2) + 1
    expected = modulated_by_weights(x, weight, styles, up, demodulate)
    actual = (ops.modulated_doubling if up else ops.modulated_conv2d)(x, weight, styles)
    if demodulate:
        actual = actual * ops.demodulation(styles, weight.square().sum(dim=(2, 3)))[:, :, None, None]
    torch.testing.assert_close(actual, expected)


def test_without_padding_comes_what_needs_nothing_from_outside():
    x, weight, styles = rand(2, 3, 7, 6), rand(2, 3, 3, 3, seed=1), rand(1, 3, seed=2) + 1
    part = ops.modulated_conv2d(x, weight, styles, padded=False)
    torch.testing.assert_close(part, ops.modulated_conv2d(x, weight, styles)[:, :, 1:-1, 1:-1])


def test_squares_of_what_is_doubled_need_nothing_from_outside():
    x, weight, styles = rand(2, 3, 7, 6), rand(2, 3, 3, 3, seed=1), rand(1, 3, seed=2) + 1
    part = ops.modulated_doubling(x, weight, styles, Squares(torch.tensor([[2, 2], [4, 3]]), 7, beyond=False))
    x = F.pad(x, (2, 2, 2, 2), value=9.0)
    around = ops.modulated_doubling(x, weight, styles)
    torch.testing.assert_close(part[0], around[0, :, 6:13, 6:13])
    torch.testing.assert_close(part[1], around[1, :, 8:15, 7:14])


@pytest.mark.parametrize("clamp", [None, 1.5])
@pytest.mark.parametrize("noisy", [False, True])
def test_activate_is_scale_noise_bias_and_leaky_relu(clamp, noisy):
    x, scale, bias, noise = rand(2, 3, 4, 4), rand(2, 3, seed=1), rand(3, seed=2), rand(4, 4, seed=3)
    total = x * scale[:, :, None, None] + bias[:, None, None] + (noise if noisy else 0)
    actual = ops.activate(x, scale, bias, noise if noisy else None, clamp)
    torch.testing.assert_close(actual, ops.leaky_relu(total, clamp))


@pytest.mark.parametrize("up", [False, True])
def test_gradients_of_the_convolution(up):
    x, weight, styles = rand(2, 3, 4, 4), rand(2, 3, 3, 3, seed=1), rand(2, 3, seed=2) + 1
    x.requires_grad_()
    styles.requires_grad_()
    convolve = ops.modulated_doubling if up else ops.modulated_conv2d
    assert torch.autograd.gradcheck(lambda x, s: convolve(x, weight, s), (x, styles))


@pytest.mark.parametrize("op", [blur, ops.upsample2x, ops.leaky_relu])
def test_gradients_of_the_small_ones(op):
    assert torch.autograd.gradcheck(op, (rand(1, 2, 5, 5).requires_grad_(),))


def test_leaky_relu_keeps_the_gain_and_the_clamp():
    x = torch.tensor([-10.0, -1.0, 0.0, 2.0, 10.0])
    expected = torch.tensor([-2.0, -0.2, 0.0, 2.0, 10.0]) * 2**0.5
    torch.testing.assert_close(ops.leaky_relu(x), expected)
    torch.testing.assert_close(ops.leaky_relu(x, clamp=1.5), expected.clamp(-1.5, 1.5))


def test_dense_scales_by_fan_in():
    x, weight, bias = rand(2, 9), rand(4, 9, seed=1), rand(4, seed=2)
    torch.testing.assert_close(ops.dense(x, weight, bias, 0.01), x @ (weight * 0.01 / 3).T + bias * 0.01)


def test_second_moment_is_one():
    torch.testing.assert_close(
        ops.normalize_second_moment(rand(3, 50) * 7).square().mean(dim=1), torch.ones(3).double()
    )
