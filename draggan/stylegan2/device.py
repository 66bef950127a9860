"""To the device that computes and back, waiting for it as little as can be."""

import torch
from torch import Tensor

ONE_THREAD = ("mps",)  # types of devices on which two threads at once end the process


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Values on a device, without waiting for it."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def received(*tensors: Tensor) -> list[Tensor]:
    """Copies of small tensors on the CPU, of the type of the first: a device is waited for once."""
    flat = torch.cat([t.detach().flatten().to(tensors[0]) for t in tensors]).cpu()
    parts = flat.split([t.numel() for t in tensors])
    return [part.reshape(t.shape).clone() for part, t in zip(parts, tensors, strict=True)]
