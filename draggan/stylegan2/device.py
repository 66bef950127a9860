"""To the device that computes and back, waiting for it as little as can be."""

from typing import Any

import torch
from torch import Tensor

ONE_THREAD = ("mps",)  # types of devices on which two threads at once end the process


def in_tf32() -> tuple[bool, bool]:
    """Whether an NVIDIA GPU's convolutions and products are in tf32, whoever has switched it: torch has older switches
    and newer ones, and its older ones cannot be asked where a newer one was used."""
    backends: tuple[Any, Any] = torch.backends.cudnn, torch.backends.cuda.matmul
    if not hasattr(backends[0], "conv"):  # before torch 2.9
        return backends[0].allow_tf32, backends[1].allow_tf32
    return backends[0].conv.fp32_precision == "tf32", backends[1].fp32_precision == "tf32"


def convolve_in_tf32(wanted: bool) -> None:
    """Switches it for an NVIDIA GPU's convolutions."""
    library: Any = torch.backends.cudnn
    library.allow_tf32 = wanted
    if hasattr(library, "conv"):  # which otherwise may go by what is switched for all
        library.conv.fp32_precision = "tf32" if wanted else "ieee"


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Values on a device, without waiting for it."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def received(*tensors: Tensor) -> list[Tensor]:
    """Copies of small tensors on the CPU, of the type of the first: a device is waited for once."""
    flat = torch.cat([t.detach().flatten().to(tensors[0]) for t in tensors]).cpu()
    parts = flat.split([t.numel() for t in tensors])
    return [part.reshape(t.shape).clone() for part, t in zip(parts, tensors, strict=True)]
