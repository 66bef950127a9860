"""A feature map at points of the picture."""

import pytest
import torch
import torch.nn.functional as F

from draggan.engine.features import whole
from draggan.stylegan2.generator import Trunk

SIZES = [((8, 8), (16, 16)), ((8, 4), (24, 12)), ((16, 16), (8, 8)), ((5, 7), (5, 7)), ((1, 1), (3, 3))]


@pytest.fixture(params=[("cpu",), ()], ids=["one pass", "elsewhere"])
def one_pass(request, monkeypatch):
    """Cells blended as on a CPU, and as on the devices that cannot do so in one pass."""
    monkeypatch.setattr("draggan.engine.features.IN_ONE_PASS", request.param)


@pytest.mark.parametrize(("cells", "size"), SIZES)
def test_sample_at_pixels_is_the_resized_map(cells, size, one_pass):
    features = torch.randn(1, 3, *cells)
    resized = F.interpolate(features, size=size, mode="bilinear", align_corners=False)
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    points = torch.stack([x, y], dim=-1).float()  # (H, W, 2): a row of places for each of H handles
    found = whole(Trunk((features,)), size, size[0]).sample(points)
    torch.testing.assert_close(found, resized[0].permute(1, 2, 0), rtol=1e-4, atol=1e-5)


def test_sample_between_pixels_is_bilinear():
    features = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    a, b = torch.tensor([[2.0, 3.0], [3.0, 3.0]], dtype=torch.float64)
    found = whole(Trunk((features,)), (6, 6), 1).sample((0.25 * a + 0.75 * b)[None, None])
    torch.testing.assert_close(found[0, 0], 0.25 * features[0, :, 3, 2] + 0.75 * features[0, :, 3, 3])


def test_sample_goes_on_at_the_border():
    features = torch.randn(1, 2, 4, 4)
    found = whole(Trunk((features,)), (8, 8), 1).sample(torch.tensor([[[-9.0, 90.0]]]))
    torch.testing.assert_close(found[0, 0], features[0, :, 3, 0])


def test_gradients_of_sample(one_pass):
    features = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    points = torch.rand(2, 3, 2, dtype=torch.float64) * 8
    assert torch.autograd.gradcheck(lambda f: whole(Trunk((f,)), (8, 8), 2).sample(points), (features,))
