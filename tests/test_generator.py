"""The network against a plain one written from the paper, and the ways it may be run."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import draggan
from draggan.engine.metric import metric_of
from draggan.inversion.tuning import tune
from draggan.precision import in_precision
from draggan.stylegan2 import convolution, ops
from draggan.stylegan2.config import GeneratorConfig
from draggan.stylegan2.generator import Generator
from tests.networks import random_tensors, tiny_config, tiny_generator
from tests.test_ops import fir_by_loops, modulated_by_weights, with_zeros_between


def plain_synthesis(config: GeneratorConfig, t: dict[str, torch.Tensor], ws: torch.Tensor) -> torch.Tensor:
    """The synthesis network layer by layer, with a modulated weight per sample and loops for the FIR kernel."""

    def affine(name, w):
        return w @ (t[f"{name}.affine.weight"] / math.sqrt(config.w_dim)).T + t[f"{name}.affine.bias"]

    def activated(x):
        x = torch.where(x < 0, 0.2 * x, x) * math.sqrt(2)
        return x if config.conv_clamp is None else x.clamp(-config.conv_clamp, config.conv_clamp)

    def conv(name, x, w, up):
        x = modulated_by_weights(x, t[f"{name}.weight"], affine(name, w), up, demodulate=True)
        return activated(x + t[f"{name}.noise_const"] * t[f"{name}.noise_strength"] + t[f"{name}.bias"][:, None, None])

    x, image, used = t["synthesis.b4.const"].expand(len(ws), -1, -1, -1), None, 0
    for r in config.resolutions:
        for layer in ("conv1",) if r == 4 else ("conv0", "conv1"):
            x = conv(f"synthesis.b{r}.{layer}", x, ws[:, used], up=layer == "conv0")
            used += 1
        name = f"synthesis.b{r}.torgb"
        styles = affine(name, ws[:, used]) / math.sqrt(x.shape[1])
        rgb = modulated_by_weights(x, t[f"{name}.weight"], styles, False, demodulate=False)
        rgb = rgb + t[f"{name}.bias"][:, None, None]
        if config.conv_clamp is not None:
            rgb = rgb.clamp(-config.conv_clamp, config.conv_clamp)
        if image is not None:
            padded = [torch.nn.functional.pad(with_zeros_between(p), (2, 1, 2, 1)) for p in image.flatten(0, 1)]
            doubled = torch.stack([fir_by_loops(plane, gain=4) for plane in padded])
            rgb = rgb + doubled.view(*rgb.shape)
        image = rgb
    return image


@pytest.mark.parametrize("facts", [{}, {"width": 2}, {"conv_clamp": 0.7}])
def test_synthesis_is_the_plain_network(facts):
    config = tiny_config(16, **facts)
    tensors = {name: t.double() for name, t in random_tensors(config).items()}
    generator = Generator(config, tensors).double()
    generator.load_state_dict(tensors)
    ws = torch.randn(2, config.num_ws, config.w_dim, dtype=torch.float64)
    image = generator.render(ws)
    assert image.shape == (2, 3, config.height, config.width)
    torch.testing.assert_close(image, plain_synthesis(config, tensors, ws), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("c_dim", [0, 3])
def test_mapping_is_the_plain_network(c_dim):
    config = tiny_config(8, c_dim=c_dim)
    t = random_tensors(config)
    generator = Generator(config, t)
    z = torch.randn(2, config.z_dim)
    c = torch.eye(3)[:2] if c_dim else None
    x = z / z.square().mean(dim=1, keepdim=True).sqrt()
    if c is not None:
        y = c @ (t["mapping.embed.weight"] / math.sqrt(c_dim)).T + t["mapping.embed.bias"]
        x = torch.cat([x, y / y.square().mean(dim=1, keepdim=True).sqrt()], dim=1)
    for i in range(config.num_mapping_layers):
        gain = 0.01 / math.sqrt(x.shape[1])
        x = ops.leaky_relu(x @ (t[f"mapping.fc{i}.weight"] * gain).T + t[f"mapping.fc{i}.bias"] * 0.01)
    torch.testing.assert_close(generator.map(z, c), x[:, None].expand(-1, config.num_ws, -1), rtol=1e-4, atol=1e-5)
    average = t["mapping.w_avg"]
    halfway = average + 0.5 * (x - average)
    cut = generator.map(z, c, truncation_psi=0.5, truncation_cutoff=2)
    torch.testing.assert_close(cut[:, 1], halfway, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(cut[:, 2], x, rtol=1e-4, atol=1e-5)


def test_latent_of_a_seed_is_that_of_the_published_tools():
    generator = tiny_generator()
    z = torch.from_numpy(np.random.RandomState(7).randn(1, generator.config.z_dim))
    latent = generator.latent(seed=7, truncation_psi=0.7)
    assert latent.shape == (1, generator.num_ws, generator.config.w_dim)
    torch.testing.assert_close(latent, generator.map(z, truncation_psi=0.7))
    torch.testing.assert_close(generator.latent(7, 0.0)[0, 0], generator.mapping.w_avg)


def test_a_picture_goes_on_from_any_trunk():
    generator = tiny_generator(32, width=2)
    ws = generator.latent(1)
    whole = generator.render(ws)
    for resolution in generator.config.resolutions:
        trunk = generator.trunk(ws, resolution)
        assert trunk.features.shape[2:] == (resolution, resolution // 2)
        torch.testing.assert_close(generator.picture(ws, trunk=trunk), whole)
    assert torch.equal(generator.preview(ws, 32), whole)


def test_gradients_reach_w_and_no_weight():
    generator = tiny_generator()
    ws = generator.latent(1).requires_grad_()
    generator.trunk(ws, 16).features.sum().backward()
    assert ws.grad is not None
    reached = ws.grad[0].abs().sum(dim=1) > 0
    assert reached.tolist() == [True] * 5 + [False] * 3  # the layers of the 4, 8 and 16 blocks
    assert not list(generator.parameters())
    assert all(not t.requires_grad for t in generator.state_dict().values())


def test_noise_modes():
    generator = tiny_generator()
    ws = generator.latent(1)
    const = generator.render(ws)
    assert torch.equal(const, generator.render(ws, "const"))
    assert not torch.equal(const, generator.render(ws, "none"))
    assert not torch.equal(generator.render(ws, "random"), generator.render(ws, "random"))
    with pytest.raises(ValueError, match="noise_mode 'loud' is not one of const, none, random"):
        generator.render(ws, "loud")


def test_config_is_read_off_the_shapes():
    for config in (tiny_config(64), tiny_config(32, width=2), tiny_config(16, c_dim=5, conv_clamp=256.0)):
        shapes = {name: tuple(t.shape) for name, t in random_tensors(config).items()}
        assert GeneratorConfig.from_shapes(shapes, conv_clamp=config.conv_clamp) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"synthesis.b16.conv1.weight": None}, "b16.conv1.weight"),
        ({"synthesis.b4.const": None}, "b4.const"),
        ({"extra": (1,)}, "1 unknown tensors .* extra"),
        ({"synthesis.b8.conv0.bias": (9,)}, r"b8.conv0.bias has shape \(9,\), expected \(8,\)"),
        ({"synthesis.b8.skip.weight": (1,)}, "resnet"),
        ({"synthesis.b4.const": (8, 3, 4)}, None),
    ],
)
def test_incomplete_or_foreign_networks_are_refused(change, message):
    shapes = dict(tiny_config(16).tensor_shapes())
    for name, shape in change.items():
        shapes.pop(name, None)
        if shape is not None:
            shapes[name] = shape
    with pytest.raises(ValueError, match=message):
        GeneratorConfig.from_shapes(shapes)


def test_bad_input_is_named():
    generator = tiny_generator()
    with pytest.raises(ValueError, match=r"latent of shape \(1, 3, 12\), expected \(N, 8, 12\)"):
        generator.render(torch.zeros(1, 3, 12))
    with pytest.raises(ValueError, match="no block of resolution 48"):
        generator.trunk(generator.latent(1), 48)
    with pytest.raises(ValueError, match="seed -1"):
        generator.latent(-1)
    with pytest.raises(ValueError, match="no classes"):
        generator.latent(1, class_index=0)
    with pytest.raises(ValueError, match=r"needs one of 0 \.\. 2"):
        tiny_generator(8, c_dim=3).latent(1)
    with pytest.raises(ValueError, match="no c: this generator has 3 classes"):
        tiny_generator(8, c_dim=3).map(torch.randn(1, 16))


def test_latents_may_be_arrays():
    generator = tiny_generator()
    latent = generator.latent(1)
    assert torch.equal(generator.render(latent.numpy()), generator.render(latent))
    with pytest.raises(ValueError, match=r"latent of shape \(1, 3, 12\), expected \(N, 8, 12\)"):
        generator.render(np.zeros((1, 3, 12)))


def test_the_embedded_model_makes_pictures():
    generator = draggan.load("plush-256", device="cpu")
    image = generator.render(generator.latent(seed=3, truncation_psi=0.7))
    assert image.shape == (1, 3, 256, 256)
    assert -1.3 < image.min() < -0.5
    assert 0.5 < image.max() < 1.3


def test_nothing_is_kept_of_the_tensors_given():
    """They may be a mapped file, which would stay in memory as a whole."""
    config = tiny_config(16)
    given = random_tensors(config)
    generator = Generator(config, given)
    theirs = {t.untyped_storage().data_ptr() for t in given.values()}
    assert theirs.isdisjoint(t.untyped_storage().data_ptr() for t in generator.state_dict().values())


def test_how_the_tensors_given_lie_in_memory_does_not_matter():
    config = tiny_config(64)
    given = random_tensors(config)

    def turned(t):
        axes = tuple(range(t.ndim))[::-1]
        return t.permute(axes).clone(memory_format=torch.contiguous_format).permute(axes)

    one, other = Generator(config, given), Generator(config, {name: turned(t) for name, t in given.items()})
    assert torch.equal(one.latent(3, 0.7), other.latent(3, 0.7))
    assert torch.equal(one.render(one.latent(3)), other.render(one.latent(3)))


def test_weights_lie_as_their_device_wants_them(monkeypatch):
    """Wherever they come from: moved there, lowered, changed or tuned."""
    generator, read = tiny_generator(32), []
    latent, expected = generator.latent(1), generator.render(generator.latent(1))

    def seen(real, x, weight, *args, **named):
        read.append(weight.is_contiguous())
        return real(x, weight, *args, **named)

    for name in ("conv2d", "conv_transpose2d", "linear"):
        monkeypatch.setattr(F, name, partial(seen, getattr(F, name)))
    generator.render(latent)
    assert not all(read)
    read.clear()
    monkeypatch.setattr(convolution, "PLAIN_ON", ("cpu",))
    monkeypatch.setattr(convolution, "IN_PART", ())
    moved = generator.to("cpu")
    torch.testing.assert_close(moved.render(latent), expected)
    changes = {name: torch.ones(t.shape).half() for name, t in moved.state_dict().items() if "conv0.weight" in name}
    moved.changed(changes).render(latent)
    for _ in zip(tune(moved, latent, expected), range(2), strict=False):
        pass
    pair = draggan.DragPair(draggan.Point(9, 9), draggan.Point(20, 16))
    assert list(draggan.drag(moved.dragging_in(torch.bfloat16), latent, [pair], config=draggan.DragConfig(max_steps=1)))
    assert all(read)


def test_a_preview_ends_as_the_picture():
    generator = tiny_generator(32, width=2)
    latent = generator.latent(1)
    assert generator.preview(latent, 16).shape == (1, 3, 16, 8)
    assert torch.equal(generator.preview(latent, 32), generator.render(latent))


def test_other_tensors_make_another_network():
    generator, other = in_precision(tiny_generator(), "bf16"), tiny_generator(seed=5)
    latent = generator.latent(1)
    before = metric_of(generator, 4).seen
    generator.load_state_dict(other.state_dict())
    torch.testing.assert_close(generator.render(latent), other.render(latent))
    expected = in_precision(other, "bf16").quick.trunk(latent, 32).features
    torch.testing.assert_close(generator.quick.trunk(latent, 32).features, expected)
    torch.testing.assert_close(metric_of(generator, 4).seen, metric_of(other, 4).seen)
    assert not torch.allclose(metric_of(generator, 4).seen, before)
