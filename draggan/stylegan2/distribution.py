"""Where the latents of a generator are: the normal distribution nearest to that of w (Zhu et al. 2020)."""

import torch
from torch import Tensor

from draggan.stylegan2.generator import Generator

SAMPLES = 8192
LEAST = 1e-2  # part of the mean variance; directions in which w varies less count as that much: they say little


class Distribution:
    """Mean and covariance of w over 8192 codes of a fixed seed; on the CPU."""

    def __init__(self, generator: Generator) -> None:
        w = draw(generator, SAMPLES).double()  # (N, w_dim)
        self.mean = w.mean(dim=0)
        self.deviation = w.std(dim=0)  # (w_dim,)
        _, variances, self.axes = principal(w - self.mean)
        self.spread = variances.clamp(min=LEAST * variances.mean().item()).sqrt()

    def whitened(self, w: Tensor) -> Tensor:
        """w (.., w_dim) in standard deviations along the principal axes, where the prior is a unit ball."""
        mean, axes, spread = (t.to(w) for t in (self.mean, self.axes, self.spread))
        return (w - mean) @ axes / spread

    def coloured(self, v: Tensor) -> Tensor:
        """The inverse of `whitened`; passes gradients on."""
        mean, axes, spread = (t.to(v) for t in (self.mean, self.axes, self.spread))
        return mean + (v * spread) @ axes.T

    def distance(self, latent: Tensor) -> float:
        """The Mahalanobis distance of a latent (1, num_ws, w_dim): the mean over its layers.

        About the root of w_dim's rank for a drawn w.
        """
        return self.whitened(latent[0].cpu().double()).norm(dim=1).mean().item()


def principal(w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The covariance of w (N, w_dim), the variances along its axes, and those, one a column.

    Raises ValueError where w varies beyond all numbers.
    """
    covariance = torch.atleast_2d(torch.cov(w.T))
    if not covariance.isfinite().all():
        raise ValueError("this model draws latents beyond all numbers: its training has failed, or its file is damaged")
    return covariance, *torch.linalg.eigh(covariance)


@torch.no_grad()
def draw(generator: Generator, count: int, seed: int = 0) -> Tensor:
    """w of `count` random codes, of a conditional generator of all classes in turn. -> (count, w_dim), on the CPU"""
    z = torch.randn(count, generator.config.z_dim, generator=torch.Generator().manual_seed(seed))
    classes = generator.config.c_dim
    c = torch.eye(classes)[torch.arange(count) % classes] if classes else None
    return generator.map(z, c)[:, 0].cpu()
