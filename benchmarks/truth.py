"""Where the scene behind a code of the embedded model has its points, in pixels: exact, whatever a detector says."""

import math

import torch
from torch import Tensor

from benchmarks import scene

SIZE = 256  # pixels of the pictures
SURFACE_SEED = 0  # of the places on the skull


def parameters_of(z: Tensor) -> Tensor:
    """The parameters of the scene, (N, 33) in [0, 1]. z (N, 64), as the generator reads it: of any length."""
    z = z / z.square().mean(dim=1, keepdim=True).sqrt()
    return 0.5 * (1 + torch.erf(z[:, : scene.P] / math.sqrt(2)))


def landmarks_of(z: Tensor) -> Tensor:
    """The 8 landmarks of a code. z (N, 64) -> (N, 8, 2): x, y in pixels."""
    return _to_pixels(scene.landmarks(parameters_of(z)))


def surface_of(first: Tensor, second: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Where the same points of the head lie in two scenes: the landmarks, then places on the skull.

    first, second (1, 64) -> two of (points, 2), in pixels; every place faces the camera in both.
    """
    draws = torch.randn(4096, 3, generator=torch.Generator().manual_seed(SURFACE_SEED), dtype=torch.float64)
    places, goals = (_skull(z, draws) for z in (first, second))
    clear = (draws[:, 1] / draws.norm(dim=1) > 0) & places[1] & goals[1]  # above the snout
    rows = clear.nonzero()[: max(0, points - len(scene.LANDMARKS)), 0]
    marks = (landmarks_of(z)[0, :points] for z in (first, second))
    found = [torch.cat([a, b[0][rows]]) for a, b in zip(marks, (places, goals), strict=True)]
    return found[0].clamp(0, SIZE - 1), found[1].clamp(0, SIZE - 1)


def _skull(z: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Places on the skull's ellipsoid, (K, 2) in pixels, and whether each faces the camera, (K,)."""
    q = scene.unpack(parameters_of(z))
    axes = torch.cat([q["face_w"], q["face_h"], 0.88 + 0 * q["face_w"]], dim=1)  # (1, 3)
    unit = directions / directions.norm(dim=1, keepdim=True)
    x, y, place_z = scene.rot(q, *((unit * axes).T[:, None]), False)
    _, _, normal_z = scene.rot(q, *((unit / axes).T[:, None]), False)
    x, y = x * q["scale"] + q["tx"], y * q["scale"] + q["ty"] - 0.08
    screen = torch.stack([x, y], dim=-1) * scene.FOC / (scene.CAM - place_z * q["scale"])[..., None]  # (1, K, 2)
    return _to_pixels(screen)[0], normal_z[0] > 0.35


def _to_pixels(screen: Tensor) -> Tensor:
    """(.., 2) in [-1, 1], y up -> pixels, y down."""
    return (screen * screen.new_tensor([1, -1]) + 1) / 2 * SIZE - 0.5
