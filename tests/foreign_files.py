"""Writes checkpoints of other projects, laid out as the originals are, from tensors of ours.

The pickles are made by Python's own pickler from objects that reduce as the originals do, with the originals' names:
modules are real `torch.nn.Module`s, tensors and storages reduce as PyTorch makes them, arrays as numpy does.
"""

import argparse
import io
import pickle
import types
from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from draggan.stylegan2.config import GeneratorConfig

FIR = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
SOURCE = "raise SystemExit('the source text in a checkpoint was executed')\n" * 100


class EasyDict(dict):
    """A dictionary whose items are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def _reconstruct_persistent_obj(meta: dict) -> None:
    raise AssertionError("called while a file was read")


class TensorFlowNetwork:
    """Reduces to its class and a state, as the networks of the TensorFlow projects do."""

    def __init__(self, name: str, static_kwargs: dict, components: dict, variables: list) -> None:
        self.state = {
            "version": 4,
            "name": name,
            "static_kwargs": static_kwargs,
            "components": components,
            "build_module_src": SOURCE,
            "build_func_name": name,
            "variables": variables,
        }

    def __getstate__(self) -> dict:
        return self.state

    def __setstate__(self, state: dict) -> None:
        raise AssertionError("called while a file was read")


class Pickler(pickle._Pickler):
    """Python's pickler, writing the names that the originals have in their places."""

    def __init__(self, file: Any, protocol: int, numpy: Literal[1, 2] = 2) -> None:
        super().__init__(file, protocol)
        self.numpy = numpy

    def save_global(self, obj: Any, name: str | None = None) -> None:
        names = {
            EasyDict: ("dnnlib.util", "EasyDict"),
            TensorFlowNetwork: ("dnnlib.tflib.network", "Network"),
            _reconstruct_persistent_obj: ("torch_utils.persistence", "_reconstruct_persistent_obj"),
        }
        module, name = names.get(obj) or (pickle.whichmodule(obj, obj.__qualname__), obj.__qualname__)
        core = module.replace("numpy.core", "numpy._core")
        module = core.replace("numpy._core", "numpy.core") if self.numpy == 1 else core
        if self.proto >= 4:
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        self.memoize(obj)

    dispatch = pickle._Pickler.dispatch | {types.FunctionType: save_global}


def dump(value: Any, path: Path, protocol: int, numpy: Literal[1, 2] = 2) -> Path:
    with path.open("wb") as file:
        Pickler(file, protocol, numpy).dump(value)
    return path


# NVIDIA, PyTorch -----------------------------------------------------------------------------------------------------


class Persistent(nn.Module):
    """A module that reduces to its class's name and source text, and its state."""

    def __init__(self, class_name: str, init_kwargs: dict, **attributes: Any) -> None:
        super().__init__()
        self._class_name = class_name
        self._init_args = ()
        self._init_kwargs = init_kwargs
        for name, value in attributes.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple:
        state = {name: value for name, value in self.__dict__.items() if name != "_class_name"}
        meta = {
            "type": "class",
            "version": 6,
            "module_src": SOURCE,
            "class_name": self._class_name,
            "state": state,
        }
        return _reconstruct_persistent_obj, (meta,), None


