"""The StyleGAN2 generator: z -> w -> feature maps -> picture. Knows nothing of files, models or drags.

Names, shapes and numerics of the tensors are those of the StyleGAN2-ADA PyTorch networks, because the pretrained
models come that way. Every tensor is a frozen buffer: gradients reach w and never a weight.
"""

import copy
import functools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from draggan.stylegan2 import ops, strips
from draggan.stylegan2.config import GeneratorConfig
from draggan.stylegan2.layers import Dense, NoiseMode, SynthesisBlock, SynthesisLayer
from draggan.stylegan2.recent import Recent
from draggan.stylegan2.recordings import Recordings, records

Latents = Tensor | Sequence[Tensor]  # (N, num_ws, w_dim); or parts of it, (N, L, w_dim) for some layers and (N, w_dim)
# for one: then some may be without gradient

Known = TypeVar("Known")
RECENT = 4  # things that took long which are kept for whoever asks for them again soon
WHOLE = 128  # resolution up to which a picture's maps are made whole: below, reading the weights is what they cost


@dataclass(frozen=True, eq=False)
class Trunk:
    """Synthesis stopped after a block: what `Generator.picture` goes on from."""

    maps: tuple[Tensor, ...]  # the output of each block so far, 4 x 4 first: (N, C_r, h_r, w_r)

    @property
    def features(self) -> Tensor:
        """The feature map F of the last block run. (N, C, h, w)"""
        return self.maps[-1]

    def detach(self) -> "Trunk":
        return Trunk(tuple(m.detach() for m in self.maps))


class MappingNetwork(nn.Module):
    """z -> w: an MLP with a small learning rate; with classes, an embedding of the class beside z."""

    w_avg: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.layers = config.num_mapping_layers
        self.register_buffer("w_avg", torch.empty(config.w_dim))
        self.embed = Dense(config.c_dim, config.w_dim) if config.c_dim else None
        ins = config.z_dim + (config.w_dim if config.c_dim else 0)
        for i in range(self.layers):
            self.add_module(f"fc{i}", Dense(ins, config.w_dim, config.mapping_lr_multiplier))
            ins = config.w_dim

    def forward(self, z: Tensor, c: Tensor | None) -> Tensor:
        x = ops.normalize_second_moment(z)
        if self.embed is not None:
            x = torch.cat([x, ops.normalize_second_moment(self.embed(c))], dim=1)  # (N, z_dim + w_dim)
        for i in range(self.layers):
            x = ops.leaky_relu(getattr(self, f"fc{i}")(x))
        return x  # (N, w_dim)


