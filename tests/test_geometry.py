"""The coordinate convention: where points lie on a feature map."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from draggan.geometry import DragPair, Point, disc, inside, sample, square, to_points, to_tensor

LIKE = torch.zeros(1)


@pytest.mark.parametrize(
    ("cells", "size"), [((8, 8), (16, 16)), ((8, 4), (24, 12)), ((16, 16), (8, 8)), ((5, 7), (5, 7))]
)
def test_sample_at_pixels_is_the_resized_map(cells, size):
    features = torch.randn(1, 3, *cells)
    resized = F.interpolate(features, size=size, mode="bilinear", align_corners=False)
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    points = torch.stack([x, y], dim=-1).float()  # (H, W, 2)
    torch.testing.assert_close(sample(features, points, size), resized[0].permute(1, 2, 0), rtol=1e-4, atol=1e-5)


def test_sample_between_pixels_is_bilinear():
    features = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    a, b = torch.tensor([[2.0, 3.0], [3.0, 3.0]], dtype=torch.float64)
    middle = sample(features, 0.25 * a + 0.75 * b, (6, 6))
    torch.testing.assert_close(middle, 0.25 * features[0, :, 3, 2] + 0.75 * features[0, :, 3, 3])


def test_sample_keeps_the_shape_of_the_points():
    assert sample(torch.zeros(1, 5, 4, 4), torch.zeros(2, 3, 2), (4, 4)).shape == (2, 3, 5)


@given(st.floats(0.1, 6))
def test_disc_holds_the_pixels_nearer_than_the_radius(radius):
    reach = range(-7, 8)
    expected = {(x, y) for x in reach for y in reach if math.hypot(x, y) < radius or (x, y) == (0, 0)}
    assert {tuple(map(int, o)) for o in disc(radius, LIKE).tolist()} == expected


@given(st.floats(0, 6))
def test_square_holds_its_pixels_nearest_first(half_width):
    offsets = square(half_width, LIKE)
    reach = range(-int(half_width), int(half_width) + 1)
    assert {tuple(map(int, o)) for o in offsets.tolist()} == {(x, y) for x in reach for y in reach}
    assert (offsets.norm(dim=1).diff() >= -1e-6).all()


def test_points_go_to_tensors_and_back():
    points = (Point(1.5, 2.25), Point(0, 255))
    assert to_points(to_tensor(points, LIKE)) == points


def test_inside_of_the_picture():
    assert Point(-0.5, 0).inside((4, 8))
    assert Point(7.5, 3.5).inside((4, 8))
    assert not Point(7.6, 0).inside((4, 8))
    assert not Point(0, 3.6).inside((4, 8))
    points = torch.tensor([[-0.5, 0.0], [7.5, 3.5], [7.6, 0.0], [0.0, 3.6]])
    assert inside(points, (4, 8)).tolist() == [True, True, False, False]


def test_points_are_places():
    with pytest.raises(ValueError, match="finite"):
        Point(math.nan, 1)
    assert DragPair(Point(0, 0), Point(3, 4)).distance == 5
