"""What a StyleGAN2 generator is made of, read off the names and shapes of its tensors. Knows nothing of files."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BLOCK = re.compile(r"synthesis\.b(\d+)\.")


@dataclass(frozen=True)
class GeneratorConfig:
    """The shape of a generator with the skip architecture (Karras et al. 2020, section 4.1)."""

    z_dim: int
    w_dim: int
    c_dim: int  # classes of a conditional generator; 0: unconditional
    num_mapping_layers: int
    resolutions: tuple[int, ...]  # of the synthesis blocks: 4, 8, .., the longer side of the picture
    channels: tuple[int, ...]  # of the feature maps, one a block
    const_height: int = 4  # of the learned constant; 4 x 2 makes pictures twice as high as wide
    const_width: int = 4
    img_channels: int = 3
    mapping_lr_multiplier: float = 0.01
    conv_clamp: float | None = None  # limit of the activations, where the network was trained with one

    def __post_init__(self) -> None:
        expected = tuple(4 << i for i in range(len(self.resolutions)))
        if self.resolutions != expected or not self.resolutions:
            raise ValueError(f"synthesis blocks {self.resolutions} are not 4, 8, 16, ..: the network is incomplete")
        if len(self.channels) != len(self.resolutions):
            raise ValueError(f"{len(self.channels)} channel counts for {len(self.resolutions)} synthesis blocks")
        if max(self.const_height, self.const_width) != 4 or min(self.const_height, self.const_width) < 1:
            raise ValueError(f"a constant of {self.const_height} x {self.const_width}: its longer side must be 4")

    @property
    def num_ws(self) -> int:
        """Layers that take a w of their own: two a block, the colour layer of a block sharing the next one's."""
        return 2 * len(self.resolutions)

    @property
    def height(self) -> int:
        return self.const_height * self.resolutions[-1] // 4

    @property
    def width(self) -> int:
        return self.const_width * self.resolutions[-1] // 4

    @property
    def products(self) -> int:
        """How many numbers its 3 x 3 convolutions multiply for a picture, about."""
        ins = (0, *self.channels)
        areas = (height * width for height, width in map(self.map_size, self.resolutions))
        return sum(9 * (i + o) * o * area for i, o, area in zip(ins, self.channels, areas, strict=False))

    def map_size(self, resolution: int) -> tuple[int, int]:
        """(height, width) of the feature map of the block of `resolution`, in cells."""
        return self.const_height * resolution // 4, self.const_width * resolution // 4

    def channels_of(self, resolution: int) -> int:
        """Those of the feature map of the block of `resolution`."""
        return self.channels[self.resolutions.index(resolution)]

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor that such a generator has, as StyleGAN2-ADA names them."""
        shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (self.w_dim,)}
        fan_in = self.z_dim + (self.w_dim if self.c_dim else 0)
        if self.c_dim:
            shapes |= {"mapping.embed.weight": (self.w_dim, self.c_dim), "mapping.embed.bias": (self.w_dim,)}
        for i in range(self.num_mapping_layers):
            shapes |= {f"mapping.fc{i}.weight": (self.w_dim, fan_in), f"mapping.fc{i}.bias": (self.w_dim,)}
            fan_in = self.w_dim

        def layer(name: str, ins: int, outs: int, kernel: int) -> dict[str, tuple[int, ...]]:
            return {
                f"{name}.weight": (outs, ins, kernel, kernel),
                f"{name}.bias": (outs,),
                f"{name}.affine.weight": (ins, self.w_dim),
                f"{name}.affine.bias": (ins,),
            }

        ins = self.channels[0]
        for resolution, outs in zip(self.resolutions, self.channels, strict=True):
            block = f"synthesis.b{resolution}"
            size = self.map_size(resolution)
            if resolution == 4:
                shapes[f"{block}.const"] = (outs, *size)
            for conv in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
                shapes |= layer(f"{block}.{conv}", ins if conv == "conv0" else outs, outs, 3)
                shapes |= {f"{block}.{conv}.noise_const": size, f"{block}.{conv}.noise_strength": ()}
            shapes |= layer(f"{block}.torgb", outs, self.img_channels, 1)
            ins = outs
        return shapes

    @classmethod
    def from_shapes(
        cls,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        mapping_lr_multiplier: float = 0.01,
        conv_clamp: float | None = None,
    ) -> "GeneratorConfig":
        """The config of the generator whose tensors have these names and shapes.

        Raises ValueError where the shapes are not those of a StyleGAN2 generator with the skip architecture.
        """
        if any(".skip." in name for name in shapes):
            raise ValueError("a generator of the resnet architecture: only the skip architecture can be read")
        blocks = {int(found[1]) for name in shapes if (found := BLOCK.match(name))}
        resolutions = tuple(sorted(blocks))
        layers = sum(1 for name in shapes if re.fullmatch(r"mapping\.fc\d+\.weight", name))
        try:
            const = shapes["synthesis.b4.const"]
            w_dim = shapes["mapping.w_avg"][0]
            c_dim = shapes["mapping.embed.weight"][1] if "mapping.embed.weight" in shapes else 0
            config = cls(
                z_dim=shapes["mapping.fc0.weight"][1] - (w_dim if c_dim else 0),
                w_dim=w_dim,
                c_dim=c_dim,
                num_mapping_layers=layers,
                resolutions=resolutions,
                channels=tuple(shapes[f"synthesis.b{r}.conv1.weight"][0] for r in resolutions),
                const_height=const[1],
                const_width=const[2],
                img_channels=shapes["synthesis.b4.torgb.weight"][0],
                mapping_lr_multiplier=mapping_lr_multiplier,
                conv_clamp=conv_clamp,
            )
        except (KeyError, IndexError) as error:
            raise ValueError(f"not a StyleGAN2 generator: {error.args[0]!r} is missing or has a wrong shape") from None
        config.check(shapes)
        return config

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raises ValueError unless `shapes` has exactly the tensors of this generator."""
        expected = self.tensor_shapes()
        for what, names in (("missing", expected.keys() - shapes.keys()), ("unknown", shapes.keys() - expected.keys())):
            if names:
                some = ", ".join(sorted(names)[:5])
                raise ValueError(f"{len(names)} {what} tensors of a StyleGAN2 generator: {some}")
        for name, shape in expected.items():
            if tuple(shapes[name]) != shape:
                raise ValueError(f"tensor {name} has shape {tuple(shapes[name])}, expected {shape}")

    def to_json(self) -> dict[str, Any]:
        """What the tensors' shapes do not tell, and what a reader of the file wants to know."""
        return {
            "architecture": "stylegan2",
            "z_dim": self.z_dim,
            "w_dim": self.w_dim,
            "c_dim": self.c_dim,
            "img_resolution": self.resolutions[-1],
            "img_channels": self.img_channels,
            "num_mapping_layers": self.num_mapping_layers,
            "mapping_lr_multiplier": self.mapping_lr_multiplier,
            "conv_clamp": self.conv_clamp,
        }
