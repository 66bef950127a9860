"""How alike two pictures are, in colours, edges and, where VGG16 is on this machine, to the eye."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.inversion.perceptual import Perceptual, find_weights

SQUARES = 30.0  # weight of the mean squared difference
COARSEST = 16  # pixels of the longer side of the smallest pictures that are compared
Loss = Callable[[Tensor, Tensor], Tensor]  # pictures (N, 3, H, W), the one wanted (1, 3, H, W) -> (N,)


def comparisons(perceptual: float, device: torch.device) -> dict[str, tuple[float, Loss]]:
    """What pictures are compared by, by name: a weight and a function. VGG16 only where its weights are here."""
    found: dict[str, tuple[float, Loss]] = {"pyramid": (1.0, pyramid), "squares": (SQUARES, squares)}
    if perceptual and (weights := find_weights()):
        found["VGG16"] = (perceptual, Perceptual(weights, device))
    return found


def pyramid(image: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the pictures and of their gradients, summed over halved sizes down to 16 pixels.

    image (N, 3, H, W), target (1 or N, 3, H, W) -> (N,).
    """
    difference, total = image - target, torch.zeros(len(image)).to(image)
    while True:
        down, across = difference.diff(dim=2), difference.diff(dim=3)
        total = total + sum(d.abs().mean(dim=(1, 2, 3)) for d in (difference, down, across))
        if max(difference.shape[2:]) <= COARSEST or min(difference.shape[2:]) < 2:
            return total
        difference = F.avg_pool2d(difference, 2)


def squares(image: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of what is shown, as in PSNR. image (N, 3, H, W), target (1 or N, 3, H, W) -> (N,)."""
    return (image.clamp(-1, 1) - target).square().mean(dim=(1, 2, 3))


def psnr(image: Tensor, target: Tensor) -> float:
    """Peak signal to noise ratio of two pictures in [-1, 1], in dB: 20 is rough, 30 close, 40 hard to tell apart."""
    error = (image.clamp(-1, 1) - target.to(image).clamp(-1, 1)).square().mean().item()
    return math.inf if error == 0 else -10 * math.log10(error / 4)
