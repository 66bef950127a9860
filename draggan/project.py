"""A session as a file: `.draggan`, one safetensors file, exact to the last bit, its history included.

A file is of one model: of the history it keeps what was made with the model that the session has now.

Numbers are tensors of the file; the rest is a JSON document that refers to them by name, itself a tensor of bytes.
Nothing in such a file is ever run. Whatever does not fit together is refused.
"""

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from draggan.engine.steps import DragState
from draggan.film import Film
from draggan.geometry import DragPair, Point
from draggan.inversion.photo import Photo
from draggan.inversion.picture import Picture
from draggan.restore import Reader, own_numbers, pixels_of, reading, text_of
from draggan.session import HISTORY, Session, Shot
from draggan.stylegan2.checkpoint import refusing, write_whole
from draggan.stylegan2.delta import Delta, check
from draggan.stylegan2.generator import Generator
from draggan.stylegan2.said import Said

VERSION = 1
DOCUMENT = "document"
WHOLE = "picture"  # which no weight of a generator is called
NO_SESSION = "{file} is not a session that can be read: {why}; save or copy it again, or open another"
NO_DETAILS = "{file} are not the details of a picture that can be read: {why}"
DAMAGED = "it is damaged, or a file of another kind"
LARGEST_DOCUMENT, MOST_LISTS = 1 << 24, 1 << 20  # bytes, and lists in it: while it is read, all else in a server waits


@dataclass(frozen=True, eq=False)
class Project:
    """What a file holds."""

    session: Session
    model_sha256: str  # of the model's file; empty: not known


def pack(project: Project) -> bytes:
    """The file's bytes. Raises ValueError while something runs."""
    return safetensors.torch.save(_tensors(project))


def save(path: str | Path, project: Project) -> None:
    """Writes all of it or nothing. Raises ValueError while something runs, OSError where it cannot be written."""
    write_whole(Path(path), _tensors(project))


