"""A feature map at points of the picture, whole and on windows."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from draggan.features import around, whole
from draggan.geometry import Point, to_tensor
from draggan.stylegan2.generator import Trunk
from tests.networks import tiny_generator

SIZES = [((8, 8), (16, 16)), ((8, 4), (24, 12)), ((16, 16), (8, 8)), ((5, 7), (5, 7)), ((1, 1), (3, 3))]


@pytest.fixture(params=[("cpu",), ()], ids=["one pass", "elsewhere"])
def one_pass(request, monkeypatch):
    """Cells blended as on a CPU, and as on the devices that cannot do so in one pass."""
    monkeypatch.setattr("draggan.features.IN_ONE_PASS", request.param)


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


@given(
    st.lists(st.tuples(st.floats(-0.5, 63.5), st.floats(-0.5, 127.5)), min_size=1, max_size=12),
    st.floats(0.5, 12),
)
@settings(max_examples=40, deadline=None)
def test_around_reads_the_same_as_the_whole_map(places, reach):
    generator = tiny_generator(128, width=2).double()
    ws = torch.randn(1, generator.num_ws, generator.config.w_dim, dtype=torch.float64)
    handles = tuple(Point(x, y) for x, y in places)
    near = around(generator, ws, 64, handles, reach)
    everywhere = whole(generator.trunk(ws, 64), generator.image_size, len(handles))
    corners = torch.tensor([[-1, -1], [-1, 1], [0, 0], [1, -1], [1, 1]], dtype=torch.float64) * reach
    points = to_tensor(handles, ws)[:, None] + corners
    torch.testing.assert_close(near.sample(points), everywhere.sample(points), rtol=1e-9, atol=1e-9)


def test_windows_are_few_and_shared():
    generator = tiny_generator(128)
    ws = generator.latent(1)
    one = around(generator, ws, 128, [Point(60, 60)], 4)
    assert one.trunk is None
    assert len(one.corners) == 1
    near = around(generator, ws, 128, [Point(60, 60), Point(61, 62), Point(20, 100)], 4)
    assert near.owners == (0, 0, 1)
    crowd = [Point(x, y) for x in range(4, 128, 10) for y in range(4, 128, 10)]
    assert around(generator, ws, 128, crowd, 6).trunk is not None
