"""How far a latent lies from the distribution of w: Mahalanobis distance, layer by layer."""

import torch
from torch import Tensor

from draggan.stylegan2.generator import Generator


class Distribution:
    """Mean and covariance of w over `samples` codes of a fixed seed, in double precision.

    Variances below `least` of the mean one count as that much: directions in which w hardly varies say little.
    """

    def __init__(self, generator: Generator, samples: int = 8192, least: float = 1e-2) -> None:
        z = torch.randn(samples, generator.config.z_dim, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            w = generator.map(z)[:, 0].cpu().double()  # (N, w_dim)
        self.mean = w.mean(dim=0)
        variances, self.axes = torch.linalg.eigh(torch.cov((w - self.mean).T))
        self.spread = variances.clamp(min=least * variances.mean().item()).sqrt()

    def distance(self, latent: Tensor) -> float:
        """latent (1, num_ws, w_dim) -> the mean over its layers; about the root of w_dim's rank for a drawn w."""
        along = (latent[0].double() - self.mean) @ self.axes / self.spread  # (num_ws, w_dim)
        return along.norm(dim=1).mean().item()
