"""A feature map, or parts of it, as the drag reads it: at points of the picture."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.geometry import to_cells
from draggan.stylegan2.generator import Trunk

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
