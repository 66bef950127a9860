"""The StyleGAN2 networks of other projects: where each keeps a tensor of ours, and how it lays it out.

Three layouts: NVIDIA's PyTorch snapshots (StyleGAN2-ADA, the StyleGAN2 networks of the StyleGAN3 repository and of
StyleGAN-Human), NVIDIA's TensorFlow snapshots (config-f), and rosinality's PyTorch checkpoints. Knows nothing of how
bytes lie in a file, and reads none but the few that say what kind of network it is.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch
from torch import Tensor

from draggan.stylegan2.arrays import Array, Document, mapping
from draggan.stylegan2.lowpass import FIR
from draggan.stylegan2.pickles import Record

MODULE = "torch_utils.persistence._reconstruct_persistent_obj"
TF_NETWORK = "dnnlib.tflib.network.Network"
ALLOWED = frozenset([MODULE, TF_NETWORK, "argparse.Namespace"])  # the last: the options of rosinality's training
MAX_TENSORS = 1000  # of one network; a 1024 pixel generator has 155
MAX_MODULES = 1000


Change = Callable[[Tensor], Tensor]


def _same(x: Tensor) -> Tensor:
    return x


def _first(x: Tensor) -> Tensor:
    return x[0]


def _map(x: Tensor) -> Tensor:
    return x[0, 0]  # (1, 1, h, w) -> (h, w)


@dataclass(frozen=True)
class Piece:
    """A tensor of ours, as it lies in a foreign file."""

    array: Array
    layout: Change = _same  # from their axes to ours: a view
    values: Change = _same  # from their values to ours: the shape stays

    @property
    def shape(self) -> tuple[int, ...]:
        """In our layout."""
        return tuple(self.layout(torch.empty(()).expand(self.array.shape)).shape)

    def read(self, file: BinaryIO) -> Tensor:
        """The tensor in our layout, as float32."""
        return self.values(self.layout(self.array.read(file))).float().contiguous()


@dataclass(frozen=True)
class Network:
    """A generator in a foreign file, its tensors still there."""

    pieces: dict[str, Piece]  # by our names; `mapping.w_avg` may be missing: a training of rosinality's keeps no mean
    mapping_lr_multiplier: float
    conv_clamp: float | None


def find_generator(document: Document) -> Network:
    """The generator in any of the three layouts, the averaged one where there are two.

    Raises ValueError where there is none, or one that this project cannot run.
    """
    match document.value:
        case dict(value) if isinstance(value.get("G_ema"), Record) and value["G_ema"].name == MODULE:
            return _nvidia_pytorch(document, value["G_ema"])
        case (_, _, Record(name=name) as averaged) if name == TF_NETWORK:
            return _nvidia_tensorflow(document, averaged)
        case dict(value) if "g_ema" in value:
            return _rosinality(document, mapping(value["g_ema"]), value.get("latent_avg"))
    raise ValueError("it holds no StyleGAN2 generator: neither G_ema, nor (G, D, Gs), nor g_ema")


# NVIDIA, PyTorch -----------------------------------------------------------------------------------------------------


def _nvidia_pytorch(document: Document, generator: Record) -> Network:
    """Names and layouts are ours: only what the names do not tell has to be looked up."""
    pieces = {}
    rates, clamps = [], []
    for path, state in _modules(generator):
        if re.match(r"synthesis\.(input$|L\d+_)", path):
            raise ValueError("a StyleGAN3 generator: choose a StyleGAN2 one of the same data, StyleGAN3 cannot be run")
        if re.fullmatch(r"mapping\.fc\d+", path):
            rates.append(document.number(_fact(state, "bias_gain", path)))
            _require(path, "activation", _fact(state, "activation", path), "lrelu")
        elif re.fullmatch(r"synthesis\.b\d+\.(conv[01]|torgb)", path):
            clamp = _fact(state, "conv_clamp", path)
            clamps.append(None if clamp is None else document.number(clamp))
            if not path.endswith("torgb"):
                _require(path, "activation", _fact(state, "activation", path), "lrelu")
        elif re.fullmatch(r"synthesis\.b\d+", path):
            _require(path, "architecture", _fact(state, "architecture", path), "skip")
        tensors = mapping(_fact(state, "_parameters", path)) | mapping(_fact(state, "_buffers", path))
        for name, value in tensors.items():
            full = f"{path}.{name}".lstrip(".")
            if name == "resample_filter":
                _require_filter(document, full, document.array(value), gain=1)
            elif value is not None:
                _add(pieces, full, Piece(document.array(value)))
    return Network(pieces, _common("lr_multiplier", rates), _common("conv_clamp", clamps))


def _modules(root: Record) -> Iterator[tuple[str, dict[Any, Any]]]:
    """(path, state) of a module and of all in it, each once: a file may have them in a circle."""
    waiting = [("", root)]
    seen = set()
    while waiting:
        path, module = waiting.pop()
        if not isinstance(module, Record) or module.name != MODULE or len(module.args) != 1 or id(module) in seen:
            raise ValueError(f"damaged: {path or 'the generator'} is not a module of its own")
        seen.add(id(module))
        if len(seen) > MAX_MODULES:
            raise ValueError(f"a network of more than {MAX_MODULES} modules")
        state = mapping(mapping(module.args[0]).get("state"))
        yield path, state
        for name, child in mapping(_fact(state, "_modules", path)).items():
            waiting.append((f"{path}.{name}".lstrip("."), child))


def _fact(state: dict[Any, Any], name: str, path: str) -> Any:
    if name not in state:
        raise ValueError(f"{path or 'the generator'} does not say its {name}: no module of a StyleGAN2 network")
    return state[name]


def _common(what: str, values: list[Any]) -> Any:
    if len(set(values)) != 1:
        raise ValueError(f"its layers have {len(set(values))} different values of {what}, one is expected")
    return values[0]


# NVIDIA, TensorFlow --------------------------------------------------------------------------------------------------

TF_LAYERS = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb"}
TF_EXPRESSIBLE = {  # of the arguments that networks are built with: what ours has built in
    "architecture": "skip",
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "resample_kernel": [1, 3, 3, 1],
}


def _nvidia_tensorflow(document: Document, network: Record) -> Network:
    state = mapping(network.state)
    facts = mapping(_fact(state, "static_kwargs", "Gs"))
    for name, expected in TF_EXPRESSIBLE.items():
        if facts.get(name) is not None:
            _require("Gs", name, facts[name], expected)
    pieces = {}
    for name, value in _variables(state):
        array = document.array(value)
        ours = _from_tensorflow(name)
        if ours is not None:
            _add(pieces, ours[0], Piece(array, *ours[1:]))
        elif array.shape:  # scalars such as `lod` are the state of a training
            raise ValueError(f"a variable {name[:100]!r}, which no StyleGAN2 generator of config-f has")
    clamp = facts.get("conv_clamp")
    return Network(
        pieces,
        document.number(facts.get("mapping_lrmul", 0.01)),
        None if clamp is None else document.number(clamp),
    )


def _variables(state: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """(name, value) of a network's own variables and of those of its two parts."""
    components = mapping(_fact(state, "components", "Gs"))
    parts = [("", state)]
    for part in ("mapping", "synthesis"):
        component = _fact(components, part, "Gs")
        if not isinstance(component, Record) or component.name != TF_NETWORK:
            raise ValueError(f"damaged: the {part} of Gs is not a network")
        parts.append((f"{part}/", mapping(component.state)))
    for prefix, part in parts:
        for item in _fact(part, "variables", prefix or "Gs"):
            match item:
                case (str(name), value):
                    yield prefix + name, value
                case _:
                    raise ValueError("damaged: a variable without a name")


