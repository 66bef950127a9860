"""The coordinate convention: where points lie on a feature map."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from draggan.geometry import DragPair, Point, disc, inside, pushed_inside, square, to_cells, to_points, to_tensor

LIKE = torch.zeros(1)


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
    points = torch.tensor([[-0.5, -0.5], [7.5, 3.5], [7.6, 0.0], [0.0, 3.6], [-0.6, 0.0], [0.0, -0.6]])
    assert [point.inside((4, 8)) for point in to_points(points)] == [True, True, False, False, False, False]
    assert inside(points, (4, 8)).tolist() == [True, True, False, False, False, False]
    pushed = pushed_inside(points, (4, 8))
    assert pushed.tolist() == [[-0.5, -0.5], [7.5, 3.5], [7.5, 0.0], [0.0, 3.5], [-0.5, 0.0], [0.0, -0.5]]


def test_points_are_places():
    for place in ((math.nan, 1), (1, math.inf)):
        with pytest.raises(ValueError, match="finite"):
            Point(*place)
    assert DragPair(Point(1, 2), Point(4, 6)).distance == 5


def test_pairs_are_of_points():
    for ends in (((5, 6), Point(1, 2)), (Point(1, 2), (5, 6))):
        with pytest.raises(ValueError, match=r"\(5, 6\) is no point: write Point\(x, y\)"):
            DragPair(*ends)


def test_cells_cover_the_picture():
    pixels = torch.tensor([[-0.5, -0.5], [7.5, 15.5], [3.5, 7.5]])
    assert to_cells(pixels, (16, 8), (4, 2)).tolist() == [[-0.5, -0.5], [1.5, 3.5], [0.5, 1.5]]
