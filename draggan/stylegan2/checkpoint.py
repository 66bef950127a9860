"""A checkpoint file -> (config, tensors), and back. Runs no code from the file; knows nothing of names or downloads."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from draggan.stylegan2.config import GeneratorConfig


class CheckpointError(ValueError):
    """The file is not a generator that can be read; the message says which file and why."""


def read(path: Path) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    """The generator in a `.safetensors` file of ours: its config, and its tensors by their StyleGAN2-ADA names.

    Raises FileNotFoundError, or CheckpointError where the file is damaged or holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("config", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        config = GeneratorConfig.from_shapes(
            {name: tuple(t.shape) for name, t in tensors.items()},
            mapping_lr_multiplier=float(facts.get("mapping_lr_multiplier", 0.01)),
            conv_clamp=facts.get("conv_clamp"),
        )
    except (SafetensorError, ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path} is not a generator that can be read: {error}") from error
    return config, tensors


def write(path: Path, config: GeneratorConfig, tensors: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> None:
    """Writes a generator as `.safetensors`, with its config in the metadata under `config`."""
    contiguous = {name: t.detach().to("cpu", dtype).contiguous() for name, t in tensors.items()}
    save_file(contiguous, path, metadata={"format": "pt", "config": json.dumps(config.to_json())})
