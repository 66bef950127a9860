"""A session out of a document and its tensors, as `project` writes them. Whatever does not fit together is refused."""

import json
import math
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from types import UnionType
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from draggan.engine.engines import Config, engine_of
from draggan.engine.steps import MAX_PAIRS, DragState, Stuck
from draggan.film import FRAMES, Film, Frame
from draggan.geometry import DragPair, Point
from draggan.imagefile import LARGEST
from draggan.inversion.photo import Photo
from draggan.inversion.picture import Crop, Picture
from draggan.precision import check_drag_precision
from draggan.require import require_choice
from draggan.session import HISTORY, SHOTS, Phase, Session, Shot, apart
from draggan.stylegan2.delta import Delta
from draggan.stylegan2.shortage import out_of_memory

WHOLE = ("waited",)  # fields of an engine's state that count
LATER = {"visible"}  # settings that files of before do not have
LARGEST_THUMBNAIL = 1 << 16  # bytes
LONGEST = 4096  # characters of a text


@contextmanager
def reading(damaged: str) -> Iterator[None]:
    """What goes wrong with a part and is not said in our words, but in Python's or a library's, is said in these.

    That the file cannot be had, or memory is used up, says nothing of the part.
    """
    try:
        yield
    except Exception as error:
        if type(error) is ValueError or isinstance(error, OSError) or out_of_memory(error):
            raise
        raise ValueError(damaged) from error


