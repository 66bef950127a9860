"""StyleGAN2's synthesis written out from its definition, on the weights as other projects keep them.

Slow and obvious: sums over kernel taps, a weight of its own for every picture, float64. The oracle of what a converted
generator has to draw.
"""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

FIR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


@dataclass(frozen=True)
class Layer:
    """A modulated convolution. `up` layers insert zeros first."""

    weight: np.ndarray  # (out, in, k, k), by which the input is correlated
    mod_weight: np.ndarray  # (in, w_dim)
    mod_bias: np.ndarray  # (in,), about 1
    bias: np.ndarray  # (out,)
    noise: np.ndarray | None = None  # (h, w), by its strength; None: a colour layer
    up: bool = False


@dataclass(frozen=True)
class SlowNetwork:
    mapping: tuple[tuple[np.ndarray, np.ndarray], ...]  # (out, in), (out,)
    w_avg: np.ndarray
    const: np.ndarray  # (C, 4, 4)
    blocks: tuple[tuple[Layer, ...], ...]  # the convolutions of a block, then its colour layer

    def draw(self, z: np.ndarray, psi: float) -> np.ndarray:
        """z (z_dim,) -> picture (3, H, W), with the learned noise."""
        x = z / np.sqrt(np.mean(z**2) + 1e-8)
        for weight, bias in self.mapping:
            x = leaky_relu(weight @ x * 0.01 / np.sqrt(weight.shape[1]) + bias * 0.01)
        w = self.w_avg + (x - self.w_avg) * psi
        x, picture = self.const, None
        for *convs, torgb in self.blocks:
            for layer in convs:
                x = leaky_relu(modulated(x, w, layer) + layer.noise + layer.bias[:, None, None])
            colours = modulated(x, w, torgb) + torgb.bias[:, None, None]
            picture = colours if picture is None else fir(insert_zeros(picture), (2, 1)) * 4 + colours
        return picture


def leaky_relu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x) * np.sqrt(2)


def modulated(x: np.ndarray, w: np.ndarray, layer: Layer) -> np.ndarray:
    """x (in, h, w) -> (out, h, w) or (out, 2 h, 2 w)."""
    style = layer.mod_weight @ w / np.sqrt(len(w)) + layer.mod_bias
    weight = layer.weight / np.sqrt(layer.weight[0].size) * style[:, None, None]
    if layer.noise is not None:
        weight = weight / np.sqrt((weight**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
    if not layer.up:
        return correlate(x, weight, (layer.weight.shape[2] // 2,) * 2)
    return fir(correlate(insert_zeros(x)[:, :-1, :-1], weight, (2, 2)), (1, 1)) * 4


def correlate(x: np.ndarray, weight: np.ndarray, padding: tuple[int, int]) -> np.ndarray:
    """x (in, h, w), weight (out, in, k, k): every output is the sum of the taps laid over the input."""
    x = np.pad(x, ((0, 0), padding, padding))
    k = weight.shape[2]
    h, w = x.shape[1] - k + 1, x.shape[2] - k + 1
    return sum(
        np.einsum("oi,ihw->ohw", weight[:, :, i, j], x[:, i : i + h, j : j + w]) for i in range(k) for j in range(k)
    )


def insert_zeros(x: np.ndarray) -> np.ndarray:
    """x (C, h, w) -> (C, 2 h, 2 w), a zero after every element."""
    out = np.zeros((x.shape[0], 2 * x.shape[1], 2 * x.shape[2]))
    out[:, ::2, ::2] = x
    return out


def fir(x: np.ndarray, padding: tuple[int, int]) -> np.ndarray:
    return np.concatenate([correlate(channel[None], FIR[None, None], padding) for channel in x])


def from_tensorflow(variables: dict[str, dict[str, np.ndarray]]) -> SlowNetwork:
    """Kernels are (kh, kw, in, out) and (in, out); the convolution after an upsampling correlates as any other."""
    held = variables["synthesis"]
    noises = iter(range(len(held)))

    def layer(name: str) -> Layer:
        return Layer(
            weight=held[f"{name}/weight"].transpose(3, 2, 0, 1),
            mod_weight=held[f"{name}/mod_weight"].T,
            mod_bias=held[f"{name}/mod_bias"] + 1,
            bias=held[f"{name}/bias"],
            noise=None if "ToRGB" in name else held[f"noise{next(noises)}"][0, 0] * held[f"{name}/noise_strength"],
            up="up" in name,
        )

    blocks = [tuple(map(layer, ("4x4/Conv", "4x4/ToRGB")))]
    while f"{(r := 4 << len(blocks))}x{r}/ToRGB/weight" in held:
        blocks.append(tuple(layer(f"{r}x{r}/{part}") for part in ("Conv0_up", "Conv1", "ToRGB")))
    dense = variables["mapping"]
    mapping = tuple((dense[f"Dense{i}/weight"].T, dense[f"Dense{i}/bias"]) for i in range(len(dense) // 2))
    return SlowNetwork(mapping, variables["own"]["dlatent_avg"], held["4x4/Const/const"][0], tuple(blocks))


def from_rosinality(state: OrderedDict, latent_avg: np.ndarray) -> SlowNetwork:
    """The convolution of an upsampling is PyTorch's transposed one: its taps are laid over the output."""
    held = {name: tensor.numpy() for name, tensor in state.items()}
    noises = iter(range(len(held)))

    def layer(name: str, up: bool = False) -> Layer:
        weight = held[f"{name}.conv.weight"][0]
        torgb = "rgb" in name
        return Layer(
            weight=weight[:, :, ::-1, ::-1] if up else weight,
            mod_weight=held[f"{name}.conv.modulation.weight"],
            mod_bias=held[f"{name}.conv.modulation.bias"],
            bias=held[f"{name}.bias"].reshape(-1) if torgb else held[f"{name}.activate.bias"],
            noise=None if torgb else held[f"noises.noise_{next(noises)}"][0, 0] * held[f"{name}.noise.weight"],
            up=up,
        )

    blocks = [(layer("conv1"), layer("to_rgb1"))]
    while f"convs.{2 * (k := len(blocks) - 1)}.conv.weight" in held:
        blocks.append((layer(f"convs.{2 * k}", up=True), layer(f"convs.{2 * k + 1}"), layer(f"to_rgbs.{k}")))
    layers = sum(name.startswith("style.") and name.endswith(".weight") for name in held)
    mapping = tuple((held[f"style.{i + 1}.weight"], held[f"style.{i + 1}.bias"]) for i in range(layers))
    return SlowNetwork(mapping, latent_avg, held["input.input"][0], tuple(blocks))
