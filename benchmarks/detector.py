"""The landmark detector of the embedded model's pictures: 1.7 px mean error on renders with exact positions."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.cases import Case
from draggan.geometry import to_tensor

LANDMARKS = ("nose", "eye_r", "eye_l", "ear_r", "ear_l", "chin", "cheek_r", "cheek_l")
WEIGHTS = Path(__file__).parent / "landmarks.safetensors"


class Detector:
    """picture (N, 3, 256, 256) in [-1, 1] -> (N, 8, 2): x, y in pixels, in the order of LANDMARKS."""

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self.tensors = {name: t.float() for name, t in load_file(weights).items()}

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        *down, x = self._down(image)
        x = self._conv("up.0", torch.cat([_double(x), down[2]], dim=1))  # (N, 96, 16, 16)
        x = self._conv("up.1", torch.cat([_double(x), down[1]], dim=1))  # (N, 48, 32, 32)
        heat = F.conv2d(x, self.tensors["head.weight"], self.tensors["head.bias"]).flatten(2).softmax(dim=2)
        centres = (torch.arange(32) + 0.5) / 32 * 2 - 1
        cells = torch.stack([centres.repeat(32), centres.repeat_interleave(32)], dim=1)  # (1024, 2): x, y
        return (heat @ cells + 1) / 2 * 256 - 0.5  # (N, 8, 2)

    @torch.no_grad()
    def features(self, image: Tensor) -> Tensor:
        """The `mid` features, the mean over their map: what the Frechet distance compares. -> (N, 96)"""
        return self._down(image)[-1].mean(dim=(2, 3))

    def _down(self, image: Tensor) -> list[Tensor]:
        """The maps on the way down, 64, 32, 16 and 8 cells wide, and the `mid` one of 8."""
        x, maps = F.avg_pool2d(image.float(), 2), []  # (N, 3, 128, 128)
        for i in range(4):
            x = self._conv(f"down.{i}", x, stride=2)
            maps.append(x)
        return [*maps, self._conv("mid", x)]

    def _conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        return F.conv2d(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], stride, padding=1).relu()


def missed(found: Tensor, case: Case) -> float:
    """The mean distance in pixels of a drag's landmarks to their targets. found: (1, 8, 2) of one picture"""
    return _mean_distance(marks(found, case), ends(case)[1])


def mismarked(found: Tensor, case: Case) -> float:
    """Likewise to their handles, in the picture before the drag: an exact drag of the handles misses by as much."""
    return _mean_distance(marks(found, case), ends(case)[0])


def amiss(before: Tensor, after: Tensor, case: Case) -> float:
    """The mean distance in pixels between where a drag's landmarks moved to and where they were to move, wherever they
    were marked. before, after: (1, 8, 2) of the pictures"""
    handles, targets = ends(case)
    return _mean_distance(marks(after, case) - marks(before, case), targets - handles)


def marks(found: Tensor, case: Case) -> Tensor:
    """The landmarks of a drag. found: (1, 8, 2) of one picture -> (N, 2)"""
    return found[0, [LANDMARKS.index(name) for name in case.landmarks]]


def ends(case: Case) -> tuple[Tensor, Tensor]:
    """Handles and targets, (N, 2)."""
    nothing = torch.empty(0)
    return to_tensor([p.handle for p in case.pairs], nothing), to_tensor([p.target for p in case.pairs], nothing)


def _mean_distance(places: Tensor, others: Tensor) -> float:
    return (places - others).norm(dim=1).mean().item()


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
