"""What the mask fixes, as rows of a least-squares system: the change of the features outside it."""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from draggan.engine.mask import hold
from draggan.stylegan2.generator import Generator

COARSEST = 32  # the features of the block of this resolution say enough
SEED = 0  # of the projections


@dataclass(frozen=True, eq=False)
class Change:
    """What has changed outside the mask at a latent, and its derivatives, worked out when they are asked for."""

    moving: Tensor  # (1, L, w_dim): the moving layers
    gap: Tensor  # (C h w,): F - F0 outside the mask, in parts of the features' size
    basis: Tensor  # (R, L, w_dim): derivatives of the combinations
    projections: Tensor  # (R, C h w)

    @property
    def size(self) -> Tensor:
        """Root mean square of it, relative to the features. (1,)"""
        return self.gap.detach().norm()[None]

    @cached_property
    def rows(self) -> Tensor:
        """The derivatives of the size and of its combinations. (1 + R, L, w_dim)"""
        (slope,) = torch.autograd.grad((self.gap.square().sum() + 1e-12).sqrt(), self.moving)
        return torch.cat([slope, self.basis])

    @property
    def values(self) -> Tensor:
        """The size and its combinations. (1 + R,)"""
        return torch.cat([self.size, self.projections @ self.gap.detach()])


def fixed_rows(generator: Generator, origin: Tensor, mask: Tensor, layers: int, count: int) -> "FixedRows":
    """As `FixedRows`, which takes long; the last few of a network are kept, since a live drag begins anew wherever the
    pointer goes."""
    which = (hashlib.sha256(t.cpu().contiguous().view(torch.uint8).numpy().tobytes()).digest() for t in (origin, mask))
    made_from = (layers, count, *which)
    return generator.recent.get(made_from, lambda: FixedRows(generator, origin, mask, layers, count))


class FixedRows:
    """How much (F - F0) (1 - M) has grown, and random +-1 combinations of it, each with its derivative.

    The first is what the mask is about, and its derivative is exact at every latent; it pulls back what has changed.
    The combinations foresee what a step would change: the span of their derivatives, taken where the drag began, is
    where changes come from (a randomised range finder; Halko, Martinsson and Tropp 2011). Depends on its arguments
    alone, so a drag that goes on finds the same rows.
    """

    def __init__(self, generator: Generator, origin: Tensor, mask: Tensor, layers: int, count: int) -> None:
        """origin (1, num_ws, w_dim); mask (H, W); layers: the moving ones; count: how many combinations."""
        self.generator, self.layers = generator, layers
        self.resolution = min(COARSEST, generator.config.resolutions[-1])
        self.held = hold(generator, origin, mask, self.resolution)
        power = self.held.reference.square().mean() * self.held.fixed.sum() * self.held.reference.shape[1]
        self.scale = 1 / math.sqrt(max(power.item(), 1e-12))  # from now on 1 is a change of the features' own size
        self.projections = generator.known(projections_of, self.held.reference.numel(), count)
        moving, gap = self._gap(origin)
        slopes = (torch.autograd.grad(gap @ row, moving, retain_graph=True)[0] for row in self.projections)
        self.basis = torch.cat([*slopes])

    def at(self, latent: Tensor) -> Change:
        """What has changed at a latent (1, num_ws, w_dim); where gradients are on, with its derivatives."""
        return Change(*self._gap(latent), self.basis, self.projections)

    def _gap(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """The moving layers (1, L, w_dim), for gradients, and what has changed outside the mask (C h w,)."""
        moving = latent[:, : self.layers].clone().requires_grad_(torch.is_grad_enabled())
        features = self.generator.trunk_again((moving, latent[:, self.layers :]), self.resolution).features
        return moving, ((features - self.held.reference) * self.held.fixed).flatten() * self.scale


def projections_of(generator: Generator, numbers: int, count: int) -> Tensor:
    """Random +-1 combinations of so many numbers, (count, numbers): the squares of all add up to |.|^2 in the mean."""
    rng = torch.Generator().manual_seed(SEED)
    signs = torch.randint(0, 2, (count, numbers), generator=rng, dtype=torch.int8)
    return (2 * signs - 1).to(generator.device, generator.dtype) / math.sqrt(count)