def persistent_generator(config: GeneratorConfig, tensors: dict[str, Tensor]) -> Persistent:
    """The module tree of a StyleGAN2-ADA generator, with the attributes that its layers keep."""

    def fill(module: Persistent, path: str, parameters: tuple[str, ...], buffers: tuple[str, ...] = ()) -> Persistent:
        for name in parameters:
            module.register_parameter(name, nn.Parameter(tensors[f"{path}.{name}"].clone(), requires_grad=False))
        for name in buffers:
            module.register_buffer(
                name, FIR.clone() if name == "resample_filter" else tensors[f"{path}.{name}"].clone()
            )
        return module

    def dense(path: str, activation: str, rate: float) -> Persistent:
        gain = rate / np.sqrt(tensors[f"{path}.weight"].shape[1])  # a numpy scalar, in the originals too
        module = Persistent("FullyConnectedLayer", {}, activation=activation, weight_gain=gain, bias_gain=rate)
        return fill(module, path, ("weight", "bias"))

    def conv(path: str, up: int) -> Persistent:
        facts = {"up": up, "use_noise": True, "activation": "lrelu", "padding": 1, "act_gain": np.sqrt(2)}
        module = Persistent("SynthesisLayer", {}, conv_clamp=config.conv_clamp, **facts)
        fill(module, path, ("weight", "noise_strength", "bias"), ("resample_filter", "noise_const"))
        module.affine = dense(f"{path}.affine", "linear", 1)
        return module

    def torgb(path: str) -> Persistent:
        module = Persistent("ToRGBLayer", {}, conv_clamp=config.conv_clamp, weight_gain=np.float64(0.35))
        module.affine = dense(f"{path}.affine", "linear", 1)
        return fill(module, path, ("weight", "bias"))

    mapping = Persistent("MappingNetwork", {}, z_dim=config.z_dim, c_dim=config.c_dim, w_avg_beta=0.995)
    if config.c_dim:
        mapping.embed = dense("mapping.embed", "linear", 1)
    for i in range(config.num_mapping_layers):
        setattr(mapping, f"fc{i}", dense(f"mapping.fc{i}", "lrelu", config.mapping_lr_multiplier))
    fill(mapping, "mapping", (), ("w_avg",))

    synthesis = Persistent("SynthesisNetwork", {}, block_resolutions=list(config.resolutions))
    for resolution in config.resolutions:
        path = f"synthesis.b{resolution}"
        block = Persistent("SynthesisBlock", {}, architecture="skip", use_fp16=False, num_conv=2)
        if resolution == 4:
            fill(block, path, ("const",), ("resample_filter",))
        else:
            fill(block, path, (), ("resample_filter",))
            block.conv0 = conv(f"{path}.conv0", up=2)
        block.conv1 = conv(f"{path}.conv1", up=1)
        block.torgb = torgb(f"{path}.torgb")
        setattr(synthesis, f"b{resolution}", block)

    kwargs = {
        "z_dim": config.z_dim,
        "c_dim": config.c_dim,
        "w_dim": config.w_dim,
        "img_resolution": config.resolutions[-1],
        "mapping_kwargs": EasyDict(num_layers=config.num_mapping_layers),
        "synthesis_kwargs": EasyDict(channel_base=32768, channel_max=512, conv_clamp=config.conv_clamp),
    }
    return Persistent("Generator", kwargs, z_dim=config.z_dim, synthesis=synthesis, mapping=mapping).eval()


def persistent_discriminator(config: GeneratorConfig) -> Persistent:
    """A discriminator of the channels of `config`, of the resnet architecture as in StyleGAN2-ADA."""
    network = Persistent("Discriminator", {"c_dim": 0})

    def weights(*shapes: tuple[int, ...]) -> Persistent:
        module = Persistent("Conv2dLayer", {}, activation="lrelu")
        for i, shape in enumerate(shapes):
            module.register_parameter(("weight", "bias")[i], nn.Parameter(torch.ones(shape), requires_grad=False))
        return module

    sizes = list(zip(config.resolutions, config.channels, strict=True))[::-1]
    for (resolution, ins), (_, outs) in pairwise(sizes):
        block = Persistent("DiscriminatorBlock", {}, architecture="resnet")
        block.register_buffer("resample_filter", FIR.clone())
        if resolution == config.resolutions[-1]:
            block.fromrgb = weights((ins, config.img_channels, 1, 1), (ins,))
        block.conv0 = weights((ins, ins, 3, 3), (ins,))
        block.conv1 = weights((outs, ins, 3, 3), (outs,))
        block.skip = weights((outs, ins, 1, 1))
        setattr(network, f"b{resolution}", block)
    last = sizes[-1][1]
    network.b4 = Persistent("DiscriminatorEpilogue", {})
    network.b4.conv = weights((last, last + 1, 3, 3), (last,))
    network.b4.fc = weights((last, last * 16), (last,))
    network.b4.out = weights((1, last), (1,))
    return network


