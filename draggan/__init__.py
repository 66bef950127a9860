"""Edit pictures by dragging points: DragGAN (Pan et al., SIGGRAPH 2023) on pretrained StyleGAN2 generators."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from draggan.engine.engines import drag
    from draggan.engine.kinematics import KinematicConfig
    from draggan.engine.paper import DragConfig
    from draggan.engine.steps import DragState, DragStep
    from draggan.geometry import DragPair, Point
    from draggan.registry.models import available_models, load

_HOME = {  # the module of each public name: imported when first used, so that `draggan --help` needs no torch
    "available_models": "draggan.registry.models",
    "load": "draggan.registry.models",
    "drag": "draggan.engine.engines",
    "KinematicConfig": "draggan.engine.kinematics",
    "DragConfig": "draggan.engine.paper",
    "DragState": "draggan.engine.steps",
    "DragStep": "draggan.engine.steps",
    "DragPair": "draggan.geometry",
    "Point": "draggan.geometry",
}

__all__ = [
    "DragConfig",
    "DragPair",
    "DragState",
    "DragStep",
    "KinematicConfig",
    "Point",
    "available_models",
    "drag",
    "load",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'draggan' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
