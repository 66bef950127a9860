"""Random latents of a generator with their small pictures: where to look first for one that looks like a picture.

All of it says something of the model, and of no picture: it is asked for by `Generator.known`.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.stylegan2.distribution import draw
from draggan.stylegan2.generator import Generator

SEARCHED, REFINED = 32, 64  # resolutions of the small pictures that are compared, and that are fitted
CORRECTED = 8  # whole pictures from which the colours of the small ones are corrected
BATCH = 32  # latents of a piece
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


@torch.no_grad()
def previews(generator: Generator) -> tuple[Preview, Preview]:
    """Of the pictures that are searched, and of those that are fitted."""
    ws = _layers(generator, draw(generator, CORRECTED))
    whole = torch.cat([generator.render(w[None]) for w in ws])  # one by one, because the maps of all are large

    def preview(resolution: int) -> Preview:
        raw = Preview(min(resolution, generator.config.resolutions[-1]), torch.zeros(3, 1, 1))
        return replace(raw, offset=(raw.shrunk(whole) - raw(generator, ws)).mean(dim=(0, 2, 3))[:, None, None].cpu())

    return preview(SEARCHED), preview(REFINED)


@torch.no_grad()
def piece_of(generator: Generator, piece: int) -> tuple[Tensor, Tensor]:
    """Some of the latents, (BATCH, w_dim), and their small pictures, (BATCH, 3, h, w); both on the CPU."""
    latents, (coarse, _) = draw(generator, BATCH, SEED + BATCH * piece), generator.known(previews)
    return latents, coarse(generator, _layers(generator, latents)).cpu()


def nearest(generator: Generator, picture: Tensor, pieces: int, count: int) -> Tensor:
    """Of the first pieces the latents whose pictures are nearest by squares to one (1, 3, H, W), the nearest first.

    -> (n, w_dim), n at most `count`
    """
    latents, pictures = map(torch.cat, zip(*(generator.known(piece_of, i) for i in range(pieces)), strict=True))
    coarse, _ = generator.known(previews)
    far = (pictures - coarse.shrunk(picture.cpu())).square().mean(dim=(1, 2, 3))
    return latents[far.argsort(stable=True)[:count]]


def _layers(generator: Generator, w: Tensor) -> Tensor:
    """w (N, w_dim), the same for all layers. -> (N, num_ws, w_dim), where the generator computes"""
    return w.to(generator.device, generator.dtype)[:, None].expand(-1, generator.num_ws, -1)
