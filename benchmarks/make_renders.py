"""Makes pictures that no model made, for `python -m benchmarks.invert`: `python -m benchmarks.make_renders --out DIR`.

Scenes of seeds that nothing else uses, 256 x 256 pixels, four samples a pixel, lossless. Those that are there stay.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import scene
from benchmarks.truth import SIZE, parameters_of

FIRST_SEED = 70000


def render(z: torch.Tensor) -> np.ndarray:
    """The scene of a code (1, 64). -> (256, 256, 3) uint8"""
    renderer = scene.Renderer(compiled=False)
    colours = renderer(parameters_of(z.float()), *scene.grid(SIZE, 2))
    return scene.to_img(colours, SIZE, 2)[0].numpy()


def code(seed: int) -> torch.Tensor:
    """The code of a seed, as the generators draw it. (1, 64)"""
    return torch.from_numpy(np.random.RandomState(seed).randn(1, 64))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.make_renders", description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    args.out.mkdir(exist_ok=True)
    for seed in range(FIRST_SEED, FIRST_SEED + args.n):
        path = args.out / f"{seed}.webp"
        if not path.exists():
            Image.fromarray(render(code(seed))).save(path, lossless=True, method=6)


if __name__ == "__main__":
    main()
