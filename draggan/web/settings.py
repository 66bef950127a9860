"""The settings of a drag: their controls on the page, and the configuration that they make."""

from typing import Any, NamedTuple, get_args

import gradio as gr

from draggan.engine.engines import DEFAULT, ENGINES, PAPER, Config, engine_of
from draggan.engine.paper import DragConfig
from draggan.precision import DragPrecision, check_drag_precision
from draggan.registry.models import step_size
from draggan.web.telling import within
from draggan.web.words import Said, say

UNIT = 512  # radii are given in pixels of a picture of this size, as in the paper
BLOCKS = (32, 64, 128, 256)


class Shown(NamedTuple):
    """What the controls show, or the controls themselves: one a setting, named as the engines name it."""

    engine: Any
    lr: Any
    max_steps: Any
    space: Any
    moving_layers: Any
    feature_resolution: Any
    r1: Any
    r2: Any
    mask_weight: Any
    tolerance: Any
    precision: Any


LABELS = Shown(
    engine="Engine", lr="Step size", max_steps="Max steps", space="Latent space", moving_layers="Moving layers",
    feature_resolution="Feature block", r1="Handle radius r1", r2="Search radius r2",
    mask_weight="Mask weight (lambda)", tolerance="Arrived within", precision="Precision",
)  # fmt: skip
RANGES = {  # the least, and the most where there is one
    "lr": (1e-5, 1),
    "max_steps": (1, 1000),
    "moving_layers": (1, 18),
    "r1": (0.5, 64),
    "r2": (1, 64),
    "mask_weight": (0, None),
    "tolerance": (0, None),
}
PAPERS = ("lr", "moving_layers", "feature_resolution", "r1", "r2")  # those that only the engine of the paper has
OWN = ("max_steps", "mask_weight")  # those in which each engine sets out with a value of its own
SHARED = ("max_steps", "space", "mask_weight", "tolerance")  # settings that every engine has


def controls(model: str) -> Shown:
    """One control a setting, which can be changed from when `remembered` has been shown: that would undo the change."""
    first = defaults(model)
    engines = "kinematics: a few large steps, each solved for; draggan: the paper's, many small ones"
    uneven, shaping = "Larger is faster and less even", "The first ones shape, the others colour"
    cells = "Whose features are compared, in cells a side"
    near, far = "Pixels of 512 around a handle that are pulled", "Pixels of 512 within which a handle is found again"
    types = "Of a drag's multiplications; auto: the fastest here whose drags are as good"
    held, ends = "How firmly all outside the mask is held", "Pixels; 0: 1, and with more than 5 points 2"

    def said(name: str, info: str) -> dict[str, Any]:
        seen = name not in PAPERS or first.engine == PAPER
        shows = {"value": getattr(first, name), "visible": seen, "interactive": False}
        return {**shows, "label": say(getattr(LABELS, name)), "info": say(info)}

    return Shown(
        engine=gr.Radio(list(ENGINES), **said("engine", engines)),
        lr=gr.Number(step=1e-4, **said("lr", uneven)),
        max_steps=gr.Slider(*RANGES["max_steps"], step=1, **said("max_steps", "Of one press of Drag it")),
        space=gr.Radio(["w_plus", "w"], **said("space", "w_plus goes farther, w stays more natural")),
        moving_layers=gr.Slider(*RANGES["moving_layers"], step=1, **said("moving_layers", shaping)),
        feature_resolution=gr.Dropdown(BLOCKS, **said("feature_resolution", cells)),
        r1=gr.Number(**said("r1", near)),
        r2=gr.Number(**said("r2", far)),
        mask_weight=gr.Number(**said("mask_weight", held)),
        tolerance=gr.Number(**said("tolerance", ends)),
        precision=gr.Radio(list(get_args(DragPrecision)), **said("precision", types)),
    )


def defaults(model: str) -> Shown:
    """What the controls show at first; for the paper's engine its settings, with the step size of this model."""
    return shown(DEFAULT, engine_of(DEFAULT).settings(), "auto", model)


def of_engine(engine: str) -> list[Any]:
    """Which of the controls in `PAPERS` are seen with an engine."""
    return [gr.update(visible=engine == PAPER)] * len(PAPERS)


def own(engine: str) -> list[Any]:
    """What an engine that the user has chosen sets out with in the controls of `OWN`."""
    config = engine_of(engine).settings()
    return [getattr(config, name) for name in OWN]


def shown(engine: str, config: Config, precision: str, model: str) -> Shown:
    """What the controls show for an engine with its settings; what it has no setting for is as in `defaults`."""
    if not isinstance(config, DragConfig):
        config = DragConfig(lr=step_size(model), **{name: getattr(config, name) for name in SHARED})
    values = {name: getattr(config, name) for name in (*PAPERS, *SHARED)}
    values |= {name: round(values[name] * UNIT, 3) for name in ("r1", "r2")}
    values["tolerance"] = config.tolerance or 0
    return Shown(engine=engine, precision=precision, **values)


def chosen(shown: Shown) -> tuple[str, Config, DragPrecision]:
    """The engine, its settings, and the precision. Raises ValueError where one that it has is out of range or empty."""
    used = [name for name in Shown._fields if name not in PAPERS or shown.engine == PAPER]
    for name in used:
        label, value = getattr(LABELS, name), getattr(shown, name)
        if value is None:
            raise ValueError(Said("{name} is empty: give it a value, or press Reset settings.", {"name": label}))
        within(label, value, *RANGES.get(name, ()))
    values = {name: getattr(shown, name) for name in used if name not in ("engine", "precision")}
    values |= {"max_steps": int(shown.max_steps), "tolerance": shown.tolerance or None}
    if shown.engine == PAPER:
        values |= {name: int(values[name]) for name in ("moving_layers", "feature_resolution")}
        values |= {name: values[name] / UNIT for name in ("r1", "r2")}
    return shown.engine, engine_of(shown.engine).settings(**values), check_drag_precision(shown.precision)


def live(shown: Shown) -> tuple[str, Config, DragPrecision]:
    """The engine that follows a hand, always the fast one, and its settings."""
    if shown.engine != DEFAULT:
        shown = shown._replace(engine=DEFAULT, **dict(zip(OWN, own(DEFAULT), strict=True)))
    return chosen(shown)


def remembered(kept: Any) -> list[Any]:
    """What the controls show of what the browser kept of them; one whose value cannot be used stays as it is."""
    free = gr.update(interactive=True)
    if not isinstance(kept, list) or len(kept) != len(Shown._fields):
        return [free] * len(Shown._fields)
    return [free | {"value": v} if _usable(name, v) else free for name, v in zip(Shown._fields, kept, strict=True)]


def _usable(name: str, value: Any) -> bool:
    """Whether a control may show a value."""
    others = shown(PAPER, DragConfig(), "auto", model="")  # of the engine that has all of them
    try:
        chosen(others._replace(**{name: value}))
    except (ValueError, TypeError):
        return False
    return True
