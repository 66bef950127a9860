"""Points, and where they lie on a feature map: the one coordinate convention and its one conversion.

A point is in pixels of the output picture, x to the right, y down; the centre of the first pixel is (0, 0).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from draggan.stylegan2.device import sent

Places = TypeVar("Places", float, Tensor)  # along either axis, or both


@dataclass(frozen=True)
class Point:
    """A place in the picture, in pixels."""

    x: float
    y: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise ValueError(f"point ({self.x}, {self.y}) is not a place: both coordinates must be finite numbers")

    def __str__(self) -> str:
        return f"({self.x:g}, {self.y:g})"

    def distance(self, other: "Point") -> float:
        return math.hypot(self.x - other.x, self.y - other.y)

    def inside(self, image_size: tuple[int, int]) -> bool:
        """Whether the point lies on a picture of (height, width) pixels."""
        (left, right), (top, bottom) = edges(image_size)
        return left <= self.x <= right and top <= self.y <= bottom


@dataclass(frozen=True)
class DragPair:
    """What lies at `handle` shall come to lie at `target`. Both the same: it shall stay where it is."""

    handle: Point
    target: Point
    set_at: Point | None = field(default=None, compare=False)  # where the handle was set, if it was followed from there

    def __post_init__(self) -> None:
        for place in (self.handle, self.target):
            if not isinstance(place, Point):
                raise ValueError(f"{place} is no point: write Point(x, y)")

    @property
    def distance(self) -> float:
        return self.handle.distance(self.target)


def edges(image_size: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Between which x and which y points lie on a picture of (height, width) pixels: its pixels' outer edges."""
    height, width = image_size
    return (-0.5, width - 0.5), (-0.5, height - 0.5)


def to_tensor(points: Sequence[Point], like: Tensor) -> Tensor:
    """(N, 2), x before y, of the type and on the device of `like`."""
    return sent(torch.tensor([(p.x, p.y) for p in points], dtype=like.dtype).reshape(-1, 2), like.device)


def to_points(points: Tensor) -> tuple[Point, ...]:
    """points (N, 2) -> N points."""
    return tuple(Point(x, y) for x, y in points.tolist())


def disc(radius: float, like: Tensor) -> Tensor:
    """Offsets to the pixels nearer than `radius`; the centre itself always. (K, 2)"""
    offsets = square(radius, torch.empty(0))  # chosen on the CPU: the number of them would be waited for elsewhere
    return offsets[(offsets.norm(dim=1) < radius) | (offsets == 0).all(dim=1)].to(like)


def square(half_width: float, like: Tensor) -> Tensor:
    """Offsets to the pixels of a square, the nearest to the centre first. ((2 half_width + 1)^2, 2)"""
    side = torch.arange(-math.floor(half_width), math.floor(half_width) + 1)
    offsets = torch.cartesian_prod(side, side)
    return offsets[offsets.square().sum(dim=1).argsort(stable=True)].to(like)


def inside(points: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Which points (.., 2) lie on a picture of (height, width) pixels. (..), bool"""
    (left, right), (top, bottom) = edges(image_size)
    x, y = points.unbind(-1)
    return (x >= left) & (x <= right) & (y >= top) & (y <= bottom)


def pushed_inside(points: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Points (.., 2), those beyond the edges of a picture of (height, width) pixels moved onto them."""
    horizontal, vertical = edges(image_size)
    x, y = points.unbind(-1)
    return torch.stack([x.clamp(*horizontal), y.clamp(*vertical)], dim=-1)


def to_cells(points: Places, image_size: tuple[int, int], map_size: tuple[int, int]) -> Places:
    """Pixels of the picture -> cells of a feature map that covers it. Sizes (height, width), in proportion."""
    return (points + 0.5) * (map_size[0] / image_size[0]) - 0.5
