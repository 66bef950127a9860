"""What must not change: the second term of equation 1 (Pan et al. 2023), |(F - F0)(1 - M)|, as a mean.

Over the whole map it needs the whole network at each step. Its mean over a few random windows is the same in
expectation and costs as little as a few more handles.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.engine.features import Features
from draggan.stylegan2.generator import Generator, Latents
from draggan.stylegan2.squares import Squares, cut
from draggan.stylegan2.windows import Windows, evaluate, total_cost

TILE = 10  # cells of the side of a window


@dataclass(frozen=True, eq=False)
class Held:
    """The part of a feature map that a mask holds, and what it must stay like."""

    resolution: int  # of the block whose map it is
    reference: Tensor  # (1, C, h, w): F0
    fixed: Tensor  # (1, 1, h, w): 1 - M, the part of each cell that must not change, in [0, 1]

    @cached_property
    def _places(self) -> Tensor:
        """`fixed` on the CPU, where tiles are chosen: an accelerator would be waited for at every step."""
        return self.fixed.cpu()

    def loss(self, features: Tensor) -> Tensor:
        """The mean over map and channels of |F - F0| (1 - M). features (1, C, h, w)."""
        return ((features - self.reference).abs().mean(dim=1, keepdim=True) * self.fixed).mean()

    def estimate(self, generator: Generator, ws: Latents, features: Features, samples: int | None, step: int) -> Tensor:
        """`loss` at a latent whose features around the handles are known: an unbiased estimate from windows.

        Every cell that must not change is as likely to be looked at: `samples` windows are drawn, without
        replacement, of those of a tiling of the map that hold such cells; the tiling is shifted anew each time. The
        draw depends on `step` alone, so a drag that goes on does so as if it had not stopped. With `samples` None,
        or where whole maps are cheaper, the loss itself.
        """
        if features.trunk is not None:
            return self.loss(features.parts)
        tiles = [] if samples is None else self._tiles(torch.Generator().manual_seed(step))
        windows = Windows(tuple(tiles[:samples]), TILE, generator.steady)
        everything = total_cost(generator.config, self.resolution, None)
        if not tiles or total_cost(generator.config, self.resolution, windows) >= everything:
            return self.loss(generator.trunk_again(ws, self.resolution).features)
        found = evaluate(generator, ws, self.resolution, windows)  # (N, C, s, s)
        corners = windows.sent(generator.device)
        (counted,) = generator.recordings.run(_changed, (), found, self.reference, self.fixed, corners)
        return counted * (len(tiles) / len(windows.corners)) / self.fixed.numel()

    def _tiles(self, rng: torch.Generator) -> list[tuple[int, int]]:
        """Corners of the tiles that hold something fixed, in random order."""
        height, width = self.fixed.shape[2:]
        down, right = torch.randint(TILE, (2,), generator=rng).tolist()
        tops, lefts = range(-down, height, TILE), range(-right, width, TILE)
        padded = F.pad(self._places, (right, -(width + right) % TILE, down, -(height + down) % TILE))
        held = F.max_pool2d(padded, TILE)[0, 0].flatten() > 0  # one a tile
        corners = [(top, left) for top in tops for left in lefts]
        return [corners[i] for i in torch.randperm(len(corners), generator=rng).tolist() if held[i]]


def _changed(found: Tensor, reference: Tensor, fixed: Tensor, corners: Tensor) -> tuple[Tensor]:
    """The sum over windows of what has changed and must not. found (N, C, s, s), corners (N, 2), the rest of `Held`."""
    squares, owners = Squares(corners, found.shape[2], beyond=True), torch.zeros_like(corners[:, 0])
    change = (found - cut(reference, squares, owners)).abs().mean(dim=1, keepdim=True)
    return ((change * cut(fixed, squares, owners)).sum(),)


@torch.no_grad()
def hold(generator: Generator, origin: Tensor, mask: Tensor, resolution: int) -> Held:
    """Holds the features of `origin` (1, num_ws, w_dim) where mask (H, W) is 0; 1 is where the picture may change."""
    mask = mask.to(generator.device, generator.dtype)[None, None]
    fixed = 1 - F.interpolate(mask, size=generator.config.map_size(resolution), mode="area")
    return Held(resolution, generator.trunk(origin, resolution).features, fixed)
