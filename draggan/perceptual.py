"""How alike two pictures are to VGG16, as Zhang et al. 2018 measure it, without their learned weights of channels.

Works where torchvision's file of the network is on this machine; nothing is downloaded.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

FILE = "vgg16-397923af.pth"  # the name torchvision keeps VGG16_Weights.IMAGENET1K_V1 under
TAPS = (3, 8, 15, 22, 29)  # relu1_2, 2_2, 3_3, 4_3, 5_3
LARGEST = 256  # pixels of the longer side: larger pictures are shrunk, as VGG16 knows small ones


def find_weights() -> Path | None:
    """Where torchvision would keep VGG16, if it is there; None: it is not."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    return path if path.is_file() else None


class Perceptual:
    """(N, 3, H, W) in [-1, 1] against (1 or N, 3, H, W) -> (N,): 0 where they are the same to the network."""

    def __init__(self, weights: Path, device: torch.device) -> None:
        """Reads the network's weights as data. Raises ValueError where they are not those of VGG16."""
        from torchvision.models import vgg16

        try:
            tensors = torch.load(weights, map_location=device, weights_only=True, mmap=True)
            with torch.device("meta"):
                self.layers = torch.nn.Sequential(*list(vgg16().features.children())[: TAPS[-1] + 1])
            held = {name.removeprefix("features."): t for name, t in tensors.items() if name.startswith("features.")}
            self.layers.load_state_dict(held, assign=True)
        except Exception as error:
            raise ValueError(f"{weights} is not torchvision's VGG16: remove it or fetch it again") from error
        self.layers.requires_grad_(False)
        self.mean = torch.tensor([0.485, 0.456, 0.406], device=device)[:, None, None]
        self.spread = torch.tensor([0.229, 0.224, 0.225], device=device)[:, None, None]

    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        pairs = zip(self._features(image), self._features(target), strict=True)
        return torch.stack([(a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in pairs]).sum(dim=0)

    def _features(self, x: Tensor) -> list[Tensor]:
        factor = max(1, max(x.shape[2:]) // LARGEST)
        x = (F.avg_pool2d(x, factor) / 2 + 0.5 - self.mean) / self.spread
        found = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in TAPS:
                found.append(F.normalize(x, dim=1))
        return found