class SynthesisNetwork(nn.Module):
    """The blocks by their resolution: `b4`, `b8`, ..."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        for i, resolution in enumerate(config.resolutions):
            self.add_module(f"b{resolution}", SynthesisBlock(config, i))

    def blocks(self) -> tuple[SynthesisBlock, ...]:
        return tuple(self.children())  # type: ignore[return-value]


class Generator(nn.Module):
    """A pretrained generator: immutable, shared by everyone who uses it.

    `tensors` are the network's, by their StyleGAN2-ADA names; they must be exactly those of `config`
    (ValueError otherwise); they are copied, so that no mapped file is held. Computes in float32 unless moved to another
    type. `keeps_in`: folders in which engines look for what takes long to work out of it, and in the last of which they
    keep it from one run to the next; they need not exist.
    """

    def __init__(self, config: GeneratorConfig, tensors: Mapping[str, Tensor], keeps_in: Sequence[Path] = ()) -> None:
        super().__init__()
        config.check({name: tuple(t.shape) for name, t in tensors.items()})
        self.config = config
        self.keeps_in = tuple(keeps_in)
        with torch.device("meta"):
            self.mapping = MappingNetwork(config)
            self.synthesis = SynthesisNetwork(config)
        plain = torch.contiguous_format  # however they lie in a file: sums in another order come out otherwise
        own = {n: t.detach().to(torch.float32, copy=True, memory_format=plain) for n, t in tensors.items()}
        super().load_state_dict(own, strict=True, assign=True)
        for layer in self.modules():
            if isinstance(layer, SynthesisLayer):
                layer.arrange()
        self._quick: tuple[Generator, ...] = ()  # in a tuple, so that it is no part of this module
        self._forms: dict[torch.dtype, Generator] = {}  # this network in other precisions
        self._known: dict[Hashable, Any] = {}
        self._origin: tuple[Generator, ...] = ()  # what this one is a changed form of
        self.recordings = Recordings()
        self.recent = Recent(RECENT)
        self.eval()

    @property
    def num_ws(self) -> int:
        return self.config.num_ws

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the pictures, in pixels."""
        return self.config.height, self.config.width

    @property
    def device(self) -> torch.device:
        return self.mapping.w_avg.device

    @property
    def dtype(self) -> torch.dtype:
        return self.mapping.w_avg.dtype

    @property
    def steady(self) -> bool:
        """Whether what it does is recorded, so that it pays to do the same operations each time."""
        return records(self.device)

    def _apply(self, *args: Any, **kwargs: Any) -> "Generator":
        """Of `to`, `double` and the like: the tensors move, and what was made of them is made anew."""
        multiplies_in = self.multiplies_in
        super()._apply(*args, **kwargs)
        self._renew(multiplies_in)
        return self

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As of any module, for tensors of the same shapes; what was worked out from the old ones is forgotten."""
        multiplies_in = self.multiplies_in
        loaded = super().load_state_dict(*args, **kwargs)
        for layer in self.modules():
            if isinstance(layer, SynthesisLayer):
                layer.prepare()
        self._known.clear()
        self._origin = ()
        self._renew(multiplies_in)
        return loaded

    def _renew(self, multiplies_in: torch.dtype) -> None:
        """What was made of the tensors, after they have changed or moved."""
        self.recordings.clear()
        self.recent.clear()
        self._forms.clear()
        self._quick = (self._multiplying(multiplies_in),) if self._quick and multiplies_in != self.dtype else ()

    @property
    def model(self) -> "Generator":
        """The network that speaks for the model: this one, or the one it is a changed form of, while in its place."""
        where = self.device, self.dtype
        return next((origin.model for origin in self._origin if (origin.device, origin.dtype) == where), self)

    def known(self, make: Callable[..., Known], *given: Hashable) -> Known:
        """make(model, *given), which says something of the model: worked out once, kept as long as the network is."""
        model, key = self.model, self._key(make, given)
        if key not in model._known:
            with torch.inference_mode(False):  # what is kept serves those who want gradients too
                model._known[key] = make(model, *given)
        return model._known[key]

    def knows(self, make: Callable, *given: Hashable) -> bool:
        """Whether `known` has it at hand."""
        return self._key(make, given) in self.model._known

    def learn(self, value: Known, make: Callable[..., Known], *given: Hashable) -> None:
        """Has `known` say a value that was worked out elsewhere."""
        self.model._known[self._key(make, given)] = value

    def _key(self, make: Callable, given: tuple[Hashable, ...]) -> Hashable:
        return make, given, self.device, self.dtype

    def dragging_in(self, dtype: torch.dtype) -> "Generator":
        """The same network, sharing its tensors, whose `quick` form multiplies in a type. Made once, kept with it."""
        if dtype == self.multiplies_in:
            return self
        if dtype not in self._forms:
            form = self._copied({})
            if dtype != self.dtype:
                form._quick = (form._multiplying(dtype),)
            self._forms[dtype] = form
        return self._forms[dtype]

    @property
    def multiplies_in(self) -> torch.dtype:
        """The type of the weights of a drag's convolutions."""
        return self.quick.synthesis.blocks()[0].conv1.weight.dtype

    def _multiplying(self, dtype: torch.dtype) -> "Generator":
        """A copy whose convolutions have their weights in a type."""
        layers = (layer for block in self.synthesis.blocks() for layer in (block.conv0, block.conv1) if layer)
        return self._copied({id(layer.weight): layer.weight.to(dtype) for layer in layers})

    def changed(self, changes: Mapping[str, Tensor]) -> "Generator":
        """The same network with some weights changed, sharing the others. changes: what is added, by their names."""
        weights = {name: self.get_buffer(name) for name in changes}
        generator = self._copied({id(weight): weight + changes[name].to(weight) for name, weight in weights.items()})
        for name in changes:
            layer = generator.get_submodule(name.rpartition(".")[0])
            if isinstance(layer, SynthesisLayer):
                layer.prepare()
        return generator.dragging_in(self.multiplies_in)

    def _copied(self, others: Mapping[int, Any]) -> "Generator":
        """A copy that shares its tensors but those of whose identity others are given, and without a quick form."""
        shared: dict[int, Any] = {id(t): t for t in self.buffers()}
        left = {id(self._quick): (), id(self._forms): {}, id(self._known): {}, id(self._origin): ()}
        made = copy.deepcopy(self, {**shared, **others, **left})
        made._origin = self._origin or (self,)
        return made

    @property
    def quick(self) -> "Generator":
        """What a drag computes features with: itself, or a form whose convolutions multiply in a lower type."""
        return self._quick[0] if self._quick else self

    @torch.no_grad()
    def latent(
        self,
        seed: int,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        class_index: int | None = None,
    ) -> Tensor:
        """The latent of a seed: (1, num_ws, w_dim), on the CPU.

        z is `numpy.random.RandomState(seed).randn(1, z_dim)`, as in the published StyleGAN2 tools.
        truncation_psi 0 gives the average picture, 1 the picture as drawn; it applies to the first
        `truncation_cutoff` layers (all when None). A class-conditional generator needs a class_index.
        """
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed {seed} is not in 0 .. {2**32 - 1}")
        if not math.isfinite(truncation_psi):
            raise ValueError(f"truncation psi {truncation_psi}: it must be a finite number, usually 0 .. 1")
        z = torch.from_numpy(np.random.RandomState(seed).randn(1, self.config.z_dim))
        c = None
        if self.config.c_dim:
            if class_index is None or not 0 <= class_index < self.config.c_dim:
                raise ValueError(f"class {class_index}: this generator needs one of 0 .. {self.config.c_dim - 1}")
            c = torch.eye(self.config.c_dim)[class_index : class_index + 1]
        elif class_index is not None:
            raise ValueError(f"class {class_index}: this generator has no classes, leave it out")
        return self.map(z, c, truncation_psi, truncation_cutoff).cpu()

    def map(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """z (N, z_dim), standard normal; c (N, c_dim), one-hot, of a conditional generator -> ws (N, num_ws, w_dim).

        The truncation trick pulls w towards the mean (Karras et al. 2019, appendix B).
        """
        if (None if c is None else c.shape[1]) != (self.config.c_dim or None):
            given = "no c" if c is None else f"c of shape {tuple(c.shape)}"
            raise ValueError(f"{given}: this generator has {self.config.c_dim} classes")
        to = {"device": self.device, "dtype": self.dtype}
        w = self.mapping(z.to(**to), None if c is None else c.to(**to))  # (N, w_dim)
        ws = w[:, None].repeat(1, self.num_ws, 1)  # (N, num_ws, w_dim)
        cut = self.num_ws if truncation_cutoff is None else truncation_cutoff
        if truncation_psi != 1:
            ws[:, :cut] = self.mapping.w_avg.lerp(ws[:, :cut], truncation_psi)
        return ws

    def trunk(self, ws: Latents, resolution: int, noise_mode: NoiseMode = "const") -> Trunk:
        """The synthesis blocks up to the one of `resolution`, and no further. ws (N, num_ws, w_dim)."""
        return Trunk(self._maps(self._checked(ws, noise_mode), resolution, noise_mode))

    def trunk_again(self, ws: Latents, resolution: int) -> Trunk:
        """As `trunk`, for what is done at every step of a drag: recorded, see `recordings.py`."""
        parts = self.parts_of(ws)
        if len(parts[0]) > 1:  # there is so much to do that it does not matter how it is asked for
            return self.trunk(parts, resolution)
        return Trunk(self.recordings.run(_maps, (self, resolution), *parts))

    def preview(self, ws: Latents, resolution: int, noise_mode: NoiseMode = "const") -> Tensor:
        """What the blocks up to the one of `resolution` put into the picture: small, quick, and nearly the picture.

        ws (N, num_ws, w_dim) -> (N, 3, h, w), the size of that block's map, about [-1, 1]; of the last block the
        picture itself. Gradients reach ws; `picture` and `render` give the same without, in little memory.
        """
        layers, maps, image = self.layers_of(ws), self.trunk(ws, resolution, noise_mode).maps, None
        for i, (block, x) in enumerate(zip(self.synthesis.blocks(), maps, strict=False)):
            rgb = block.torgb(x, layers[2 * i + 1])
            image = rgb if image is None else ops.upsample2x(image) + rgb
        assert image is not None, "a generator has at least one block"
        return image

    @torch.no_grad()
    def picture(
        self,
        ws: Latents,
        noise_mode: NoiseMode = "const",
        resolution: int | None = None,
        trunk: Trunk | None = None,
    ) -> Tensor:
        """The picture of one latent, without gradients and in little memory; from where a `trunk` of it stopped.

        ws (1, num_ws, w_dim) -> (1, 3, H, W), about [-1, 1].
        With a `resolution` below the picture's it is a preview of the same size: what the blocks up to that one
        paint, resized.
        """
        layers, last = self._checked(ws, noise_mode), self._block(resolution or self.config.resolutions[-1])
        if len(layers[0]) != 1:
            raise ValueError(f"{len(layers[0])} latents: a picture is made of one; `render` takes several")
        if trunk is None:
            maps = self._maps(layers, min(WHOLE, self.config.resolutions[last]), noise_mode)
        else:
            maps = trunk.maps[: last + 1]
        blocks = self.synthesis.blocks()[: last + 1]
        colours = [block.torgb(x, w) for block, x, w in zip(blocks, maps, layers[1::2], strict=False)]
        colours += strips.colours(blocks[len(maps) :], maps[-1], layers[2 * len(maps) - 1 :], noise_mode)
        image = functools.reduce(lambda image, rgb: ops.upsample2x(image) + rgb, colours)  # (1, 3, h_r, w_r)
        return F.interpolate(image, size=self.image_size, mode="bilinear", align_corners=False)

    def render(self, ws: Tensor, noise_mode: NoiseMode = "const", resolution: int | None = None) -> Tensor:
        """The pictures of latents, without gradients. ws (N, num_ws, w_dim) -> (N, 3, H, W), about [-1, 1].

        With a `resolution` below the picture's, previews: see `picture`.
        """
        layers = self._checked(ws, noise_mode)
        each = zip(*(w.split(1) for w in layers), strict=True)
        return torch.cat([self.picture(one, noise_mode, resolution) for one in each])

    def parts_of(self, ws: Latents) -> tuple[Tensor, ...]:
        """Its parts, (N, L, w_dim), where this generator computes. Raises ValueError for another shape."""
        ws = torch.from_numpy(ws) if isinstance(ws, np.ndarray) else ws  # which would be taken for a sequence
        given = (ws,) if isinstance(ws, Tensor) else ws
        parts = tuple(w[:, None] if w.ndim == 2 and w is not ws else w for w in given)
        layers, w_dim = self.num_ws, self.config.w_dim
        if any(w.ndim != 3 or w.shape[2] != w_dim for w in parts) or sum(w.shape[1] for w in parts) != layers:
            shapes = " and ".join(str(tuple(w.shape)) for w in given)
            raise ValueError(f"latent of shape {shapes}, expected (N, {layers}, {w_dim})")
        device, dtype = self.device, self.dtype
        return tuple(w.to(device=device, dtype=dtype) for w in parts if w.shape[1])

    def layers_of(self, ws: Latents) -> tuple[Tensor, ...]:
        """The w of each layer, (N, w_dim), where this generator computes. Raises ValueError for another shape."""
        return tuple(w for part in self.parts_of(ws) for w in part.unbind(1))

    def _maps(self, layers: Sequence[Tensor], resolution: int, noise_mode: NoiseMode) -> tuple[Tensor, ...]:
        """The output of each block up to the one of `resolution`."""
        maps: list[Tensor] = []
        for i, block in enumerate(self.synthesis.blocks()[: self._block(resolution) + 1]):
            ws = layers[max(2 * i - 1, 0) : 2 * i + 1]  # of its one or two convolutions
            maps.append(block(maps[-1] if maps else None, ws, noise_mode))
        return tuple(maps)

    def _block(self, resolution: int) -> int:
        """The number of the block of `resolution`. Raises ValueError where there is none."""
        if resolution not in self.config.resolutions:
            raise ValueError(f"no block of resolution {resolution}: this generator has {self.config.resolutions}")
        return self.config.resolutions.index(resolution)

    def _checked(self, ws: Latents, noise_mode: NoiseMode) -> tuple[Tensor, ...]:
        if noise_mode not in get_args(NoiseMode):
            raise ValueError(f"noise_mode {noise_mode!r} is not one of {', '.join(get_args(NoiseMode))}")
        return self.layers_of(ws)


def _maps(generator: Generator, resolution: int, *parts: Tensor) -> tuple[Tensor, ...]:
    """The maps of `Generator.trunk`."""
    return generator.trunk(parts, resolution).maps
