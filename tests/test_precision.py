"""Drags that multiply in a lower type: near the usual ones, and pictures untouched by it."""

import copy
import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import draggan
from draggan import precision
from draggan.engine.engines import ENGINES, drag
from draggan.precision import for_drag, in_precision, precision_of
from draggan.stylegan2.tf32 import in_tf32
from tests.networks import tiny_generator

PAIR = [draggan.DragPair(draggan.Point(20, 20), draggan.Point(50, 30))]
FAST = draggan.DragConfig(lr=0.02, max_steps=4)


@pytest.mark.parametrize(("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_a_lower_precision_is_that_of_drags_and_not_of_pictures(name, dtype):
    usual = tiny_generator(64)
    lower = in_precision(usual, name)
    latent = usual.latent(1)
    assert torch.equal(lower.render(latent), usual.render(latent))
    step = next(draggan.drag(lower, latent, PAIR, config=FAST))
    assert torch.equal(step.image(), usual.render(latent))
    assert lower.quick.synthesis.b64.conv1.weight.dtype == dtype
    preview = step.image(resolution=64)
    assert 0 < (preview - usual.render(latent)).square().mean() < 1e-3 * usual.render(latent).var()
    features = lower.quick.trunk(latent, 64).features
    assert features.dtype == torch.float32
    expected = usual.trunk(latent, 64).features
    assert 0 < (features - expected).norm() / expected.norm() < 0.05
    assert precision_of(lower) == name
    assert precision_of(usual) == "fp32"


def test_everything_but_the_weights_is_shared():
    usual = tiny_generator()
    lower = in_precision(usual, "bf16")
    ours, quick = (dict(g.named_buffers()) for g in (usual, lower.quick))
    assert all(t is ours[name] for name, t in lower.named_buffers())
    own = {name for name, t in quick.items() if t is not ours[name]}
    assert own == {name for name in ours if name.endswith(("conv0.weight", "conv1.weight"))}
    assert set(lower.state_dict()) == set(usual.state_dict())


def test_one_drag_may_have_a_precision_of_its_own():
    usual = tiny_generator()
    lower = in_precision(usual, "bf16")
    assert for_drag(lower, "auto") is lower
    back = for_drag(lower, "fp32")
    assert back.quick is back
    assert all(t is dict(usual.named_buffers())[name] for name, t in back.named_buffers())
    half = for_drag(lower, "fp16")
    assert [precision_of(g) for g in (lower, back, half)] == ["bf16", "fp32", "fp16"]
    assert half.quick.quick is half.quick, "the form that was there is not carried along"
    with pytest.raises(ValueError, match="precision 'tf32' is not one of auto, fp32, bf16, fp16"):
        for_drag(usual, "tf32")


def test_a_form_in_another_precision_is_made_once_and_goes_with_its_network():
    usual = tiny_generator()
    lower = for_drag(usual, "bf16")
    assert for_drag(usual, "bf16") is lower
    assert for_drag(usual, "fp32") is usual
    gone = weakref.ref(usual)
    del usual, lower
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_a_network_that_moves_takes_its_precision_along(engine):
    lower = in_precision(tiny_generator(64), "bf16")
    moved = copy.deepcopy(lower).double()
    assert (moved.dtype, moved.multiplies_in) == (torch.float64, torch.bfloat16)
    assert for_drag(lower, "fp16").double().multiplies_in == torch.float16
    near, far = (next(drag(g, lower.latent(1), PAIR, config=engine.settings())) for g in (lower, moved))
    torch.testing.assert_close(far.latent.double(), near.latent.double())
    assert for_drag(moved, "fp32").quick.dtype == torch.float64


@pytest.mark.parametrize("config", [draggan.DragConfig(lr=4e-3, max_steps=30), draggan.KinematicConfig()])
@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_a_drag_ends_where_the_usual_one_does(name, config, plush):
    pairs = [draggan.DragPair(draggan.Point(183, 145), draggan.Point(177, 145))]
    ends = []
    for generator in (plush, in_precision(plush, name)):
        *_, last = draggan.drag(generator, plush.latent(3, 0.7), pairs, config=config)
        assert last.arrived
        assert all(t.dtype == torch.float32 for t in (last.latent, *last.state.templates, *last.state.adam.values()))
        ends.append(last)
    assert abs(ends[0].index - ends[1].index) <= 2
    change = (ends[0].latent - plush.latent(3, 0.7)).norm()
    assert 0 < (ends[0].latent - ends[1].latent).norm() < 0.15 * change


@pytest.mark.parametrize(("seconds", "expected"), [({torch.bfloat16: 1, torch.float32: 2}, "bf16"), ({}, "fp32")])
def test_auto_takes_bf16_where_it_is_faster(seconds, expected, monkeypatch):
    """Timing is replaced by a clock that convolutions advance."""
    now = [0.0]
    convolve = precision.conv3x3

    def timed(x, weight, padding):
        now[0] += seconds.get(weight.dtype, 1)
        return convolve(x, weight, padding)

    monkeypatch.setattr(precision, "conv3x3", timed)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: now[0])
    assert precision_of(in_precision(tiny_generator(), "auto")) == expected


def test_unknown_and_impossible_precisions_are_named():
    with pytest.raises(ValueError, match="precision 'half' is not one of auto, fp32, bf16, fp16, tf32"):
        draggan.load("plush-256", device="cpu", precision="half")
    with pytest.raises(ValueError, match="tf32 is one of NVIDIA GPUs, not of cpu: use auto, fp32 or bf16"):
        draggan.load("plush-256", device="cpu", precision="tf32")


@pytest.mark.parametrize(("name", "allowed"), [("tf32", True), ("auto", True), ("fp32", False)])
def test_tf32_is_torchs_switch(name, allowed, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)  # put back afterwards
    torch.backends.cudnn.allow_tf32 = not allowed
    elsewhere = SimpleNamespace(device=torch.device("cuda"), dragging_in=lambda dtype: elsewhere)
    assert in_precision(elsewhere, name) is elsewhere
    assert torch.backends.cudnn.allow_tf32 is allowed


@pytest.fixture
def newer():
    """torch's newer switches of tf32, which are put back afterwards."""
    if not hasattr(torch.backends.cudnn, "conv"):
        pytest.skip("torch before 2.9 has none")
    backends: Any = torch.backends
    yield backends
    backends.fp32_precision = backends.cuda.matmul.fp32_precision = "none"
    backends.cudnn.allow_tf32 = True


@pytest.mark.parametrize("switched", ["tf32", "ieee"])
@pytest.mark.parametrize("name", ["tf32", "fp32"])
def test_a_precision_is_had_whatever_was_switched_before(name, switched, newer):
    newer.fp32_precision = newer.cuda.matmul.fp32_precision = newer.cudnn.conv.fp32_precision = switched
    elsewhere: Any = SimpleNamespace(
        device=torch.device("cuda"), dragging_in=lambda dtype: elsewhere, multiplies_in=torch.float32
    )
    in_precision(elsewhere, name)
    assert precision_of(elsewhere) == name
    assert in_tf32() == (name == "tf32", switched == "tf32")
