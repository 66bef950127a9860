"""Pictures to start from: examples on the embedded model, and a grid of seeds of any."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from draggan.geometry import DragPair, Point
from draggan.render import thumbnail, with_points
from draggan.session import Session
from draggan.web.canvas import data_url
from draggan.web.network import Network
from draggan.web.telling import given, given_class, must_be_here, told

HERE = Path(__file__).parent
SEEDS = 12  # pictures of a grid
SIDE = 144  # pixels of a picture of the grid


@dataclass(frozen=True)
class Start:
    """A picture, and what may be done with it."""

    seed: int
    pairs: tuple[DragPair, ...] = ()
    title: str = ""


def _pair(hx: float, hy: float, tx: float, ty: float) -> DragPair:
    return DragPair(Point(hx, hy), Point(tx, ty))


EXAMPLE_MODEL = "plush-256"
EXAMPLE_PSI = 0.7
EXAMPLES = (
    Start(24, (_pair(157, 141, 105, 146),), "Turn the head"),
    Start(12, (_pair(64, 58, 54, 28), _pair(171, 58, 181, 28)), "Longer ears"),
    Start(18, (_pair(132, 172, 132, 135),), "Look up"),
    Start(31, (_pair(88, 120, 92, 134), _pair(140, 118, 140, 100)), "Tilt the head"),
)


def component() -> gr.HTML:
    """The gallery. Its event is `pick` with the index of the picture that was chosen."""
    return gr.HTML(
        html_template='<div class="gallery"></div>',
        css_template=(HERE / "gallery.css").read_text("utf-8"),
        js_on_load=(HERE / "gallery.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="gallery",
        pictures=[],
    )


class Starts:
    """The handlers of the gallery of pictures to start from."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._examples: list[np.ndarray] = []  # their pictures, the same for every tab

    @told
    def examples(self) -> tuple[tuple[Start, ...], dict[str, Any]]:
        """-> what is offered, gallery"""
        self._examples = self._examples or [self._drawn(example) for example in EXAMPLES]
        return EXAMPLES, _gallery(EXAMPLES, self._examples)

    def _drawn(self, example: Start) -> np.ndarray:
        """The picture of an example with its points on it."""
        session = self._network.draw(EXAMPLE_MODEL, example.seed, EXAMPLE_PSI)
        handles, targets = zip(*((pair.handle, pair.target) for pair in example.pairs), strict=True)
        return with_points(self._network.picture(session), handles, targets)

    @told
    def seeds(
        self, session: Session, truncation_psi: float, class_index: float
    ) -> tuple[tuple[Start, ...], dict[str, Any]]:
        """Pictures of random seeds of the model that is shown. -> what is offered, gallery"""
        must_be_here(session)
        classes = self._network.classes(session.model)
        how = given("Truncation psi", truncation_psi), given_class(class_index, classes)
        starts = tuple(Start(seed, title=str(seed)) for seed in random.sample(range(10**6), SEEDS))
        drawn = (self._network.draw(session.model, start.seed, *how) for start in starts)
        return starts, _gallery(starts, [self._network.picture(each) for each in drawn])


def _gallery(starts: Sequence[Start], pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    named = zip(starts, pictures, strict=True)
    return gr.update(
        pictures=[{"src": data_url("image/jpeg", thumbnail(picture, SIDE)), "title": s.title} for s, picture in named]
    )