class Reader:
    """Documents as sessions; what they share is shared again. Raises ValueError, which names the part."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors
        self._arrays: dict[str, Any] = {}
        self._finite: set[str] = set()  # tensors that were looked through: the same one may be named very often

    @reading("its document is damaged")
    def session(self, document: dict[str, Any]) -> Session:
        """The session of a whole document, with its history."""
        if max(len(document["past"]), len(document["future"])) > HISTORY or len(document["shots"]) > SHOTS:
            raise ValueError(f"its history has more than {HISTORY} edits or {SHOTS} pictures")
        past, future = (tuple(self._session(s) for s in document[name]) for name in ("past", "future"))
        shots = tuple(Shot(self._session(s["session"]), self._bytes(s["thumbnail"])) for s in document["shots"])
        session = self._session(document["session"])
        others = (*past, *future, *(shot.session for shot in shots))
        kinds = {(s.model, s.latent.shape, s.image_size) for s in (session, *others)}
        if len(kinds) > 1:
            raise ValueError("its history is of another model")
        return replace(session, past=past, future=future, shots=shots)

    def _session(self, d: dict[str, Any]) -> Session:
        height, width = image_size = _size(*d["image_size"])
        start, latent = self._latent(d["start"]), self._latent(d["latent"])
        if start.shape != latent.shape:
            raise ValueError("its latents have different shapes")
        if len(d["pairs"]) > MAX_PAIRS:
            raise ValueError(f"it has more than {MAX_PAIRS} pairs")
        pairs = tuple(_pair(v, image_size) for v in d["pairs"])
        phase = d["phase"]
        require_choice("phase", phase, Phase)
        why = d.get("why")  # a file of before has none
        if why is not None:
            require_choice("the reason why it was given up", why, Stuck)
        class_index = d.get("class_index")  # likewise
        engine = text_of(d["engine"], "engine")
        config = _config(engine, d["config"])
        session = Session(
            model=text_of(d["model"], "model"),
            seed=_whole(d["seed"], "seed", 0, 2**32 - 1),
            truncation_psi=_number(d["truncation_psi"], "truncation_psi"),
            class_index=None if class_index is None else _whole(class_index, "class_index", 0, 2**32 - 1),
            image_size=image_size,
            start=start,
            latent=latent,
            pairs=apart(pairs, image_size),  # a file of before may have two handles at one place
            pending=None if d["pending"] is None else _place(d["pending"], image_size),
            packed_mask=None if d["mask"] is None else self._mask(d["mask"], height * width),
            drag=None if d["drag"] is None else self._drag(d["drag"], engine, config, latent, image_size),
            phase=phase,
            why=why,
            number=_whole(d["number"], "number", 0, 2**53),
            engine=engine,
            config=config,
            precision=check_drag_precision(d.get("precision", "auto")),  # a file of before has none
            loss=_number(d["loss"], "loss"),
            film=self._film(d["film"], start, image_size),
            photo=None if d["photo"] is None else self._photo(d["photo"], image_size),
        )
        if session.busy:
            raise ValueError(f"phase {phase!r} is of something that runs")
        return session

    @reading("its drag is damaged")
    def _drag(
        self, d: dict[str, Any], engine: str, config: Config, latent: Tensor, image_size: tuple[int, int]
    ) -> DragState:
        own, origin = self._latent(d["latent"]), self._latent(d["origin"])
        starts, looked, handles = (
            tuple(_place(p, image_size) for p in d[name]) for name in ("starts", "looked", "handles")
        )
        templates = tuple(self._floats(name, 1) for name in d["templates"])
        if own.shape != latent.shape or origin.shape != latent.shape:
            raise ValueError("the latents of its drag have another shape")
        if not len(starts) == len(looked) == len(handles) == len(templates) <= MAX_PAIRS:
            raise ValueError("its drag has not as many places as templates")
        if len({t.shape for t in templates}) > 1:
            raise ValueError("the templates of its drag have different shapes")
        adam = {name: self._floats(of) for name, of in d["adam"].items()}
        if adam and (
            adam.keys() != {"step", "exp_avg", "exp_avg_sq"}
            or adam["step"].ndim
            or adam["exp_avg"].ndim != 3
            or adam["exp_avg"].shape != adam["exp_avg_sq"].shape
        ):
            raise ValueError("the optimiser's means of its drag do not belong together")
        kind = engine_of(engine).module().State
        more = {name: _more_of(name, d["more"][name]) for name in own_numbers(kind)}
        index = _whole(d["index"], "index", 0, 2**53)
        block = d.get("feature_resolution", config.feature_resolution)  # a file of before has none
        block = _whole(block, "feature_resolution", 4, 1 << 14)
        return kind(index, own, origin, starts, looked, handles, templates, block, adam, **more)

    @reading("its film is damaged")
    def _film(self, d: dict[str, Any], start: Tensor, image_size: tuple[int, int]) -> Film:
        if len(d["frames"]) > FRAMES:
            raise ValueError(f"its film has more than {FRAMES} frames")
        frames = []
        for each in d["frames"]:
            moved = self._floats(each[0], 3)
            if moved.shape[0] != 1 or moved.shape[1] > start.shape[1] or moved.shape[2] != start.shape[2]:
                raise ValueError("a frame of its film has another shape than its latents")
            frame = Frame(moved, *(tuple(_place(p, image_size) for p in places) for places in each[1:]))
            if len(frame.handles) != len(frame.targets):
                raise ValueError("a frame of its film has not as many handles as targets")
            frames.append(frame)
        return Film(tuple(frames), _whole(d["every"], "every", 1, 2**53), _whole(d["seen"], "seen", 0, 2**53))

    @reading("its picture is damaged")
    def _photo(self, d: dict[str, Any], image_size: tuple[int, int]) -> Photo:
        key = f"photo {json.dumps(d)}"
        if key not in self._arrays:
            shown = self._pixels(d["shown"])
            if shown.shape[:2] != image_size:
                raise ValueError("what its crop holds has another size")
            crop = Crop(*(_number(v, "crop") for v in d["crop"]))
            delta = None if d["delta"] is None else Delta({n: self._named(of) for n, of in d["delta"].items()})
            picture = d["picture"] and Picture(
                self._pixels(d["picture"]["pixels"]), tuple(text_of(n, "note") for n in d["picture"]["notes"])
            )
            self._arrays[key] = Photo(crop, shown, delta, picture)
        return self._arrays[key]

    def _bytes(self, name: str) -> bytes:
        data = self._named(name)
        if data.dtype != torch.uint8 or data.ndim != 1 or not 0 < len(data) <= LARGEST_THUMBNAIL:
            raise ValueError("one of its small pictures is empty or too large")
        return bytes(data.numpy())

    @reading("its mask is damaged")
    def _mask(self, name: str, bits: int) -> bytes:
        if name not in self._arrays:
            data = bytes(self._named(name).numpy())
            opened = zlib.decompressobj()
            if len(opened.decompress(data, (bits + 7) // 8 + 1)) != (bits + 7) // 8 or not opened.eof:
                raise ValueError("its mask has another size")
            self._arrays[name] = data
        return self._arrays[name]

    def _pixels(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            self._arrays[name] = pixels_of(self._named(name))
        return self._arrays[name]

    def _latent(self, name: str) -> Tensor:
        tensor = self._floats(name, 3)
        if tensor.shape[0] != 1 or tensor.dtype not in (torch.float32, torch.float64):
            what = f"{tensor.dtype} and shape {tuple(tensor.shape)}"
            raise ValueError(f"a latent of {what}: it must be float32 or float64, (1, num_ws, w_dim)")
        return tensor

    def _floats(self, name: str, ndim: int | None = None) -> Tensor:
        tensor = self._named(name)
        finite = tensor.is_floating_point() and (name in self._finite or bool(tensor.isfinite().all()))
        if not finite or ndim not in (None, tensor.ndim):
            raise ValueError(f"tensor {name} is of another kind or shape, or of numbers that are not finite")
        self._finite.add(name)
        return tensor

    def _named(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise ValueError(f"tensor {str(name)[:50]!r} is missing")
        return self._tensors[name]


def own_numbers(kind: type[DragState]) -> list[str]:
    """What the state of an engine holds beside that of the paper's: the names of numbers."""
    common = {each.name for each in fields(DragState)}
    return [each.name for each in fields(kind) if each.name not in common]


