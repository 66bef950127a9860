"""What the mask fixes, as rows of a least-squares system: random projections of the change outside it."""

from typing import Protocol

import torch
from torch import Tensor

from draggan.mask import hold
from draggan.stylegan2.generator import Generator

ROWS = 8  # new projections a step: each costs a backward pass
STEPS = 6  # steps whose projections are kept
COARSEST = 64  # the features of the block of this resolution are enough


class _Config(Protocol):
    @property
    def moving_layers(self) -> int: ...
    @property
    def feature_resolution(self) -> int: ...


class FixedRows:
    """Random +-1 combinations r of (F - F0) (1 - M), and their derivatives, of this step and the last ones.

    The sum of the squares of many r is, but for a factor, the squared change outside the mask (Johnson and
    Lindenstrauss 1984), so a few rows a step stand for the whole map.
    """

    def __init__(self, generator: Generator, origin: Tensor, mask: Tensor, config: _Config) -> None:
        self.generator, self.layers = generator, config.moving_layers
        self.resolution = min(config.feature_resolution, COARSEST)
        self.held = hold(generator, origin, mask, self.resolution)
        self.signs = torch.Generator().manual_seed(0)
        self.kept: list[tuple[Tensor, Tensor]] = []  # projections (K, C h w) as signs, derivatives (K, D)

    def __call__(self, latent: Tensor, moving: int) -> tuple[Tensor, Tensor]:
        """latent (1, num_ws, w_dim); moving: 1 where the moving layers share one change, else their number.

        -> derivatives (R, moving w_dim) and the projections r (R,) themselves, at this latent.
        """
        change = latent.new_zeros(1, moving, latent.shape[2], requires_grad=True)
        ws = torch.cat([latent[:, : self.layers] + change, latent[:, self.layers :]], dim=1)
        gap = ((self.generator.trunk(ws, self.resolution).features - self.held.reference) * self.held.fixed).flatten()
        signs = torch.randint(0, 2, (ROWS, len(gap)), generator=self.signs, dtype=torch.int8) * 2 - 1
        rows = [torch.autograd.grad(gap @ row.to(gap), change, retain_graph=True)[0].flatten() for row in signs]
        self.kept = [*self.kept, (signs, torch.stack(rows))][-STEPS:]
        drifts = [signs.to(gap) @ gap.detach() for signs, _ in self.kept]
        return torch.cat([rows for _, rows in self.kept]), torch.cat(drifts)
