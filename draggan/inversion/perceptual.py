"""How alike two pictures are to VGG16, as Zhang et al. 2018 measure it, with or without their weights of channels.

Works where torchvision's file of the network is on this machine; their weights come in torchmetrics' package. Nothing
is downloaded.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

FILE = "vgg16-397923af.pth"  # the name torchvision keeps VGG16_Weights.IMAGENET1K_V1 under
TAPS = (3, 8, 15, 22, 29)  # relu1_2, 2_2, 3_3, 4_3, 5_3
LINEAR = "functional/image/lpips_models/vgg.pth"  # in torchmetrics' package: a weight for each channel of each map
LARGEST = 256  # pixels of the longer side: larger pictures are shrunk, as VGG16 knows small ones


def find_weights() -> Path | None:
    """Where torchvision would keep VGG16, if it is there; None: it is not."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    return path if path.is_file() else None


def find_linear() -> Path | None:
    """Where the weights of VGG16's channels are, if torchmetrics is installed; None: it is not."""
    spec = find_spec("torchmetrics")
    return Path(spec.origin).parent / LINEAR if spec and spec.origin else None


@torch.no_grad()
def lpips(image: Tensor, target: Tensor) -> float | None:
    """LPIPS by VGG16 (Zhang et al. 2018, version 0.1) of two pictures (1, 3, H, W) in [-1, 1], large ones shrunk.

    0: the same to the network. None where torchmetrics or the weights of VGG16 are not here.
    """
    weights, linear = find_weights(), find_linear()
    if weights is None or linear is None:
        return None
    compare = Perceptual(weights, image.device, linear)
    return compare(image.float().clamp(-1, 1), target.to(image.device).float().clamp(-1, 1)).item()


class Perceptual:
    """(N, 3, H, W) in [-1, 1] against (1 or N, 3, H, W) -> (N,): 0 where they are the same to the network."""

    def __init__(self, weights: Path, device: torch.device, linear: Path | None = None) -> None:
        """Reads the network's weights, and those of its channels, as data. linear: None, all channels count the same.

        Raises ValueError where a file does not hold what it should.
        """
        from torchvision.models import vgg16

        try:
            tensors = torch.load(weights, map_location="cpu", weights_only=True)  # in the format before zip: not mapped
            with torch.device("meta"):
                self.layers = torch.nn.Sequential(*list(vgg16().features.children())[: TAPS[-1] + 1])
            held = {name.removeprefix("features."): t for name, t in tensors.items() if name.startswith("features.")}
            self.layers.load_state_dict(held, assign=True)
            self.layers.to(device)
        except Exception as error:
            raise ValueError(f"{weights} is not torchvision's VGG16: remove it or fetch it again") from error
        self.layers.requires_grad_(False)
        self.channels = [torch.ones(1, 1, 1, 1, device=device)] * len(TAPS) if linear is None else _read(linear, device)
        self.mean = torch.tensor([0.485, 0.456, 0.406], device=device)[:, None, None]
        self.spread = torch.tensor([0.229, 0.224, 0.225], device=device)[:, None, None]

    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        maps = zip(self._features(image), self._features(target), self.channels, strict=True)
        return torch.stack([((a - b).square() * w).sum(dim=1).mean(dim=(1, 2)) for a, b, w in maps]).sum(dim=0)

    def _features(self, x: Tensor) -> list[Tensor]:
        factor = max(1, max(x.shape[2:]) // LARGEST)
        x = (F.avg_pool2d(x, factor) / 2 + 0.5 - self.mean) / self.spread
        found = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in TAPS:
                found.append(F.normalize(x, dim=1))
        return found


def _read(linear: Path, device: torch.device) -> list[Tensor]:
    """The weights of the channels of each map, (1, C, 1, 1)."""
    try:
        tensors = torch.load(linear, map_location=device, weights_only=True)
        return [tensors[f"lin{i}.model.1.weight"].float() for i in range(len(TAPS))]
    except Exception as error:
        raise ValueError(f"{linear} does not hold LPIPS' weights: install torchmetrics again") from error
