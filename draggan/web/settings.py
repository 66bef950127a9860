"""The settings of a drag: their controls on the page, and the configuration that they make."""

from collections.abc import Sequence
from typing import Any, get_args

import gradio as gr

from draggan.engines import DEFAULT, ENGINES, PAPER, Config, engine_of
from draggan.models import step_size
from draggan.paper import DragConfig
from draggan.precision import DragPrecision, check_drag_precision
from draggan.web.words import Said, say

UNIT = 512  # radii are given in pixels of a picture of this size, as in the paper
ENGINE, STEP, MOST, LAYERS, WEIGHT = 0, 1, 2, 4, 8  # which controls these are
PAPERS = (STEP, LAYERS, 5, 6, 7)  # those that only the engine of the paper has
OWN = (MOST, WEIGHT)  # those in which each engine sets out with a value of its own
SHARED = ("max_steps", "space", "mask_weight", "tolerance")  # settings that every engine has
NAMES = (
    "Engine", "Step size", "Max steps", "Latent space", "Moving layers", "Feature block", "Handle radius r1",
    "Search radius r2", "Mask weight (lambda)", "Arrived within", "Precision",
)  # fmt: skip
BLOCKS = (32, 64, 128, 256)


def controls(model: str) -> list[Any]:
    """One control a setting, in the order that `chosen` reads."""
    engine, lr, max_steps, space, layers, block, r1, r2, weight, tolerance, precision = defaults(model)
    engines = "kinematics: a few large steps, each solved for; draggan: the paper's, many small ones"
    uneven, shaping = "Larger is faster and less even", "The first ones shape, the others colour"
    cells = "Whose features are compared, in cells a side"
    near, far = "Pixels of 512 around a handle that are pulled", "Pixels of 512 within which a handle is found again"
    types = "Of a drag's multiplications; auto: the faster of fp32 and bf16 here. Pictures are always fp32"
    held, ends = "How firmly all outside the mask is held", "Pixels; 0: 1, and with more than 5 points 2"
    paper = {"visible": engine == PAPER}
    return [
        gr.Radio(list(ENGINES), value=engine, **_said("Engine", engines)),
        gr.Number(lr, minimum=1e-5, maximum=1, step=1e-4, **_said("Step size", uneven), **paper),
        gr.Slider(1, 1000, max_steps, step=1, **_said("Max steps", "Of one press of Drag it")),
        gr.Radio(["w_plus", "w"], value=space, **_said("Latent space", "w_plus goes farther, w stays more natural")),
        gr.Slider(1, 18, layers, step=1, **_said("Moving layers", shaping), **paper),
        gr.Dropdown(BLOCKS, value=block, **_said("Feature block", cells), **paper),
        gr.Number(r1, minimum=0.5, maximum=64, **_said("Handle radius r1", near), **paper),
        gr.Number(r2, minimum=1, maximum=64, **_said("Search radius r2", far), **paper),
        gr.Number(weight, minimum=0, **_said("Mask weight (lambda)", held)),
        gr.Number(tolerance, minimum=0, **_said("Arrived within", ends)),
        gr.Radio(list(get_args(DragPrecision)), value=precision, **_said("Precision", types)),
    ]


def _said(label: str, info: str) -> dict[str, Any]:
    return {"label": say(label), "info": say(info)}


def defaults(model: str) -> list[Any]:
    """What the controls show at first; for the paper's engine its settings, with the step size of this model."""
    return shown(DEFAULT, engine_of(DEFAULT).settings(), "auto", model)


def of_engine(engine: str) -> list[Any]:
    """Which of the controls in `PAPERS` are seen with an engine."""
    return [gr.update(visible=engine == PAPER)] * len(PAPERS)


def own(engine: str) -> list[Any]:
    """What an engine that the user has chosen sets out with in the controls of `OWN`."""
    config = engine_of(engine).settings()
    return [config.max_steps, config.mask_weight]


def shown(engine: str, config: Config, precision: str, model: str) -> list[Any]:
    """What the controls show for an engine with its settings; what it has no setting for is as in `defaults`."""
    if not isinstance(config, DragConfig):
        config = DragConfig(lr=step_size(model), **{name: getattr(config, name) for name in SHARED})
    shape = [config.space, config.moving_layers, config.feature_resolution]
    radii = [round(r * UNIT, 3) for r in (config.r1, config.r2)]
    rest = [config.mask_weight, config.tolerance or 0, precision]
    return [engine, config.lr, config.max_steps, *shape, *radii, *rest]


def chosen(shown: Sequence[Any]) -> tuple[str, Config, DragPrecision]:
    """The engine, its settings, and the precision. Raises ValueError where one is out of range or empty."""
    for name, value in zip(NAMES, shown, strict=True):
        if value is None:
            raise ValueError(Said("{name} is empty: give it a value, or press Reset settings.", {"name": name}))
    engine, lr, max_steps, space, layers, block, r1, r2, weight, tolerance, precision = shown
    given = {"max_steps": int(max_steps), "space": space, "mask_weight": weight, "tolerance": tolerance or None}
    if engine == PAPER:
        given |= {"lr": lr, "moving_layers": int(layers), "feature_resolution": int(block)}
        given |= {"r1": r1 / UNIT, "r2": r2 / UNIT}
    return engine, engine_of(engine).settings(**given), check_drag_precision(precision)


def live(shown: Sequence[Any]) -> tuple[str, Config, DragPrecision]:
    """The engine that follows a hand, always the fast one, and its settings."""
    controls = [DEFAULT, *shown[1:]]
    if shown[ENGINE] != DEFAULT:
        controls[MOST], controls[WEIGHT] = own(DEFAULT)
    return chosen(controls)


def keep(*shown: Any) -> list[Any] | Any:
    """What the browser keeps of the controls; nothing while one of them is out of range."""
    try:
        chosen(shown)
    except (ValueError, TypeError):
        return gr.skip()
    return list(shown)


def remembered(kept: Any) -> list[Any]:
    """What the controls show of what the browser kept, if it can still be used."""
    try:
        chosen(kept)
    except (ValueError, TypeError):
        return [gr.skip()] * len(NAMES)
    return list(kept)
