"""Squares of feature maps, whose places only the device knows."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Squares:
    """Windows whose places are not known before they are looked at."""

    corners: Tensor  # (N, 2), whole numbers: top, left
    size: int
    beyond: bool  # whether any may reach beyond the map

    def places(self, map_size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Rows (N, s, 1) and columns (N, 1, s), moved onto the map; which lay on it (N, 1, s, s), None: all of them."""
        side = torch.arange(self.size, device=self.corners.device)
        rows, columns = self.corners[:, :1, None] + side[:, None], self.corners[:, 1:, None] + side
        if not self.beyond:
            return rows, columns, None
        (height, width), (down, across) = map_size, (rows, columns)
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
        return rows, columns, ((rows == down) & (columns == across))[:, None]


def cut(x: Tensor, squares: Squares, owners: Tensor) -> Tensor:
    """Squares of x (S, C, h, w) -> (N, C, s, s), zero outside the map. owners (N,): the sample of each."""
    height, width = x.shape[2:]
    rows, columns, inside = squares.places((height, width))
    index = (owners[:, None, None] * height + rows) * width + columns  # (N, s, s)
    cells = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).index_select(0, index.flatten())  # (N s s, C)
    found = cells.view(*index.shape, -1).permute(0, 3, 1, 2)
    return found if inside is None else found * inside.to(x)
