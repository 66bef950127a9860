"""The low-pass filter of StyleGAN2 (Karras et al. 2020), which smooths what a layer has doubled."""

import torch
import torch.nn.functional as F
from torch import Tensor

FIR = (1, 3, 3, 1)  # the kernel of every StyleGAN2, applied along both axes
FIR_IN_PAIRS = ("cuda",)  # devices on which it is applied as its factors


def blur(x: Tensor, gain: float = 1.0, padding: int | tuple[int, int] = 0, bias: Tensor | None = None) -> Tensor:
    """FIR low-pass, multiplied by `gain`, plus a bias (C,). x (N, C, h, w) -> (N, C, h + 2 padding - 3, w + ..)."""
    if x.device.type in FIR_IN_PAIRS:
        return _blurred_in_pairs(x, gain, padding, bias)
    taps = x.new_tensor(FIR) / sum(FIR)
    kernel = (torch.outer(taps, taps) * gain).repeat(x.shape[1], 1, 1, 1)  # (C, 1, 4, 4)
    return F.conv2d(x, kernel, bias, padding=padding, groups=x.shape[1])


def _blurred_in_pairs(x: Tensor, gain: float, padding: int | tuple[int, int], bias: Tensor | None) -> Tensor:
    """`blur` as three means of neighbours, whose taps together are 1, 3, 3, 1.

    On a GPU that is as fast, and no algorithm is looked for at the first map of a size, which takes long. What is
    padded is padded before: with a padding of the means' own, torch 2.11 has wrong gradients for channels-last maps.
    """
    if padding:
        rows, columns = (padding, padding) if isinstance(padding, int) else padding
        x = F.pad(x, (columns, columns, rows, rows))
    for _ in range(3):
        x = F.avg_pool2d(x, 2, stride=1)
    return x * gain if bias is None else torch.addcmul(bias[:, None, None], x, x.new_full((), gain))
