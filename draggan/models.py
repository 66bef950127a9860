"""The table of models, and loading one by its name or path. Knows nothing of drags or pages."""

from dataclasses import dataclass
from pathlib import Path

import torch

from draggan.stylegan2 import checkpoint
from draggan.stylegan2.generator import Generator

EMBEDDED = Path(__file__).parent / "embedded"  # in an installed wheel
CHECKOUT = Path(__file__).parents[1] / "checkpoints"  # in a checkout of the repository


@dataclass(frozen=True)
class ModelSpec:
    """One row of the table."""

    name: str
    shows: str
    resolution: int  # pixels, the longer side
    filename: str
    licence: str
    lr: float  # step size of the drag: 2e-3 for ffhq, afhqcat and car, else 1e-3 (Pan et al. 2023, section 4)


MODELS = (
    ModelSpec(
        name="plush-256",
        shows="plush animal heads",
        resolution=256,
        filename="plush-256.safetensors",
        licence="Apache-2.0, made for this project",
        lr=2e-3,
    ),
)


def available_models() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(spec.name for spec in MODELS)


def pick_device(device: str) -> torch.device:
    """The device a user named: auto, cpu, cuda, cuda:1, mps. Auto takes an accelerator where there is one.

    Raises ValueError where the machine has no such device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r} is not one of auto, cpu, cuda, cuda:0, .., mps") from None
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (chosen.index or 0) >= count.get(chosen.type, 0):
        raise ValueError(f"this machine has no device {device!r}; use auto or cpu")
    return chosen


def load(name_or_path: str | Path, device: str = "auto") -> Generator:
    """The generator of a name of the table, or in a file, on a device (see `pick_device`).

    Raises ValueError for an unknown name or device, FileNotFoundError, or CheckpointError for a bad file.
    """
    target = pick_device(device)
    config, tensors = checkpoint.read(find(name_or_path))
    return Generator(config, tensors).to(target)


def find(name_or_path: str | Path) -> Path:
    """The file of a model."""
    for spec in MODELS:
        if spec.name == str(name_or_path):
            folder = EMBEDDED if EMBEDDED.is_dir() else CHECKOUT
            return folder / spec.filename
    path = Path(name_or_path).expanduser()
    if path.suffix or path.exists():
        return path
    raise ValueError(f"no model {str(name_or_path)!r}: choose one of {', '.join(available_models())}, or name a file")


def step_size(name_or_path: str | Path) -> float:
    """The step size to start a drag with: the model's own, or the careful one for a file."""
    return next((spec.lr for spec in MODELS if spec.name == str(name_or_path)), 1e-3)