def _from_tensorflow(name: str) -> tuple[str, Change, Change] | None:
    """Our name of a variable, and its changes of layout and values. Kernels are (kh, kw, in, out) and (in, out)."""
    if name == "dlatent_avg":
        return "mapping.w_avg", _same, _same
    if name == "synthesis/4x4/Const/const":
        return "synthesis.b4.const", _first, _same
    if found := re.fullmatch(r"mapping/(?:Dense(\d{1,3})|LabelEmbed)/(weight|bias)", name):
        layer = "embed" if found[1] is None else f"fc{found[1]}"
        return f"mapping.{layer}.{found[2]}", torch.t if found[2] == "weight" else _same, _same
    if found := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
        return f"{_noise_layer(int(found[1]))}.noise_const", _map, _same
    if found := re.fullmatch(r"synthesis/(\d{1,5})x\1/(Conv|Conv0_up|Conv1|ToRGB)/(\w+)", name):
        layer = f"synthesis.b{found[1]}.{TF_LAYERS[found[2]]}"
        match found[3]:
            case "weight":  # upsampling there correlates with the kernel, here it lays the kernel over the output
                turn = (lambda x: x.flip(2, 3)) if found[2] == "Conv0_up" else _same
                return f"{layer}.weight", lambda x: x.permute(3, 2, 0, 1), turn
            case "mod_weight":
                return f"{layer}.affine.weight", torch.t, _same
            case "mod_bias":  # around 0 there, around 1 here
                return f"{layer}.affine.bias", _same, lambda x: x + 1
            case "bias" | "noise_strength" as part:
                return f"{layer}.{part}", _same, _same
    return None


