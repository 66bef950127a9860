"""Random latents of a generator with their small pictures: where to look first for one that looks like a picture."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.stylegan2.distribution import Distribution, draw
from draggan.stylegan2.generator import Generator

SEARCHED, REFINED = 32, 64  # resolutions of the small pictures that are compared, and that are fitted
CORRECTED = 8  # whole pictures from which the colours of the small ones are corrected
BATCH = 32  # latents drawn at once by those who draw little by little
SEED = 1  # of the latents


@dataclass(frozen=True, eq=False)
class Preview:
    """Small pictures that have, in the mean, the colours of the whole ones."""

    resolution: int
    offset: Tensor  # (3, 1, 1): what the blocks above add to the colours

    def __call__(self, generator: Generator, ws: Tensor) -> Tensor:
        """ws (N, num_ws, w_dim) -> (N, 3, h, w) in about [-1, 1]; passes gradients on."""
        return generator.preview(ws, self.resolution) + self.offset.to(ws)

    def shrunk(self, picture: Tensor) -> Tensor:
        """A whole picture (N, 3, H, W) at the size of the small ones."""
        return F.avg_pool2d(picture, max(1, max(picture.shape[2:]) // self.resolution))


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of a generator. Belongs to no picture: keep it for the next one."""

    distribution: Distribution
    coarse: Preview  # of the pictures that are searched
    fine: Preview  # of those that are fitted
    latents: Tensor  # (N, w_dim)
    pictures: Tensor  # (N, 3, h, w) in about [-1, 1]

    @torch.no_grad()
    def extended(self, generator: Generator, count: int) -> "Survey":
        """With so many latents more."""
        latents = draw(generator, count, SEED + len(self.latents))
        pictures = self.coarse(generator, _layers(generator, latents)).cpu()
        return replace(self, latents=torch.cat([self.latents, latents]), pictures=torch.cat([self.pictures, pictures]))

    def nearest(self, picture: Tensor, count: int) -> Tensor:
        """The latents whose pictures are nearest by squares to one (1, 3, H, W), the nearest first. -> (n, w_dim)"""
        far = (self.pictures - self.coarse.shrunk(picture.cpu())).square().mean(dim=(1, 2, 3))
        return self.latents[far.argsort(stable=True)[:count]]


@torch.no_grad()
def begin(generator: Generator) -> Survey:
    """A survey without latents yet."""
    ws = _layers(generator, draw(generator, CORRECTED))
    whole = torch.cat([generator.render(w[None]) for w in ws])  # one by one, because the maps of all are large

    def preview(resolution: int) -> Preview:
        raw = Preview(min(resolution, generator.config.resolutions[-1]), torch.zeros(3, 1, 1))
        return replace(raw, offset=(raw.shrunk(whole) - raw(generator, ws)).mean(dim=(0, 2, 3))[:, None, None].cpu())

    coarse, fine = preview(SEARCHED), preview(REFINED)
    size = generator.config.map_size(coarse.resolution)
    nothing = torch.empty(0, generator.config.w_dim), torch.empty(0, 3, *size)
    return Survey(Distribution(generator), coarse, fine, *nothing)


def _layers(generator: Generator, w: Tensor) -> Tensor:
    """w (N, w_dim), the same for all layers. -> (N, num_ws, w_dim), where the generator computes"""
    return w.to(generator.device, generator.dtype)[:, None].expand(-1, generator.num_ws, -1)