def _more_of(name: str, value: Any) -> float:
    if value is None:
        return math.inf
    return _whole(value, name, 0, 2**53) if name in WHOLE else _number(value, name)


@reading("its settings are damaged")
def _config(engine: str, d: dict[str, Any]) -> Config:
    """Settings of a drag, each of the kind that it must have."""
    defaults = engine_of(engine).settings()
    if not asdict(defaults).keys() - LATER <= d.keys() <= asdict(defaults).keys():
        raise ValueError("its settings are not those of its engine")
    optional = {f.name: f.type for f in fields(defaults) if isinstance(f.type, UnionType)}
    for name, value in d.items():
        kind: Any = optional.get(name, type(getattr(defaults, name)))
        if float in (kind, *get_args(kind)):
            kind |= int
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ValueError(f"its {name} is {str(value)[:50]}")
        if isinstance(value, int):
            _number(value, name)  # which not every whole one is
    return type(defaults)(**d)


@reading("its points are damaged")
def _pair(value: list[float], image_size: tuple[int, int]) -> DragPair:
    """One of a file of before is without where it was set."""
    return DragPair(*(_place(value[i : i + 2], image_size) for i in range(0, len(value), 2)))


def _place(value: list[float], image_size: tuple[int, int]) -> Point:
    """A point of the picture."""
    point = Point(*(_number(v, "a point") for v in value))
    if not point.inside(image_size):
        raise ValueError(f"point {point} lies outside its picture")
    return point


def _size(height: Any, width: Any) -> tuple[int, int]:
    return _whole(height, "image_size", 1, 1 << 14), _whole(width, "image_size", 1, 1 << 14)


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{what} is {str(value)[:50]}, not a finite number")
    return value


def _whole(value: Any, what: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{what} is {str(value)[:50]}, not a whole number in {low} .. {high}")
    return value


def text_of(value: Any, what: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise ValueError(f"{what} is not a text of at most {LONGEST} characters")
    return value


def pixels_of(tensor: Tensor) -> np.ndarray:
    if tensor.dtype != torch.uint8 or tensor.ndim != 3 or tensor.shape[2] != 3 or tensor.numel() > 3 * LARGEST:
        raise ValueError("its picture is not of RGB pixels")
    return tensor.numpy()
