"""How large a change of the latent is: how unusual in the model, and how much of the picture it changes.

The second is a mean over the model: a random +-1 combination of the pixels has a derivative by w whose outer product
with itself is on average J^T J, J being the derivative of the whole picture; each row comes from another latent.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from draggan.gradients import gradients
from draggan.stylegan2.distribution import draw, principal
from draggan.stylegan2.generator import Generator

SAMPLES = 2048  # codes whose w are looked at
POWER = 0.25  # of the covariance: 0 calls every change of w alike, 1 counts standard deviations
VIEWS = 128  # latents whose pictures are looked at, a backward pass each
TOGETHER = 4  # of them at once, a piece of the work
PIECES = VIEWS // TOGETHER
COARSEST = 32  # a picture of so many pixels a side says enough, where it has all moving layers in it
SEED = 0
EVEN = 0.0146  # what `visible` is a multiple of: see `metric_of`


@dataclass(frozen=True, eq=False)
class Metric:
    """How a change is measured: by the directions in which w varies, by whether its layers agree, and by what is seen.

    The squared length of a change d of the moving layers is d^T (S^-1 + visible P^T P) d. Within a layer S is
    `covariance`, between layers `shared` times that (1: all layers change alike, so that a latent of W stays in W; 0:
    each goes its own way). The rows of P are `seen`.
    """

    covariance: Tensor  # (w_dim, w_dim): that of w to the power POWER, scaled to a mean variance of 1
    shared: float  # 0 .. 1
    seen: Tensor  # (R, L, w_dim), the squares of whose products with a change add up to how much of it is seen
    visible: float = 0.0  # how much that counts

    def spread(self, rows: Tensor) -> Tensor:
        """Rows of a Jacobian (R, L, w_dim) times (S^-1 + visible P^T P)^-1: directions of least change.

        By Woodbury's identity that is S - S P^T (1 / visible + P S P^T)^-1 P S.
        """
        spread = self._likely(rows)
        if not self.visible:
            return spread
        likely, inverse = self._seen
        shares = (rows.flatten(1) @ likely.flatten(1).T) @ inverse
        return spread - torch.tensordot(shares, likely, 1)

    @cached_property
    def _seen(self) -> tuple[Tensor, Tensor]:
        """P S, (R, L, w_dim), and (1 / visible + P S P^T)^-1, (R, R)."""
        likely = self._likely(self.seen)
        system = self.seen.flatten(1) @ likely.flatten(1).T
        return likely, torch.linalg.inv(system + torch.eye(len(system)).to(system) / self.visible)

    def _likely(self, rows: Tensor) -> Tensor:
        """Times S."""
        alike = rows.sum(dim=1, keepdim=True)
        return (self.shared * alike + (1 - self.shared) * rows) @ self.covariance


def metric_of(generator: Generator, layers: int) -> Metric:
    """From codes of a fixed seed, of every class alike in a conditional generator. layers: the moving ones.

    The rows `seen` are scaled so that from one picture of the model to another, the squares of what is seen are EVEN
    times those of how unusual it is, as they are in the embedded model: models differ in how far apart their w are, in
    how many numbers they have, and in how much of the picture hangs on them.
    """
    codes = generator.known(_codes)
    spread, variances, axes = (t.to(codes.device) for t in principal(codes.cpu()))  # Macs' graphics cards have no eigh
    variances = variances.clamp(min=0)
    covariance = (axes * variances**POWER) @ axes.T
    scale = covariance.diagonal().mean()
    seen = torch.cat([generator.known(seen_of, layers, piece) for piece in range(PIECES)])
    alike = seen.sum(dim=1)  # (R, w_dim): what a change that all layers share changes
    changed, unusual = ((alike @ spread) * alike).sum(), (variances ** (1 - POWER)).sum() * scale
    return Metric(covariance / scale, shared=0.0, seen=seen * (EVEN * unusual / changed.clamp(min=1e-12)).sqrt())


def _codes(generator: Generator) -> Tensor:
    """(SAMPLES, w_dim)"""
    return draw(generator, SAMPLES, SEED).to(generator.device)


def seen_of(generator: Generator, layers: int, piece: int) -> Tensor:
    """What `metric_of` takes long for, a piece of it, 0 .. PIECES - 1.

    The derivatives of random +-1 combinations of some latents' pictures, (R, L, w_dim); P^T P of all pieces is then
    the mean of J^T J, J being the derivative of the pixels, divided by their number.
    """
    config, some = generator.config, slice(piece * TOGETHER, (piece + 1) * TOGETHER)
    coarsest = min(COARSEST, config.resolutions[-1])
    last = next(r for i, r in enumerate(config.resolutions) if 2 * i + 2 >= layers and r >= coarsest)
    shape = VIEWS, config.img_channels, *config.map_size(last)
    signs = 2 * torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(SEED), dtype=torch.int8) - 1
    latents = generator.known(_codes)[some, None].expand(-1, generator.num_ws, -1)
    with gradients():
        moving = latents[:, :layers].clone().requires_grad_()
        small = generator.preview(torch.cat([moving, latents[:, layers:]], dim=1), last)  # (N, 3, h, w)
        (slope,) = torch.autograd.grad((small * signs[some].to(small)).sum(), moving)
    return slope / math.sqrt(VIEWS * small[0].numel())
