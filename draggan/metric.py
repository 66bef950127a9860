"""How large a change of the latent is: how unusual in the model, and how much of the picture it changes.

The second is a mean over the model: a random +-1 combination of the pixels has a derivative by w whose outer product
with itself is on average J^T J, J being the derivative of the whole picture; each row comes from another latent.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from draggan.distribution import draw
from draggan.stylegan2.generator import Generator

SAMPLES = 2048  # codes whose w are looked at
POWER = 0.25  # of the covariance: 0 calls every change of w alike, 1 counts standard deviations
VIEWS = 128  # latents whose pictures are looked at, a backward pass each
TOGETHER = 16  # of them at once
COARSEST = 32  # a picture of so many pixels a side says enough, where it has all moving layers in it
SEED = 0


@dataclass(frozen=True, eq=False)
class Metric:
    """How a change is measured: by the directions in which w varies, by whether its layers agree, and by what is seen.

    Within a layer a change varies as a power of the covariance of w, and between layers as `shared` of that: at 1 all
    layers change alike and the latent stays one of W, at 0 each goes its own way. With S that covariance, P the rows
    `seen` and a the weight `visible`, the squared length of a change is that of S^-1 + a P^T P.
    """

    covariance: Tensor  # (w_dim, w_dim), of mean variance 1
    shared: float  # 0 .. 1
    seen: Tensor  # (R, L, w_dim), the squares of whose products with a change add up to that of the picture
    visible: float = 0.0  # how much that counts

    def spread(self, rows: Tensor) -> Tensor:
        """Rows of a Jacobian (R, L, w_dim) times (S^-1 + a P^T P)^-1: directions of least change.

        By Woodbury's identity that is S - S P^T (1/a + P S P^T)^-1 P S.
        """
        spread = self._likely(rows)
        if not self.visible:
            return spread
        likely, inverse = self._seen
        shares = (rows.flatten(1) @ likely.flatten(1).T) @ inverse
        return spread - torch.tensordot(shares, likely, 1)

    @cached_property
    def _seen(self) -> tuple[Tensor, Tensor]:
        """P S, (R, L, w_dim), and (1/a + P S P^T)^-1, (R, R)."""
        likely = self._likely(self.seen)
        system = self.seen.flatten(1) @ likely.flatten(1).T
        return likely, torch.linalg.inv(system + torch.eye(len(system)).to(system) / self.visible)

    def _likely(self, rows: Tensor) -> Tensor:
        """Times S."""
        alike = rows.sum(dim=1, keepdim=True)
        return (self.shared * alike + (1 - self.shared) * rows) @ self.covariance


def metric_of(generator: Generator, layers: int) -> Metric:
    """From codes of a fixed seed, of every class alike in a conditional generator. layers: the moving ones."""
    w = draw(generator, SAMPLES, SEED).to(generator.device)  # (SAMPLES, w_dim)
    variances, axes = torch.linalg.eigh(torch.cov(w.T))
    covariance = (axes * variances.clamp(min=0) ** POWER) @ axes.T
    latents = w[:VIEWS, None].expand(-1, generator.num_ws, -1)
    return Metric(covariance / covariance.diagonal().mean(), shared=0.0, seen=_seen_of(generator, latents, layers))


def _seen_of(generator: Generator, latents: Tensor, layers: int) -> Tensor:
    """The derivative of a random +-1 combination of each latent's picture, (R, L, w_dim); P^T P is then the mean of
    J^T J, J being the derivative of the pixels, divided by their number."""
    resolutions = generator.config.resolutions
    last = next(i for i, r in enumerate(resolutions) if 2 * i + 2 >= layers and (r >= COARSEST or r == resolutions[-1]))
    rng, rows = torch.Generator().manual_seed(SEED), []
    for some in latents.split(TOGETHER):
        with torch.enable_grad():
            moving = some[:, :layers].clone().requires_grad_()
            ws = torch.cat([moving, some[:, layers:]], dim=1)
            small = generator.quick.preview(ws, resolutions[last])  # (N, 3, h, w)
            signs = 2 * torch.randint(0, 2, small.shape, generator=rng, dtype=torch.int8).to(small) - 1
            (slope,) = torch.autograd.grad((small * signs).sum(), moving)
            rows.append(slope / math.sqrt(small[0].numel()))
    return torch.cat(rows) / math.sqrt(len(latents))
