"""Pivotal tuning (Roich et al. 2021): the last blocks of a generator moved a little, so that a latent makes a picture.

The latent found by `invert` stays, and with it what a drag does; details that no latent has come from the weights. A
second term, their locality regularisation, keeps the pictures of other latents as they were. `tune` is a generator over
a network that it never touches; the result is a `Delta`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.func import functional_call

from draggan.gradients import gradients
from draggan.inversion.likeness import comparisons, psnr, pyramid
from draggan.require import require
from draggan.stylegan2 import ops
from draggan.stylegan2.delta import Delta
from draggan.stylegan2.distribution import draw
from draggan.stylegan2.generator import Generator
from draggan.stylegan2.said import Said

SEED = 2  # of the latents whose pictures shall stay
WEIGHTS = ("conv0.weight", "conv0.bias", "conv1.weight", "conv1.bias", "torgb.weight", "torgb.bias")


@dataclass(frozen=True)
class TuningConfig:
    """How far to move the weights."""

    steps: int = 120
    lr: float = 1e-2  # largest step size of Adam; weights have a standard deviation of about 1
    first_block: int = 64  # resolution of the first block that is tuned; of a smaller generator the last
    locality: float = 0.2  # weight of what keeps other pictures as they were
    anchors: int = 8  # latents whose pictures are kept: halfway from the pivot to random ones, in turn
    perceptual: float = 0.5  # weight of VGG16's term, where its weights are on this machine

    def __post_init__(self) -> None:
        require(self, "at least 1", lambda v: v >= 1, "steps", "anchors")
        require(self, "0 or more", lambda v: 0 <= v < math.inf, "locality", "perceptual")
        require(self, "a positive number", lambda v: 0 < v < math.inf, "lr")


@dataclass(frozen=True, eq=False)
class TuningStep:
    """The best weights so far."""

    index: int  # steps taken
    total: int  # steps that there will be
    psnr: float  # of the picture with these weights, in dB
    losses: tuple[str, ...]  # what is compared, as in `InversionStep`
    _image: Tensor = field(repr=False)
    _changes: Mapping[str, Tensor] = field(repr=False)

    @property
    def last(self) -> bool:
        return self.index == self.total

    def image(self) -> Tensor:
        """The picture, (1, 3, H, W) in about [-1, 1]."""
        return self._image

    def delta(self) -> Delta:
        """What `draggan.stylegan2.delta.changed` makes a generator of."""
        return Delta({name: change.half().cpu() for name, change in self._changes.items()})


def tune(
    generator: Generator, latent: Tensor, picture: Tensor, config: TuningConfig = TuningConfig()
) -> Iterator[TuningStep]:
    """Moves the weights until a latent makes a picture, yielding the best so far; stop asking and it stops.

    latent (1, num_ws, w_dim), picture (1, 3, H, W) in [-1, 1]. The first step yielded is before anything moved.

    Raises ValueError for a picture or latent of another shape, or a generator too small to be tuned.
    """
    if tuple(picture.shape) != (1, generator.config.img_channels, *generator.image_size):
        raise ValueError(f"picture of shape {tuple(picture.shape)}: this generator makes {generator.image_size}")
    layers = generator.layers_of(latent)
    return _tune(generator, torch.stack(layers, dim=1).detach(), picture.detach().to(layers[0]), config)


def _tune(generator: Generator, latent: Tensor, picture: Tensor, config: TuningConfig) -> Iterator[TuningStep]:
    blocks = _Blocks(generator, _first(generator, config.first_block))
    losses = comparisons(config.perceptual, generator.device)
    with torch.no_grad():
        others = draw(generator, config.anchors, SEED).to(latent)[:, None]  # (A, 1, w_dim)
        anchors = [blocks.before(latent.lerp(other[None], 0.5)) for other in others]
        stay = [blocks.after(blocks.weights, anchor) for anchor in anchors]
        pivot = blocks.before(latent)
    with gradients():
        weights = {name: t.clone().requires_grad_() for name, t in blocks.weights.items()}
        adam = torch.optim.Adam(list(weights.values()))
    least, best = math.inf, None
    for i in range(config.steps + 1):
        with gradients():
            image = blocks.after(weights, pivot)
            wanted = sum((w * compare(image, picture) for w, compare in losses.values()), torch.zeros(1).to(image))
        if not wanted.isfinite():
            raise FloatingPointError(Said("the tuning diverged at step {step}: lower lr", {"step": i}))
        if wanted.item() < least:
            least = wanted.item()
            changes = {name: (t - blocks.weights[name]).detach() for name, t in weights.items()}
            best = image.detach(), psnr(image, picture), changes
        assert best is not None, "a finite loss is less than infinity"
        yield TuningStep(i, config.steps, best[1], tuple(losses), best[0], best[2])
        if i == config.steps:
            return
        with gradients():
            k = i % config.anchors
            kept = pyramid(blocks.after(weights, anchors[k]), stay[k])
            adam.param_groups[0]["lr"] = config.lr * (1 + math.cos(math.pi * i / config.steps)) / 2
            adam.zero_grad()
            (wanted + config.locality * kept).sum().backward()
            adam.step()


@dataclass(frozen=True, eq=False)
class _Start:
    """What the blocks that are tuned begin with; none of it depends on their weights."""

    layers: tuple[Tensor, ...]  # (1, w_dim) for each layer
    features: Tensor  # (1, C, h, w), of the block before
    image: Tensor  # (1, 3, h, w), so far


class _Blocks:
    """The last blocks of a generator, from the one of number `first` on, with weights that can be replaced."""

    def __init__(self, generator: Generator, first: int) -> None:
        self.generator, self.first = generator, first
        tensors = generator.state_dict()
        names = [f"synthesis.b{r}.{name}" for r in generator.config.resolutions[first:] for name in WEIGHTS]
        self.weights = {name: tensors[name] for name in names}

    def before(self, latent: Tensor) -> _Start:
        below = self.generator.config.resolutions[self.first - 1]
        features = self.generator.trunk(latent, below).features
        return _Start(self.generator.layers_of(latent), features, self.generator.preview(latent, below))

    def after(self, weights: Mapping[str, Tensor], start: _Start) -> Tensor:
        """The picture with these weights, (1, 3, H, W); gradients reach them."""
        x, image = start.features, start.image
        resolutions = self.generator.config.resolutions
        for i, block in list(enumerate(self.generator.synthesis.blocks()))[self.first :]:
            mine = {name: weights[f"synthesis.b{resolutions[i]}.{name}"] for name in WEIGHTS}
            for conv in ("conv0", "conv1"):
                mine[f"{conv}.power"] = mine[f"{conv}.weight"].square().sum(dim=(2, 3))
            x = functional_call(block, mine, (x, start.layers[2 * i - 1 : 2 * i + 1], "const"))
            colours = {name: mine[f"torgb.{name}"] for name in ("weight", "bias")}
            image = ops.upsample2x(image) + functional_call(block.torgb, colours, (x, start.layers[2 * i + 1]))
        return image


def _first(generator: Generator, resolution: int) -> int:
    """The number of the first block to tune; the block before it stays."""
    blocks = generator.config.resolutions
    resolution = min(resolution, blocks[-1])
    if resolution not in blocks[1:]:
        raise ValueError(f"first_block {resolution} is not one of this generator's {blocks[1:]}")
    return blocks.index(resolution)
