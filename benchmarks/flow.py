"""Points that correspond in two pictures, by an optical flow that the user brings as a file.

For models without ground truth. Pan et al. 2023 (section 4.2, table 2) take RAFT's flow; any will do.
"""

from pathlib import Path

import numpy as np
from torch import Tensor

from draggan.geometry import DragPair, Point
from draggan.render import encode, to_picture

POINTS_SEED = 0  # of the places


def missing(folder: Path, name: str, first: Tensor, second: Tensor) -> bool:
    """Whether the flow between two pictures (1, 3, H, W) is not in a folder yet; then they are written into it."""
    if (folder / f"{name}.npy").exists():
        return False
    folder.mkdir(exist_ok=True, parents=True)
    for number, image in ((1, first), (2, second)):
        (folder / f"{name}-{number}.png").write_bytes(encode(to_picture(image), lossless=True))
    return True


def pairs_along(folder: Path, name: str, size: tuple[int, int], points: int) -> list[DragPair]:
    """Random places of the first picture, each with the place where the flow says it lies in the second.

    NAME.npy holds (H, W, 2): how far each pixel moves, in pixels, x to the right and y down. size: (H, W). Places whose
    way leaves the picture are not taken. Raises ValueError for an array of another shape, or where too few stay inside.
    """
    path = folder / f"{name}.npy"
    flow = np.load(path, allow_pickle=False)
    if flow.shape != (*size, 2) or not np.issubdtype(flow.dtype, np.floating):
        raise ValueError(f"{path} holds {flow.dtype} of shape {flow.shape}: it must be floats of shape {(*size, 2)}")
    found = []
    for place in np.random.RandomState(POINTS_SEED).permutation(size[0] * size[1]):
        y, x = divmod(int(place), size[1])
        target = Point(x + float(flow[y, x, 0]), y + float(flow[y, x, 1]))
        if target.inside(size):
            found.append(DragPair(Point(x, y), target))
        if len(found) == points:
            return found
    raise ValueError(f"{path}: only {len(found)} of its pixels stay inside the picture, {points} are needed")