def _tensors(project: Project, edits: int = HISTORY) -> dict[str, Tensor]:
    """What a file holds, its document included: of the history the last edits, as many as make a document."""
    if project.session.busy:
        raise ValueError("something is running: stop it before the session is saved")
    writer = _Writer()
    now = project.session
    past, future = ([s for s in of if s.model == now.model] for of in (now.past, now.future))
    document = {
        "version": VERSION,
        "model_sha256": project.model_sha256,
        "session": writer.session(now),
        "past": [writer.session(s) for s in past[max(0, len(past) - edits) :]],
        "future": [writer.session(s) for s in future[:edits]],
        "shots": [writer.shot(s) for s in now.shots if s.session.model == now.model],
    }
    text = json.dumps(document, allow_nan=False).encode()
    if edits and _too_long(text):
        return _tensors(project, edits // 2)
    return writer.tensors | {DOCUMENT: torch.frombuffer(bytearray(text), dtype=torch.uint8)}


def load(path: str | Path) -> Project:
    """Reads what `save` wrote. Raises FileNotFoundError, or ValueError, which names the file, for anything else."""
    path = Path(path)
    with refusing(path, NO_SESSION), reading(DAMAGED), safe_open(path, framework="pt") as file:
        document = _document(file)
        names = [name for name in file.keys() if name != DOCUMENT]  # noqa: SIM118
        tensors = {name: file.get_tensor(name).clone() for name in names}  # so that the file is not held
        return Project(Reader(tensors).session(document), text_of(document["model_sha256"], "model_sha256"))


def model_of(path: Path) -> str:
    """The SHA-256 of the model that a file of `save` was made with; empty: not known. Raises as `load` does."""
    with refusing(path, NO_SESSION), reading(DAMAGED), safe_open(path, framework="pt") as file:
        return text_of(_document(file)["model_sha256"], "model_sha256")


def _document(file: Any) -> dict[str, Any]:
    """What an opened file says, without its tensors."""
    if DOCUMENT not in file.keys():  # noqa: SIM118 (no mapping)
        raise ValueError("it is another kind of safetensors file")
    if file.get_slice(DOCUMENT).get_shape()[0] > LARGEST_DOCUMENT:
        raise ValueError("its document is too long")
    text = bytes(file.get_tensor(DOCUMENT).numpy())
    if _too_long(text):
        raise ValueError("its document is too long")
    document = json.loads(text)
    if document["version"] != VERSION:
        raise ValueError(f"it has version {document['version']}, this draggan reads {VERSION}: update draggan")
    return document


def _too_long(text: bytes) -> bool:
    return len(text) > LARGEST_DOCUMENT or text.count(b"[") + text.count(b"{") > MOST_LISTS


def pack_details(photo: Photo) -> bytes:
    """What is large of a picture of one's own, its delta and the whole picture, as a safetensors file."""
    tensors = {name: change.contiguous() for name, change in photo.delta.changes.items()} if photo.delta else {}
    if photo.picture:
        tensors[WHOLE] = torch.from_numpy(photo.picture.pixels.copy())
    return safetensors.torch.save(tensors)


def load_details(path: Path, photo: Photo) -> Photo:
    """The photo with what `pack_details` kept of it. Raises as `load` does; whether it fits, `check_fits` tells."""
    with refusing(path, NO_DETAILS), reading(DAMAGED):
        tensors = safetensors.torch.load(path.read_bytes())
        picture = Picture(pixels_of(tensors.pop(WHOLE))) if WHOLE in tensors else None
        return replace(photo, delta=Delta(tensors) if tensors else None, picture=picture)


def check_fits(project: Project, generator: Generator) -> None:
    """Raises ValueError unless the session belongs to such a generator."""
    session = project.session
    wanted = (1, generator.num_ws, generator.config.w_dim)
    if session.image_size != generator.image_size or tuple(session.latent.shape) != wanted:
        said = "the session was made with another model than {name} is here: find its own file"
        raise ValueError(Said(said, {"name": Path(session.model).name}))
    if session.photo and session.photo.delta:
        check(session.photo.delta, generator)


class _Writer:
    """Sessions as documents; what several of them share is written once."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []  # so that no identity is used twice

    def session(self, session: Session) -> dict[str, Any]:
        return {
            "model": session.model,
            "seed": session.seed,
            "truncation_psi": session.truncation_psi,
            "class_index": session.class_index,
            "image_size": list(session.image_size),
            "start": self._tensor(session.start),
            "latent": self._tensor(session.latent),
            "pairs": [_pair(p) for p in session.pairs],
            "pending": None if session.pending is None else _point(session.pending),
            "mask": None if session.packed_mask is None else self._bytes(session.packed_mask),
            "drag": None if session.drag is None else self._drag(session.drag),
            "phase": session.phase,
            "why": session.why,
            "number": session.number,
            "engine": session.engine,
            "config": asdict(session.config),
            "precision": session.precision,
            "loss": session.loss,
            "film": self._film(session.film),
            "photo": None if session.photo is None else self._photo(session.photo),
        }

    def _drag(self, state: DragState) -> dict[str, Any]:
        return {
            "index": state.index,
            "latent": self._tensor(state.latent),
            "origin": self._tensor(state.origin),
            "starts": [_point(p) for p in state.starts],
            "looked": [_point(p) for p in state.looked],
            "handles": [_point(p) for p in state.handles],
            "templates": [self._tensor(t) for t in state.templates],
            "feature_resolution": state.feature_resolution,
            "adam": {name: self._tensor(t) for name, t in state.adam.items()},
            "more": {name: _finite(getattr(state, name)) for name in own_numbers(type(state))},
        }

    def _film(self, film: Film) -> dict[str, Any]:
        frames = [
            [self._tensor(f.moved), [_point(p) for p in f.handles], [_point(p) for p in f.targets]] for f in film.frames
        ]
        return {"every": film.every, "seen": film.seen, "frames": frames}

    def shot(self, shot: Shot) -> dict[str, Any]:
        return {"session": self.session(shot.session), "thumbnail": self._bytes(shot.thumbnail)}

    def _photo(self, photo: Photo) -> dict[str, Any]:
        crop, picture = photo.crop, photo.picture
        return {
            "crop": [crop.x, crop.y, crop.side, crop.angle],
            "shown": self._array(photo.shown),
            "delta": photo.delta and {name: self._tensor(t) for name, t in photo.delta.changes.items()},
            "picture": picture and {"pixels": self._array(picture.pixels), "notes": list(picture.notes)},
        }

    def _tensor(self, tensor: Tensor) -> str:
        return self._named(tensor, lambda: tensor.detach().cpu().contiguous().clone())

    def _array(self, array: np.ndarray) -> str:
        return self._named(array, lambda: torch.from_numpy(array.copy()))

    def _bytes(self, data: bytes) -> str:
        return self._named(data, lambda: torch.frombuffer(bytearray(data), dtype=torch.uint8))

    def _named(self, thing: Any, make: Any) -> str:
        if id(thing) not in self._names:
            self._names[id(thing)] = name = f"t{len(self._names)}"
            self.tensors[name] = make()
            self._kept.append(thing)
        return self._names[id(thing)]


def _finite(value: float) -> float | None:
    """A number as JSON has it; None: infinite, not known yet."""
    return None if math.isinf(value) else value


def _pair(pair: DragPair) -> list[float]:
    return [*_point(pair.handle), *_point(pair.target), *(_point(pair.set_at) if pair.set_at else ())]


def _point(point: Point) -> list[float]:
    return [point.x, point.y]
