"""A feature map as the drag reads it: at points of the picture, whole or only on windows around the handles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.geometry import Point, to_cells
from draggan.stylegan2.generator import Generator, Latents, Trunk
from draggan.stylegan2.windows import Windows, evaluate, total_cost

SLACKS = (0, 2, 4, 8, 16)  # cells by which windows may be larger than one handle needs, to serve several
IN_ONE_PASS = ("cpu",)  # devices on which the library sums weighted rows without a copy of each; some do not have it


@dataclass(frozen=True, eq=False)
class Features:
    """Parts of one feature map, and which part each handle reads. A whole map is one part."""

    parts: Tensor  # (M, C, h, w)
    corners: tuple[tuple[int, int], ...]  # (top, left) of each part, in cells of the map
    owners: tuple[int, ...]  # the part of each handle
    map_size: tuple[int, int]  # (height, width) of the whole map, in cells
    image_size: tuple[int, int]  # (height, width) of the picture, in pixels
    trunk: Trunk | None = None  # where the whole map comes from

    def detach(self) -> "Features":
        """Without gradients."""
        return replace(self, parts=self.parts.detach(), trunk=self.trunk and self.trunk.detach())

    def of(self, handle: int) -> "Features":
        """The same as one handle alone reads it."""
        return replace(self, owners=self.owners[handle : handle + 1])

    def sample(self, points: Tensor) -> Tensor:
        """The features at places around each handle, between the cells by bilinear interpolation.

        points (N, K, 2) in pixels, a row for each handle -> (N, K, C). At whole pixels that is the map resized to
        the picture as `torch.nn.functional.interpolate(mode="bilinear")` resizes it; outside the picture the
        value at the border goes on.
        """
        height, width = self.parts.shape[2:]
        rows = self.parts.permute(0, 2, 3, 1).reshape(-1, self.parts.shape[1])  # (M h w, C)
        ends = points.new_tensor(self.map_size).flip(0) - 1
        cells = to_cells(points, self.image_size, self.map_size).clamp(min=torch.zeros_like(ends), max=ends)
        low = cells.floor().minimum(ends - 1).clamp(min=0)  # (N, K, 2): x, y of the cell before
        part = torch.tensor(self.owners, device=points.device)
        corner = torch.tensor(self.corners, device=points.device).flip(1)[part][:, None]  # (N, 1, 2): x, y
        steps = low.new_tensor([[0, 0], [1, 0], [0, 1], [1, 1]])  # to the four cells around
        low = low[:, :, None]
        x, y = ((low + steps).minimum(ends).long() - corner[:, :, None]).unbind(-1)  # (N, K, 4)
        index = (part[:, None, None] * height + y) * width + x
        weight = (1 - (cells[:, :, None] - low - steps).abs()).prod(dim=-1)  # (N, K, 4)
        return _blended(rows, index.flatten(0, 1), weight.flatten(0, 1)).unflatten(0, index.shape[:2])


def _blended(rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums of rows. rows (R, C), index and weight (P, 4) -> (P, C)."""
    if rows.device.type in IN_ONE_PASS:
        return F.embedding_bag(index, rows, mode="sum", per_sample_weights=weight)
    return (rows.index_select(0, index.flatten()).view(*index.shape, -1) * weight[:, :, None]).sum(dim=1)


def whole(trunk: Trunk, image_size: tuple[int, int], handles: int) -> Features:
    """A map that was computed whole, for a number of handles."""
    height, width = trunk.features.shape[2:]
    return Features(trunk.features, ((0, 0),), (0,) * handles, (height, width), image_size, trunk)


def around(generator: Generator, ws: Latents, resolution: int, handles: Sequence[Point], reach: float) -> Features:
    """The features of the block of `resolution` at least `reach` pixels around each handle, the cheapest way.

    ws (1, num_ws, w_dim). Windows where that pays, overlapping ones merged; else the whole map. Gradients reach ws.
    """
    config = generator.config
    map_size = config.map_size(resolution)
    boxes = [_box(handle, reach, generator.image_size, map_size) for handle in handles]
    side = max(max(bottom - top, right - left) for top, left, bottom, right in boxes) + 1
    options = [_covered(boxes, side + slack, map_size) for slack in SLACKS if side + slack <= min(map_size)]
    options.sort(key=lambda option: total_cost(config, resolution, option[0]))
    if not options or total_cost(config, resolution, options[0][0]) >= total_cost(config, resolution, None):
        return whole(generator.trunk(ws, resolution), generator.image_size, len(handles))
    windows, owners = options[0]
    parts = evaluate(generator, ws, resolution, windows)
    return Features(parts, windows.corners, owners, map_size, generator.image_size)


def _box(
    handle: Point, reach: float, image_size: tuple[int, int], map_size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of the cells that bilinear sampling around a handle reads, all included."""
    middle = torch.tensor([handle.x, handle.y], dtype=torch.float64)
    low, high = to_cells(torch.stack([middle - reach, middle + reach]), image_size, map_size).tolist()
    last_y, last_x = map_size[0] - 1, map_size[1] - 1
    top, left = (min(max(math.floor(v), 0), max(end - 1, 0)) for v, end in ((low[1], last_y), (low[0], last_x)))
    bottom, right = (min(max(math.floor(v), 0) + 1, end) for v, end in ((high[1], last_y), (high[0], last_x)))
    return top, left, bottom, right


def _covered(
    boxes: Sequence[tuple[int, int, int, int]], side: int, map_size: tuple[int, int]
) -> tuple[Windows, tuple[int, ...]]:
    """Windows of one side that cover every box, first fit, moved onto the map; and which window each box is in."""
    unions: list[tuple[int, int, int, int]] = []
    owners = []
    for top, left, bottom, right in boxes:
        for i, (t, u, b, r) in enumerate(unions):
            union = (min(t, top), min(u, left), max(b, bottom), max(r, right))
            if union[2] - union[0] < side and union[3] - union[1] < side:
                unions[i] = union
                owners.append(i)
                break
        else:
            owners.append(len(unions))
            unions.append((top, left, bottom, right))
    corners = tuple((min(t, map_size[0] - side), min(u, map_size[1] - side)) for t, u, _, _ in unions)
    return Windows(corners, side), tuple(owners)


def apart(generator: Generator, ws: Latents, resolution: int, handles: Sequence[Point], reach: float) -> Features:
    """As `around`, with a latent of its own for each handle: gradients of one handle's features are then its own.

    ws (N, num_ws, w_dim) for N handles. Two backward passes give every handle's derivatives by x and by y.
    """
    map_size = generator.config.map_size(resolution)
    boxes = [_box(handle, reach, generator.image_size, map_size) for handle in handles]
    side = max(max(bottom - top, right - left) for top, left, bottom, right in boxes) + 1
    own = tuple(range(len(handles)))
    if side >= min(map_size):
        parts = generator.trunk(ws, resolution).features  # (N, C, h, w)
        return Features(parts, ((0, 0),) * len(handles), own, map_size, generator.image_size)
    corners = tuple((min(top, map_size[0] - side), min(left, map_size[1] - side)) for top, left, _, _ in boxes)
    parts = evaluate(generator, ws, resolution, Windows(corners, side))
    return Features(parts, corners, own, map_size, generator.image_size)
