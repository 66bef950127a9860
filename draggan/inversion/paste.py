"""An edited crop put back into the whole picture: only what the edit changed; every other pixel stays as it is."""

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.inversion.picture import Crop, Picture, sample, to_tensor

LEAST = 4 / 127.5  # change of a pixel, of 2, that counts at all: as much as JPEG adds
BLUR = 4 / 256  # of the crop's longer side: over so much, changes and errors are averaged
SEAM = 8 / 256  # likewise: width of the seam
PIECE = 1 << 19  # samples that are mixed at a time: all of a large photo would take 60 times its pixels in bytes


def paste(picture: Picture, crop: Crop, shown: np.ndarray, before: Tensor, after: Tensor) -> np.ndarray:
    """The whole picture with an edit of its crop. -> (H, W, 3) uint8

    shown (h, w, 3) uint8: what the crop holds, as `cut` made it; before, after (1, 3, h, w) in [-1, 1]: the model's
    reconstruction of it and its edit. Where `changed` is 0 the pixels are the picture's own, bit for bit.
    """
    size = (before.shape[2], before.shape[3])
    seam = changed(shown, before, after) * _border(picture, crop, size)  # (1, 1, h, w)
    pixels, after = picture.pixels.copy(), after.cpu().float().clamp(-1, 1)
    fine = max(1, math.ceil(max(size) / crop.side))  # samples a pixel, along each side
    for top, left, bottom, right in _parts(picture, crop, seam, fine):
        across, down = ((np.arange(a * fine, b * fine) + 0.5) / fine - 0.5 for a, b in ((left, right), (top, bottom)))
        x, y = np.meshgrid(across, down)
        places = np.stack([x, y, np.ones_like(x)], axis=2) @ _inverse(crop.matrix(size)).T  # (H, W, 2), on the crop
        colours = F.avg_pool2d(sample(after, places), fine).clamp(-1, 1)
        weight = F.avg_pool2d(_within(seam, places), fine)
        own = pixels[top:bottom, left:right]
        mixed = ((to_tensor(own).lerp(colours, weight) + 1) * 127.5).round().to(torch.uint8)
        pixels[top:bottom, left:right] = mixed[0].permute(1, 2, 0)  # (H, W, 3)
    return pixels


def _parts(picture: Picture, crop: Crop, seam: Tensor, fine: int) -> Iterator[tuple[int, int, int, int]]:
    """Top, left, bottom, right of what an edit reaches of the picture, a few rows at a time, the last two excluded."""
    rows, columns = (seam[0, 0].amax(dim=dim).nonzero()[:, 0].tolist() for dim in (1, 0))
    if not rows:
        return
    touched = rows[0] - 1, columns[0] - 1, rows[-1] + 2, columns[-1] + 2  # with what is interpolated beside it
    top, left, bottom, right = crop.bounds((seam.shape[2], seam.shape[3]), picture.size, margin=1, part=touched)
    if left < right:
        high = max(1, PIECE // ((right - left) * fine**2))
        yield from ((start, left, min(start + high, bottom), right) for start in range(top, bottom, high))


def changed(shown: np.ndarray, before: Tensor, after: Tensor) -> Tensor:
    """Where an edit changed more than the reconstruction differs from the picture. -> (1, 1, h, w) in [0, 1]

    Arguments as in `paste`. 1 where it did, falling to 0 over the seam around that.
    """
    before, after = before.cpu().float().clamp(-1, 1), after.cpu().float().clamp(-1, 1)
    side = max(before.shape[2:])
    blur, reach = max(1, round(BLUR * side / 2)), max(1, round(SEAM * side / 2))
    change, error = ((a - b).abs().mean(dim=1, keepdim=True) for a, b in ((after, before), (before, to_tensor(shown))))
    hit = (_box(change, blur) > _box(error, blur).clamp(min=LEAST)).float()
    return _box(F.max_pool2d(hit, 2 * reach + 1, stride=1, padding=reach), reach)


def _box(x: Tensor, reach: int) -> Tensor:
    """The mean over a square around each pixel, of the part of it that there is."""
    return F.avg_pool2d(x, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)


def _border(picture: Picture, crop: Crop, size: tuple[int, int]) -> Tensor:
    """1, falling to 0 at those sides of the crop that lie within the picture. -> (1, 1, h, w)"""
    height, width = size
    places, (rows, columns) = crop.places(size), picture.size
    width_of_seam = max(1, round(SEAM * max(size)))
    up, aside = torch.arange(height).float(), torch.arange(width).float()
    ramp = torch.ones(height, width)
    for edge, distance in (
        (places[0], up[:, None]),
        (places[-1], height - 1 - up[:, None]),
        (places[:, 0], aside[None]),
        (places[:, -1], width - 1 - aside[None]),
    ):
        x, y = edge[:, 0], edge[:, 1]
        reach = crop.side / max(size) + 1  # so near to the picture's border there is nothing beyond to fit
        beyond = (x < reach) | (y < reach) | (x > columns - 1 - reach) | (y > rows - 1 - reach)
        if not beyond.all():
            ramp = ramp * (distance / width_of_seam).clamp(max=1)
    return ramp[None, None]


def _within(weight: Tensor, places: np.ndarray) -> Tensor:
    """weight (1, 1, h, w) at places (H, W, 2) by bilinear interpolation, 0 beyond. -> (1, 1, H, W)"""
    ends = np.array([weight.shape[3], weight.shape[2]])
    grid = torch.from_numpy((places + 0.5) / ends * 2 - 1).to(weight)[None]
    inside = (grid.abs() <= 1).all(dim=3)[:, None]
    return F.grid_sample(weight, grid, mode="bilinear", padding_mode="border", align_corners=False) * inside


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """The affine map (2, 3) back."""
    back = np.linalg.inv(matrix[:, :2])
    return np.concatenate([back, -back @ matrix[:, 2:]], axis=1)