# rosinality ----------------------------------------------------------------------------------------------------------

ROSINALITY_PARTS: dict[str, tuple[str, Change]] = {
    "conv.weight": ("weight", _first),
    "conv.modulation.weight": ("affine.weight", _same),
    "conv.modulation.bias": ("affine.bias", _same),
    "noise.weight": ("noise_strength", lambda x: x.reshape(())),
    "activate.bias": ("bias", lambda x: x.reshape(-1)),
    "bias": ("bias", lambda x: x.reshape(-1)),  # of the colour layers, (1, 3, 1, 1)
}


def _rosinality(document: Document, tensors: dict[Any, Any], latent_avg: Any) -> Network:
    pieces: dict[str, Piece] = {}
    if latent_avg is not None:
        pieces["mapping.w_avg"] = Piece(document.array(latent_avg), lambda x: x.reshape(-1))
    for name, value in tensors.items():
        if not isinstance(name, str):
            raise ValueError("damaged: a tensor without a name")
        array = document.array(value)
        if name.endswith(".kernel"):
            _require_filter(document, name, array, gain=4)
        elif ours := _from_rosinality(name):
            _add(pieces, ours[0], Piece(array, ours[1]))
        else:
            raise ValueError(f"a tensor {name[:100]!r}, which no StyleGAN2 generator of this layout has")
    return Network(pieces, 0.01, None)


def _from_rosinality(name: str) -> tuple[str, Change] | None:
    if name == "input.input":
        return "synthesis.b4.const", _first
    if found := re.fullmatch(r"style\.([1-9]\d{0,2})\.(weight|bias)", name):  # style.0 normalises z
        return f"mapping.fc{int(found[1]) - 1}.{found[2]}", _same
    if found := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"{_noise_layer(int(found[1]))}.noise_const", _map
    if found := re.fullmatch(r"(conv1|to_rgb1|convs\.(\d{1,2})|to_rgbs\.(\d{1,2}))\.(.+)", name):
        if found[4] not in ROSINALITY_PARTS:
            return None
        part, change = ROSINALITY_PARTS[found[4]]
        if found[2] is not None:
            layer = _noise_layer(int(found[2]) + 1)
        elif found[3] is not None:
            layer = f"synthesis.b{8 << int(found[3])}.torgb"
        else:
            layer = "synthesis.b4." + ("conv1" if found[1] == "conv1" else "torgb")
        return f"{layer}.{part}", change
    return None


# common to the layouts -----------------------------------------------------------------------------------------------


def _noise_layer(index: int) -> str:
    """The layer that takes noise number `index`: one at 4 x 4, then two a block."""
    return f"synthesis.b{4 << (index + 1) // 2}.conv{index % 2 ^ 1}"


def _add(pieces: dict[str, Piece], name: str, piece: Piece) -> None:
    if name in pieces or len(pieces) == MAX_TENSORS:
        raise ValueError(f"it has {name} twice, or more than {MAX_TENSORS} tensors")
    pieces[name] = piece


def _require(where: str, what: str, value: Any, expected: Any) -> None:
    if type(value) is not type(expected) or value != expected:
        raise ValueError(f"{where} has another {what} than {expected}: such a network cannot be run")


def _require_filter(document: Document, name: str, array: Array, gain: float) -> None:
    """Resampling has one low-pass kernel here; a network with another would be run wrongly."""
    taps = torch.tensor(FIR, dtype=torch.float32) / sum(FIR)
    expected = torch.outer(taps, taps) * gain
    if array.shape != (4, 4) or not torch.allclose(array.read(document.file).float(), expected, atol=1e-6):
        raise ValueError(f"{name} is not the kernel {list(FIR)}: such a network cannot be run")
