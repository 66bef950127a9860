"""Pictures made a few rows at a time against pictures made of whole maps."""

import pytest
import torch

from draggan.stylegan2 import generator as g
from draggan.stylegan2 import strips
from tests.networks import tiny_generator


@pytest.mark.parametrize("rows", [3, 4, 7, 100])
@pytest.mark.parametrize("facts", [{}, {"width": 2}, {"conv_clamp": 0.7}])
@pytest.mark.parametrize("noise_mode", ["const", "none"])
def test_strips_are_the_whole_picture(rows, facts, noise_mode, monkeypatch):
    monkeypatch.setattr(strips, "ROWS", rows)
    generator = tiny_generator(64, **facts).double()
    ws = torch.randn(1, generator.num_ws, generator.config.w_dim, dtype=torch.float64)
    trunk = generator.trunk(ws, 8, noise_mode)
    expected = generator.preview(ws, 64, noise_mode)
    torch.testing.assert_close(generator.picture(ws, noise_mode, trunk=trunk), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("whole", [4, 8, 128])
def test_render_is_the_whole_picture_wherever_strips_begin(whole, monkeypatch):
    monkeypatch.setattr(g, "WHOLE", whole)
    generator = tiny_generator(32).double()
    ws = torch.randn(1, generator.num_ws, generator.config.w_dim, dtype=torch.float64)
    expected = generator.preview(ws, 32)
    torch.testing.assert_close(generator.render(ws), expected, rtol=1e-9, atol=1e-9)
    several = ws.expand(3, -1, -1)
    torch.testing.assert_close(generator.render(several), expected.expand(3, -1, -1, -1), rtol=1e-9, atol=1e-9)


def test_a_preview_is_what_the_lower_blocks_paint(plush):
    latent = plush.latent(3, 0.7)
    picture = plush.render(latent)
    errors = []
    for resolution in (64, 128, 256):
        preview = plush.render(latent, resolution=resolution)
        assert preview.shape == picture.shape
        errors.append((preview - picture).square().mean().item())
    assert errors[2] == 0
    assert errors[1] < 1e-3 < errors[0] < 1e-2
    assert torch.equal(
        plush.picture(latent, resolution=64, trunk=plush.trunk(latent, 128)), plush.render(latent, "const", 64)
    )
    with pytest.raises(ValueError, match="no block of resolution 100"):
        plush.render(latent, resolution=100)


def test_a_picture_is_of_one_latent():
    generator = tiny_generator(16)
    with pytest.raises(ValueError, match="2 latents"):
        generator.picture(generator.latent(1).expand(2, -1, -1))


def test_random_noise_is_drawn_for_every_strip(monkeypatch):
    monkeypatch.setattr(g, "WHOLE", 4)
    monkeypatch.setattr(strips, "ROWS", 4)
    generator = tiny_generator(16)
    pictures = [generator.render(generator.latent(1), "random") for _ in range(2)]
    assert ((pictures[0] - pictures[1]).abs().amax(dim=(1, 3)) > 0).all()


def test_a_strip_is_all_that_is_in_memory(monkeypatch):
    """No tensor of the upper blocks has as many rows as the map."""
    monkeypatch.setattr(g, "WHOLE", 16)
    monkeypatch.setattr(strips, "ROWS", 4)
    generator = tiny_generator(128)
    tallest = []
    monkeypatch.setattr(strips.F, "leaky_relu_", spied(strips.F.leaky_relu_, tallest))
    generator.trunk(generator.latent(1), 16)
    tallest.clear()
    generator.picture(generator.latent(1), trunk=generator.trunk(generator.latent(1), 16))
    assert max(tallest) <= 128 / 16 * 7


def spied(function, rows):
    def spy(x, *args):
        rows.append(x.shape[2])
        return function(x, *args)

    return spy
