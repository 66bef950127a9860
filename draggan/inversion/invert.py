"""A picture -> the latent of W+ that the generator makes it of, as nearly as it can.

The nearest of many random latents by small pictures are refined together, then the best one at full size. The latent
moves in the coordinates in which the model's own latents are a unit ball (Zhu et al. 2020), so that it stays where
they are and a drag works on it. `invert` is a generator; it knows nothing of files or pages.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from draggan.gradients import gradients
from draggan.inversion.likeness import comparisons, psnr, pyramid
from draggan.inversion.survey import BATCH, nearest, piece_of, previews
from draggan.require import require
from draggan.stylegan2.distribution import Distribution
from draggan.stylegan2.generator import Generator
from draggan.stylegan2.said import Said

Stage = Literal["search", "refine", "fit"]


@dataclass(frozen=True)
class InversionConfig:
    """How to look for the latent."""

    samples: int = 1024  # latents that are searched
    candidates: int = 6  # the nearest of them, that are refined
    refinements: int = 25  # steps of the candidates, on small pictures, with one w for all layers
    steps: int = 150  # steps of the best one, at full size, with a w for each layer
    lr: float = 0.1  # largest step size of Adam, in standard deviations of w
    prior: float = 1e-3  # weight of the mean squared distance from the mean of w, in standard deviations
    perceptual: float = 0.5  # weight of VGG16's term, where its weights are on this machine

    def __post_init__(self) -> None:
        require(self, "at least 1", lambda v: v >= 1, "samples", "candidates", "steps")
        require(self, "0 or more", lambda v: 0 <= v < math.inf, "refinements", "prior", "perceptual")
        require(self, "a positive number", lambda v: 0 < v < math.inf, "lr")


@dataclass(frozen=True, eq=False)
class InversionStep:
    """The best latent so far."""

    stage: Stage
    index: int  # steps taken, of all stages
    total: int  # steps that there will be
    latent: Tensor  # (1, num_ws, w_dim), on the CPU
    losses: tuple[str, ...]  # what is compared: "pyramid", "squares", and "VGG16" where its weights are here
    _generator: Generator = field(repr=False)
    _wanted: Tensor = field(repr=False)  # (1, 3, H, W)
    _fitted: Tensor | None = field(repr=False)  # its picture, where a fit has made it already

    @property
    def last(self) -> bool:
        return self.index == self.total

    def image(self) -> Tensor:
        """The picture of the latent, (1, 3, H, W) in about [-1, 1], without gradients."""
        return self._image

    def psnr(self) -> float:
        """How near that picture is to the one wanted, in dB."""
        return psnr(self._image, self._wanted)

    @cached_property
    def _image(self) -> Tensor:
        return self._generator.render(self.latent) if self._fitted is None else self._fitted


def invert(
    generator: Generator, picture: Tensor, config: InversionConfig = InversionConfig()
) -> Iterator[InversionStep]:
    """Looks for the latent of a picture, yielding the best so far after each step; stop asking and it stops.

    picture: (1, 3, H, W) in [-1, 1], of the generator's size. The first picture of a generator takes longer: the
    latents that are searched are drawn once.

    Raises ValueError for a picture of another shape.
    """
    wanted = (1, generator.config.img_channels, *generator.image_size)
    if tuple(picture.shape) != wanted:
        raise ValueError(f"picture of shape {tuple(picture.shape)}: this generator needs {wanted}, so cut it first")
    return _invert(generator, picture.detach().to(generator.device, generator.dtype), config)


def _invert(generator: Generator, picture: Tensor, config: InversionConfig) -> Iterator[InversionStep]:
    losses, pieces = comparisons(config.perceptual, generator.device), math.ceil(config.samples / BATCH)
    missing = [piece for piece in range(pieces) if not generator.knows(piece_of, piece)]
    index, total = 0, len(missing) + config.refinements + config.steps
    distribution, (_, fine) = generator.known(Distribution), generator.known(previews)

    def step(stage: Stage, latent: Tensor, image: Tensor | None = None) -> InversionStep:
        return InversionStep(stage, index, total, latent.cpu(), tuple(losses), generator, picture, image)

    for piece in missing:
        index, near = index + 1, nearest(generator, picture, piece + 1, 1)
        yield step("search", near[:, None].repeat(1, generator.num_ws, 1))

    def latents(codes: Tensor) -> Tensor:
        return distribution.coloured(codes).expand(-1, generator.num_ws, -1)  # (K, num_ws, w_dim)

    def prior(codes: Tensor) -> Tensor:
        return config.prior * codes.square().mean(dim=(1, 2))  # (K,)

    small = fine.shrunk(picture)
    candidates = nearest(generator, picture, pieces, config.candidates).to(picture)
    codes = distribution.whitened(candidates)[:, None]  # (K, 1, w_dim)
    for fit in _descend(
        codes,
        lambda codes: fine(generator, latents(codes)),
        lambda images, codes: pyramid(images, small) + prior(codes),
        config.lr,
        config.refinements,
    ):
        index, codes = index + 1, fit.codes
        yield step("refine", latents(codes[fit.losses.argmin()][None]))

    wholes = torch.cat([pyramid(generator.render(latents(code[None])), picture) for code in codes])  # (K,)
    best = math.inf
    kept = None
    for fit in _descend(
        codes[wholes.argmin()].expand(1, generator.num_ws, -1),
        lambda codes: generator.preview(latents(codes), generator.config.resolutions[-1]),
        lambda images, codes: sum(w * loss(images, picture) for w, loss in losses.values()) + prior(codes),
        config.lr,
        config.steps,
    ):
        index += 1
        if kept is None or fit.losses.item() < best:
            best, kept = fit.losses.item(), fit
        yield step("fit", latents(kept.codes), kept.images)


@dataclass(frozen=True, eq=False)
class _Fit:
    codes: Tensor  # (K, 1 or num_ws, w_dim): latents in standard deviations
    images: Tensor  # (K, 3, h, w)
    losses: Tensor  # (K,)


def _descend(
    codes: Tensor,
    render: Callable[[Tensor], Tensor],
    compare: Callable[[Tensor, Tensor], Tensor],
    lr: float,
    steps: int,
) -> Iterator[_Fit]:
    """Adam on all codes at once, its step size rising over a tenth of the way and then falling along a cosine."""
    with gradients():
        codes = codes.detach().clone().requires_grad_()
        adam = torch.optim.Adam([codes], betas=(0.9, 0.98))
    for i in range(steps):
        with gradients():
            images = render(codes)
            losses = compare(images, codes)
        if not losses.isfinite().all():
            raise FloatingPointError(Said("the reconstruction diverged at step {step}: lower lr", {"step": i}))
        yield _Fit(codes.detach().clone(), images.detach(), losses.detach())
        if i + 1 < steps:
            warm = max(1, steps // 10)
            adam.param_groups[0]["lr"] = lr * min(1, (i + 1) / warm) * (1 + math.cos(math.pi * i / steps)) / 2
            with gradients():
                adam.zero_grad()
                losses.sum().backward()
                adam.step()