def write_nvidia_pytorch(
    path: Path,
    config: GeneratorConfig,
    tensors: dict[str, Tensor],
    *,
    protocol: int = 3,
    numpy: Literal[1, 2] = 1,
    whole: bool = True,
    change: Callable[[Persistent], None] = lambda generator: None,
) -> Path:
    """A snapshot of a training: G, D, G_ema; without `whole` only G_ema, as published for some networks.

    `change` may alter G_ema before it is written.
    """
    averaged = persistent_generator(config, tensors)
    change(averaged)
    snapshot: dict[str, Any] = {"G_ema": averaged}
    if whole:
        raw = persistent_generator(config, {name: torch.full_like(t, 7.0) for name, t in tensors.items()})
        dataset = EasyDict(class_name="training.dataset.ImageFolderDataset", path="/data/x.zip", use_labels=False)
        snapshot = {"G": raw, "D": persistent_discriminator(config), **snapshot}
        snapshot |= {"augment_pipe": None, "training_set_kwargs": dataset}
    return dump(snapshot, path, protocol, numpy)


# NVIDIA, TensorFlow --------------------------------------------------------------------------------------------------


def tensorflow_variables(config: GeneratorConfig, tensors: dict[str, Tensor]) -> dict[str, dict[str, np.ndarray]]:
    """The variables of a config-f network that is the generator with these tensors: own, mapping, synthesis."""

    def array(name: str) -> np.ndarray:
        return tensors[name].numpy()

    own = {"lod": np.float32(0).reshape(()), "dlatent_avg": array("mapping.w_avg")}
    mapping, synthesis = {}, {"lod": np.float32(0).reshape(())}
    names = [("Dense" + str(i), f"mapping.fc{i}") for i in range(config.num_mapping_layers)]
    for theirs, ours in names + [("LabelEmbed", "mapping.embed")] * bool(config.c_dim):
        mapping |= {f"{theirs}/weight": array(f"{ours}.weight").T, f"{theirs}/bias": array(f"{ours}.bias")}
    synthesis["4x4/Const/const"] = array("synthesis.b4.const")[None]
    noises = []
    for resolution in config.resolutions:
        layers = {"Conv": "conv1"} if resolution == 4 else {"Conv0_up": "conv0", "Conv1": "conv1"}
        for theirs, ours in (layers | {"ToRGB": "torgb"}).items():
            source, target = f"synthesis.b{resolution}.{ours}", f"{resolution}x{resolution}/{theirs}"
            weight = array(f"{source}.weight").transpose(2, 3, 1, 0)  # (kh, kw, in, out)
            synthesis |= {
                f"{target}/weight": weight[::-1, ::-1] if theirs == "Conv0_up" else weight,
                f"{target}/mod_weight": array(f"{source}.affine.weight").T,
                f"{target}/mod_bias": array(f"{source}.affine.bias") - 1,
                f"{target}/bias": array(f"{source}.bias"),
            }
            if ours != "torgb":
                synthesis[f"{target}/noise_strength"] = array(f"{source}.noise_strength")
                noises.append(array(f"{source}.noise_const")[None, None])
    synthesis |= {f"noise{i}": noise for i, noise in enumerate(noises)}
    return {"own": own, "mapping": mapping, "synthesis": synthesis}


def write_nvidia_tensorflow(
    path: Path,
    config: GeneratorConfig,
    tensors: dict[str, Tensor],
    *,
    protocol: int = 4,
    numpy: Literal[1, 2] = 1,
    **static_kwargs: Any,
) -> Path:
    """A snapshot (G, D, Gs) of the TensorFlow training; `static_kwargs` are added to the network's own."""

    def generator(tensors: dict[str, Tensor], name: str) -> TensorFlowNetwork:
        variables = tensorflow_variables(config, tensors)
        # the arrays come out of the session in C order
        lists = {part: [(n, np.array(v, order="C")) for n, v in held.items()] for part, held in variables.items()}
        facts = {
            "num_channels": 3,
            "resolution": config.resolutions[-1],
            "label_size": config.c_dim,
            "latent_size": config.z_dim,
            "dlatent_size": config.w_dim,
            "mapping_layers": config.num_mapping_layers,
            "mapping_lrmul": config.mapping_lr_multiplier,
            "fmap_base": 16384,
            "fmap_max": 512,
        } | static_kwargs
        parts = {
            "synthesis": TensorFlowNetwork("G_synthesis", dict(facts), {}, lists["synthesis"]),
            "mapping": TensorFlowNetwork("G_mapping", dict(facts), {}, lists["mapping"]),
        }
        return TensorFlowNetwork(name, EasyDict(facts), parts, lists["own"])

    raw = generator({name: torch.full_like(t, 7.0) for name, t in tensors.items()}, "G")
    judge = TensorFlowNetwork("D", {}, {}, [("4x4/Conv/weight", np.ones((3, 3, 9, 8), np.float32))])
    return dump((raw, judge, generator(tensors, "Gs")), path, protocol, numpy)


