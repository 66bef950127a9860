"""A checkpoint file -> (config, tensors), and back. Runs no code from the file; knows nothing of names or downloads.

Ours is `.safetensors`; the files of other projects are read by `arrays` (where the bytes are) and `foreign` (what they
mean). What a file holds decides how it is read, never its name.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from draggan.stylegan2 import foreign
from draggan.stylegan2.arrays import open_document
from draggan.stylegan2.config import GeneratorConfig
from draggan.stylegan2.generator import MappingNetwork
from draggan.stylegan2.said import Said
from draggan.stylegan2.shortage import out_of_memory
from draggan.stylegan2.whole import whole

MAX_HEADER = 1 << 20  # bytes in the header of a .safetensors file; that of a 1024 pixel generator has 20,000
MAX_MESSAGE = 1000  # characters of an error message, which may quote the file
NO_GENERATOR = "{file} is not a generator that can be read: {why}"
SAMPLES = 4096  # of w, whose mean is taken where a file holds none; as many as rosinality's tools take


class CheckpointError(ValueError):
    """The file is not a generator that can be read; the message says which file and why."""


def read(path: Path) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    """The generator in a file: its config, and its tensors by their StyleGAN2-ADA names.

    The file is a `.safetensors` of ours, a pickle of NVIDIA's (StyleGAN2-ADA, StyleGAN2 networks of the StyleGAN3
    repository, StyleGAN-Human, TensorFlow config-f), or a PyTorch checkpoint of rosinality's. One of grey pictures
    paints red, green and blue alike.
    Raises FileNotFoundError, or CheckpointError where the file is damaged or holds something else.
    """
    with refusing(path, NO_GENERATOR, CheckpointError):
        config, tensors = _read_ours(path) if _has_our_format(path) else _read_foreign(path)
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise ValueError(f"tensor {name} has numbers that are not finite: its training has failed")
        return _in_colour(config, tensors)


def is_ours(path: Path) -> bool:
    """Whether the file is a `.safetensors`, which needs no conversion. Raises as `read` does."""
    with refusing(path, NO_GENERATOR, CheckpointError):
        return _has_our_format(path)


def source(path: Path) -> str:
    """What `write` was told a `.safetensors` was made from; empty where nothing was. Raises as `read` does."""
    with refusing(path, NO_GENERATOR, CheckpointError):
        _check_header(path)
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("source", "")


def write(path: Path, config: GeneratorConfig, tensors: dict[str, Tensor], source: str = "") -> None:
    """Writes a generator as `.safetensors`, with its config in the metadata under `config`, all of it or nothing.

    Raises OSError where the file cannot be written.
    """
    contiguous = {name: t.detach().to("cpu", torch.float32).contiguous() for name, t in tensors.items()}
    metadata = {"format": "pt", "config": json.dumps(config.to_json())} | ({"source": source} if source else {})
    write_whole(path, contiguous, metadata)


def write_whole(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Writes contiguous tensors as safetensors, all of it or nothing. Raises OSError where that cannot be done."""
    with whole(path) as part:
        mode = part.stat().st_mode  # of a new file here; save_file makes one that only its owner may read
        try:
            save_file(tensors, part, metadata=metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        part.chmod(mode)


@contextmanager
def refusing(path: Path, said: str, kind: type[ValueError] = ValueError) -> Iterator[None]:
    """Whatever goes wrong while a file is read is one error of a kind: what is said of a {file} and a reason, {why}.

    A hostile file can make anything go wrong. Raises FileNotFoundError or IsADirectoryError where there is none. That
    memory is used up says nothing of the file: it stays what it is.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if not path.is_file():
        raise FileNotFoundError(Said("no such file: {file}", {"file": path}))
    try:
        path.open("rb").close()  # libraries say of a file that may not be read that there is none
        yield
    except Exception as error:
        if out_of_memory(error):
            raise
        reason = str(error) if isinstance(error, ValueError | SafetensorError) else f"{type(error).__name__}: {error}"
        reason = getattr(error, "strerror", None) or reason
        printable = "".join(c if c.isprintable() else "?" for c in reason[:MAX_MESSAGE])
        raise kind(Said(said, {"file": path, "why": printable})) from error


def _has_our_format(path: Path) -> bool:
    """A `.safetensors` begins with 8 bytes, the length of its header, and the header with a brace."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise ValueError(f"its header says that it has {length} bytes, more than {MAX_HEADER}")


def _read_ours(path: Path) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    _check_header(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if "config" not in metadata:
            raise ValueError("its metadata has no config: convert the original file again")
        facts = json.loads(metadata["config"])
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)
        config = _config(shapes, facts["mapping_lr_multiplier"], facts.get("conv_clamp"))
        tensors = {name: file.get_tensor(name) for name in shapes}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"tensor {name} is of type {tensor.dtype}, not of floats")
    return config, tensors


def _read_foreign(path: Path) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    with path.open("rb") as file:
        network = foreign.find_generator(open_document(file, foreign.ALLOWED))
        shapes = {name: piece.shape for name, piece in network.pieces.items()}
        if no_mean := "mapping.w_avg" not in shapes:
            shapes["mapping.w_avg"] = shapes.get("mapping.fc0.weight", ())[:1]
        config = _config(shapes, network.mapping_lr_multiplier, network.conv_clamp)
        size = path.stat().st_size
        if sum(piece.array.nbytes for piece in network.pieces.values()) > size:
            raise ValueError(f"its tensors have more bytes than the file, which has {size}")
        tensors = {name: piece.read(file) for name, piece in network.pieces.items()}
    return config, tensors | ({"mapping.w_avg": _mean_w(config, tensors)} if no_mean else {})


@torch.no_grad()
def _mean_w(config: GeneratorConfig, tensors: dict[str, Tensor]) -> Tensor:
    """The mean of w over codes of a fixed seed, of a generator without classes. (w_dim,)"""
    mapping = MappingNetwork(config)
    given = {name.removeprefix("mapping."): t for name, t in tensors.items() if name.startswith("mapping.")}
    mapping.load_state_dict(given, strict=False, assign=True)  # all but the mean
    z = torch.randn(SAMPLES, config.z_dim, generator=torch.Generator().manual_seed(0))
    return mapping(z, None).mean(dim=0)


def _in_colour(config: GeneratorConfig, tensors: dict[str, Tensor]) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    """A generator of grey pictures as one of colour pictures that are grey."""
    painting = {name for name in tensors if name.endswith((".torgb.weight", ".torgb.bias"))}
    alike = {name: tensors[name].repeat_interleave(3 // config.img_channels, dim=0) for name in painting}
    return replace(config, img_channels=3), tensors | alike


def _config(shapes: dict[str, tuple[int, ...]], mapping_lr_multiplier: Any, conv_clamp: Any) -> GeneratorConfig:
    config = GeneratorConfig.from_shapes(
        shapes,
        mapping_lr_multiplier=_positive("mapping_lr_multiplier", mapping_lr_multiplier),
        conv_clamp=None if conv_clamp is None else _positive("conv_clamp", conv_clamp),
    )
    if config.img_channels not in (1, 3):
        raise ValueError(f"its pictures have {config.img_channels} channels: it must be 3 (colour) or 1 (grey)")
    return config


def _positive(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{what} must be a positive number, not {str(value)[:50]}")
    return float(value)
