"""A drag step as the published applications take it, to measure against.

The whole network is run, picture included, with a modulated weight for each layer; the feature map is resized to the
picture; gradients of the modulated weights are computed on the way to w; after the optimiser's step the whole network
is run again for point tracking and the picture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from draggan.geometry import DragPair
from draggan.stylegan2 import ops
from draggan.stylegan2.generator import Generator
from draggan.stylegan2.layers import SynthesisLayer
from draggan.stylegan2.lowpass import blur


class WholeNetworkDrag:
    """`step()` takes one optimisation step and returns the picture. The same loss as the engine's, without a mask."""

    def __init__(
        self, generator: Generator, latent: Tensor, pairs: list[DragPair], mask: Tensor | None = None, lr: float = 2e-3
    ) -> None:
        self.generator, self.size = generator, generator.image_size
        self.mask = None if mask is None else mask.to(latent.device)
        self.r1, self.r2 = round(3 / 512 * max(self.size)), round(12 / 512 * max(self.size))
        self.weights = {m: m.weight.contiguous() for m in generator.modules() if isinstance(m, SynthesisLayer)}
        self.fixed = latent[:, 6:]
        self.moving = latent[:, :6].clone().requires_grad_()
        self.adam = torch.optim.Adam([self.moving], lr=lr)
        self.handles = [(round(p.handle.x), round(p.handle.y)) for p in pairs]
        self.targets = [(p.target.x, p.target.y) for p in pairs]
        rows, columns = torch.arange(self.size[0]).float(), torch.arange(self.size[1]).float()
        self.grid = [axis.to(latent.device) for axis in torch.meshgrid(rows, columns, indexing="ij")]
        with torch.no_grad():
            self.first = self._forward()[1]
        self.templates = [self.first[0, :, y, x] for x, y in self.handles]

    def step(self) -> Tensor:
        _, features = self._forward()
        loss = self._loss(features)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        with torch.no_grad():
            picture, features = self._forward()
            self.handles = [self._track(features, i) for i in range(len(self.handles))]
        return picture

    def _loss(self, features: Tensor) -> Tensor:
        loss = features.new_zeros(())
        for (x, y), (tx, ty) in zip(self.handles, self.targets, strict=True):
            rows, columns = torch.where((self.grid[0] - y) ** 2 + (self.grid[1] - x) ** 2 < self.r1**2)
            direction = F.normalize(features.new_tensor([float(tx - x), float(ty - y)]), dim=0)
            places = torch.stack([columns + direction[0], rows + direction[1]], dim=1)
            normalised = places / (places.new_tensor([self.size[1], self.size[0]]) - 1) * 2 - 1
            ahead = F.grid_sample(features, normalised[None, None], align_corners=True)[0, :, 0]
            loss = loss + (features[0, :, rows, columns].detach() - ahead).abs().mean()
        if self.mask is not None:
            loss = loss + 20 * ((features - self.first) * (1 - self.mask)).abs().mean()
        return loss

    def _track(self, features: Tensor, i: int) -> tuple[int, int]:
        x, y = self.handles[i]
        top, left = max(y - self.r2, 0), max(x - self.r2, 0)
        patch = features[0, :, top : y + self.r2 + 1, left : x + self.r2 + 1]
        best = (patch - self.templates[i][:, None, None]).abs().sum(dim=0)
        row, column = divmod(int(best.argmin()), best.shape[1])
        return left + column, top + row

    def _forward(self) -> tuple[Tensor, Tensor]:
        """The picture (1, 3, H, W), and the 128 x 128 features resized to it."""
        ws = torch.cat([self.moving, self.fixed], dim=1)
        x = image = features = None
        for i, block in enumerate(self.generator.synthesis.blocks()):
            if block.conv0 is None:
                x = block.const[None]
            else:
                x = self._layer(block.conv0, x, ws[:, 2 * i - 1])
            x = self._layer(block.conv1, x, ws[:, 2 * i])
            rgb = block.torgb(x, ws[:, 2 * i + 1])
            image = rgb if image is None else ops.upsample2x(image) + rgb
            if i == 5:
                features = F.interpolate(x, size=self.size, mode="bilinear", align_corners=False)
        return image, features

    def _layer(self, layer: SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
        """A synthesis layer with a modulated weight, which takes part in the gradient."""
        weight = self.weights[layer] * layer.affine(w)[0][None, :, None, None]
        weight = weight * (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        if layer.up:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = blur(F.pad(x, (1, 1, 1, 1)), gain=4)
        else:
            x = F.conv2d(x, weight, padding=1)
        x = x + layer.noise_const * layer.noise_strength
        return ops.leaky_relu(x + layer.bias[:, None, None], layer.clamp)
