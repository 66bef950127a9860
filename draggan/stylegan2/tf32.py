"""tf32, in which NVIDIA's GPUs multiply: whether it is switched on, and the switch of convolutions."""

from typing import Any

import torch


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
