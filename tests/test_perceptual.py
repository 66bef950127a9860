"""How alike pictures are to VGG16: against the slow obvious way, and only where the weights are here."""

import socket
import sys
from pathlib import Path

import pytest
import torch
import torchmetrics
from torch import Tensor

from draggan.inversion.perceptual import FILE, Perceptual, find_weights, lpips

CPU = torch.device("cpu")
SLICES = ((0, 4), (4, 9), (9, 16), (16, 23), (23, 30))  # each ends with a map that is compared


@pytest.fixture
def here(vgg16_home, monkeypatch):
    """VGG16's file is on this machine, and nothing can be fetched."""
    monkeypatch.setenv("TORCH_HOME", str(vgg16_home))
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("reaches for the network"))


@pytest.fixture
def pictures():
    return torch.rand(2, 1, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


def by_hand(layers, a, b, weights):
    """The sum over the maps of the weighted squared difference of unit vectors, its mean over the places."""
    mean, spread = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    x, total = (torch.cat([a, b]) / 2 + 0.5 - mean) / spread, 0.0
    for (begin, end), weight in zip(SLICES, weights, strict=True):
        x = layers[begin:end](x)  # (2, C, h, w)
        unit = x / x.norm(dim=1, keepdim=True)
        total += ((unit[0] - unit[1]) ** 2 * weight).sum(dim=0).mean().item()
    return total


def learned() -> list[Tensor]:
    """The weights in torchmetrics' package. (C, 1, 1) for each map"""
    file = Path(torchmetrics.__file__).parent / "functional/image/lpips_models/vgg.pth"
    tensors = torch.load(file, map_location="cpu", weights_only=True)
    return [tensors[f"lin{i}.model.1.weight"][0] for i in range(5)]


def test_without_weights_of_channels_all_count_the_same(here, pictures, vgg16_layers):
    total = by_hand(vgg16_layers, *pictures, [1.0] * 5)
    assert total > 0
    assert Perceptual(find_weights(), CPU)(*pictures).item() == pytest.approx(total, rel=1e-4)


def test_lpips_is_by_the_learned_weights(here, pictures, vgg16_layers):
    a, b = pictures
    assert lpips(a, b) == pytest.approx(by_hand(vgg16_layers, a, b, learned()), rel=1e-4)
    assert lpips(a, a) == 0
    assert lpips(3 * a, b) == lpips((3 * a).clamp(-1, 1), b), "what is shown counts"


def test_large_pictures_are_shrunk(here):
    small = torch.rand(1, 3, 16, 256, generator=torch.Generator().manual_seed(2)) * 2 - 1
    large = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert lpips(large, -large) == pytest.approx(lpips(small, -small), rel=1e-4)


def test_where_something_is_not_here_there_is_no_lpips(here, pictures, tmp_path, monkeypatch):
    assert lpips(*pictures) is not None
    with monkeypatch.context() as m:
        m.setitem(sys.modules, "torchmetrics", None)
        assert lpips(*pictures) is None
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert lpips(*pictures) is None
    assert not list(tmp_path.iterdir())


def test_files_that_hold_something_else_are_told(here, tmp_path):
    (tmp_path / FILE).write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not torchvision's VGG16: remove it"):
        Perceptual(tmp_path / FILE, CPU)
    with pytest.raises(ValueError, match="does not hold LPIPS' weights: install torchmetrics again"):
        Perceptual(find_weights(), CPU, tmp_path / FILE)