# rosinality ----------------------------------------------------------------------------------------------------------


def rosinality_state(config: GeneratorConfig, tensors: dict[str, Tensor]) -> "OrderedDict[str, Tensor]":
    """The state_dict of rosinality's generator that is the generator with these tensors."""
    state = OrderedDict()
    for i in range(config.num_mapping_layers):
        state[f"style.{i + 1}.weight"] = tensors[f"mapping.fc{i}.weight"]
        state[f"style.{i + 1}.bias"] = tensors[f"mapping.fc{i}.bias"]
    state["input.input"] = tensors["synthesis.b4.const"][None]

    def modulated(target: str, source: str) -> None:
        state[f"{target}.conv.weight"] = tensors[f"{source}.weight"][None]
        state[f"{target}.conv.modulation.weight"] = tensors[f"{source}.affine.weight"]
        state[f"{target}.conv.modulation.bias"] = tensors[f"{source}.affine.bias"]

    def conv(target: str, source: str) -> None:
        modulated(target, source)
        state[f"{target}.noise.weight"] = tensors[f"{source}.noise_strength"].reshape(1)
        state[f"{target}.activate.bias"] = tensors[f"{source}.bias"]
        noises.append(tensors[f"{source}.noise_const"][None, None])

    def torgb(target: str, source: str) -> None:
        modulated(target, source)
        state[f"{target}.bias"] = tensors[f"{source}.bias"].reshape(1, -1, 1, 1)

    noises = []
    conv("conv1", "synthesis.b4.conv1")
    torgb("to_rgb1", "synthesis.b4.torgb")
    for k, resolution in enumerate(config.resolutions[1:]):
        conv(f"convs.{2 * k}", f"synthesis.b{resolution}.conv0")
        state[f"convs.{2 * k}.conv.blur.kernel"] = FIR * 4
        conv(f"convs.{2 * k + 1}", f"synthesis.b{resolution}.conv1")
        torgb(f"to_rgbs.{k}", f"synthesis.b{resolution}.torgb")
        state[f"to_rgbs.{k}.upsample.kernel"] = FIR * 4
    state |= {f"noises.noise_{i}": noise for i, noise in enumerate(noises)}
    state = OrderedDict((name, tensor.clone()) for name, tensor in state.items())
    state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined] (as state_dict sets it)
    return state


def write_rosinality(
    path: Path, config: GeneratorConfig, tensors: dict[str, Tensor], *, legacy: bool = False, training: bool = False
) -> Path:
    """A converted checkpoint, in the zip or the legacy format of PyTorch, or what a `training` keeps."""
    state = rosinality_state(config, tensors)
    checkpoint: dict[str, Any] = {"g_ema": state, "latent_avg": tensors["mapping.w_avg"].clone()}
    if training:
        del checkpoint["latent_avg"]
        optimizer = {"state": {0: {"step": 3, "exp_avg": torch.ones(5)}}, "param_groups": [{"betas": (0.0, 0.99)}]}
        checkpoint |= {
            "g": state,
            "d": OrderedDict({"final_linear.1.bias": torch.ones(1)}),
            "g_optim": optimizer,
            "d_optim": optimizer,
            "args": argparse.Namespace(size=32, batch=16),
            "ada_aug_p": 0.5,
        }
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not legacy)
    return path


def relocated(storage: bytes, device: str) -> bytes:
    """A legacy storage file as a machine with `device` writes it."""
    cpu, other = (pickle.BINUNICODE + len(d).to_bytes(4, "little") + d.encode() for d in ("cpu", device))
    if storage.count(cpu) != 1:
        raise ValueError("no storage on the cpu")
    return storage.replace(cpu, other)


def legacy_bytes(value: Any) -> bytes:
    """What torch.save writes in the legacy format."""
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=False)
    return file.getvalue()
