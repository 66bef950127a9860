"""The canvas as a component of the page: the picture, and on layers over it the points and the mask."""

import base64
import binascii
import io
import re
import time
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from draggan.geometry import DragPair, Point
from draggan.session import Session
from draggan.web.words import Said

HERE = Path(__file__).parent
PARTS = ("framing", "edits", "files", "mask", "drawing", "lists", "server", "zoom", "focus", "aloud")
EVENTS = "edit", "look", "copy", "safe", "live", "aim", "frame"  # Gradio wants to find them in the component's script
MASK_BYTES = 4 << 20  # a mask that the browser sends is far smaller


def component() -> gr.HTML:
    """The canvas.

    Its events: `edit`, what `edited` reads; `look` asks for the picture, `copy` for that without loss, `safe` for what
    the browser shall keep; `live`, what `pulled` reads, and `aim`, where the pointer of that pull is; `frame` moves a
    picture of one's own.
    """
    return gr.HTML(
        html_template=(HERE / "canvas.html").read_text("utf-8"),
        css_template=(HERE / "canvas.css").read_text("utf-8"),
        js_on_load=f"draggan.canvas(element, props, watch, trigger); // {EVENTS}",
        apply_default_css=False,
        elem_id="canvas",
        image={"url": "", "view": None},
        marks=marks(None, Said("Drawing the first picture ...")),
        answered=None,
        file=None,
        copied=None,
        paint=None,
        original=None,
        kept=None,
        refused=False,
        task={"status": None, "progress": None},
        strip=[],
    )


def update(
    session: Session,
    status: Said,
    image: bytes | None = None,
    progress: float | None = None,
    repaint: bool = False,
    answered: int | None = None,
    strip: bool = False,
) -> dict[str, Any]:
    """What the canvas shows next: the marks of a session and, where it is new, its picture (JPEG).

    progress: how much of a download is done, 0 .. 1; None: nothing is downloaded. repaint: whether the mask
    is another one than the browser has; strip: whether the pictures to go back to are others. answered: the
    number of the edit that this is the answer to.
    """
    lying = marks(session, status)
    changes: dict[str, Any] = {"marks": lying | {"progress": progress}}
    if strip:
        changes["strip"] = [data_url("image/jpeg", shot.thumbnail) for shot in session.shots]
    if repaint:
        changes["paint"] = _paint(session)
    if image is not None:
        changes["image"] = {"url": data_url("image/jpeg", image), "view": lying["view"]}
    if answered is not None:
        changes["answered"] = answered
    return gr.update(**changes)


def unedited(session: Session | None, number: int) -> dict[str, Any]:
    """The answer to an edit that cannot be made, which the canvas may show already: the mask as it is."""
    return gr.update(answered=number, paint=session and _paint(session))


def picture(session: Session, image: bytes | None, original: bytes | None = None) -> dict[str, Any]:
    """The picture of a session (JPEG) under marks that the canvas has already, and the one that edits are
    compared to; None: not that."""
    changes: dict[str, Any] = {}
    if image is not None:
        changes["image"] = {"url": data_url("image/jpeg", image), "view": _view(session.latent)}
    if original is not None:
        changes["original"] = {"url": data_url("image/jpeg", original), "view": _original(session)}
    return gr.update(**changes)


def beside(session: Session, image: bytes, shape: tuple[int, ...], status: Said) -> dict[str, Any]:
    """Pictures beside each other (JPEG) of shape (H, W, 3), in place of the one that is framed."""
    lying = marks(session, status) | {"size": [shape[1], shape[0]], "picture": -1}
    return gr.update(marks=lying, image={"url": data_url("image/jpeg", image), "view": lying["view"]})


def safe(session: bytes, name: str | None = None, details: bytes | None = None) -> dict[str, Any]:
    """A session for the browser to keep, as `Handlers.start` takes it back; with what its details are called, where it
    has some, and the details, where the browser has not had them."""
    return gr.update(kept=_sent({"session": _base64(session), "name": name, "details": details and _base64(details)}))


def refused(view: dict[str, Any], why: Said | None) -> dict[str, Any]:
    """What the canvas shows next, and why it is not what the browser kept; None: nothing was kept that could not be."""
    return view | {"refused": why is not None and asdict(why)}  # None would not reach the browser


def numbered(view: dict[str, Any], line: str, number: int) -> dict[str, Any]:
    """What the canvas shows next, of which it tells when it does: the answer of that number on a line."""
    return view | {"marks": view["marks"] | {"sent": [line, number]}}


def note(status: Said, progress: float | None = None) -> dict[str, Any]:
    """Words on a canvas that has no picture yet; progress as in `update`."""
    return gr.update(marks=marks(None, status) | {"progress": progress})


def file(name: str, kind: str, raw: bytes) -> dict[str, Any]:
    """A file for the user to keep. kind: its media type."""
    return gr.update(file=_sent({"name": name, "url": data_url(kind, raw)}))


def copied(raw: bytes) -> dict[str, Any]:
    """A picture (PNG) for the user's clipboard."""
    return gr.update(copied=_sent({"url": data_url("image/png", raw)}))


def task(status: Said | None, progress: float | None = None) -> dict[str, Any]:
    """Work that changes nothing on the canvas, and how much of it is done, 0 .. 1; None: it has ended."""
    return gr.update(task={"status": status and asdict(status), "progress": progress})


def marks(session: Session | None, status: Said) -> dict[str, Any]:
    """What lies over the picture, as JSON: over one that is framed neither points nor a mask."""
    if session is None:
        size = {"size": [1, 1], "view": None, "start": None, "steps": 0, "loss": 0}
        return {**size, "handles": [], "targets": [], "pending": None, "phase": "waiting", "status": asdict(status)}
    height, width = session.image_size
    if session.framing:
        session = replace(session, pairs=(), pending=None)
    return {
        "picture": session.number,
        "size": [width, height],
        "handles": [_xy(point) for point in session.handles],
        "targets": [_xy(pair.target) for pair in session.pairs],
        "pending": session.pending and _xy(session.pending),
        "view": "own" if session.framing else _view(session.latent),
        "start": _original(session),
        "photo": session.photo is not None,
        "phase": "loading" if session.loading else "framing" if session.framing else session.phase,
        "steps": session.steps,
        "loss": session.loss,
        "status": asdict(status),
    }


def edited(session: Session, event: Any) -> Session:
    """The session after what the user did: `kind` says what, places are in pixels of the picture.

    Raises ValueError where that cannot be done.
    """
    match event.kind:
        case "click":
            return session.click(_point(event.at))
        case "pair":
            return session.add(DragPair(_point(event.at), _point(event.to)))
        case "move":
            return session.move(event.index, event.end, _point(event.at))
        case "remove":
            return session.remove(event.index)
        case "drop":
            return session.drop()
        case "clear":
            return session.clear_points()
        case "mask":
            return session.with_mask(read_mask(event.png, session.image_size))
        case "back":
            return session.go_back(event.index)
        case "undo":
            return session.undo()
        case "redo":
            return session.redo()
        case "reset":
            return session.reset()
    raise ValueError(f"nothing is known of {event.kind!r}: reload the page")


def pulled(session: Session, event: Any) -> tuple[Session, int]:
    """The session with the pair that a pull moves, and which one it is: a new one, or `index`.

    Raises ValueError where that cannot be done.
    """
    if getattr(event, "index", None) is None:
        session = session.pull(_point(getattr(event, "from")), _point(event.at))
        return session, len(session.pairs) - 1
    return session.pull(event.index, _point(event.at)), event.index


def write_mask(mask: np.ndarray | None) -> str | None:
    """What `read_mask` reads: white paint where the mask (H, W) bool is True."""
    if mask is None:
        return None
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(mask[..., None], 4, axis=2).astype(np.uint8) * 255).save(buffer, "PNG")
    return data_url("image/png", buffer.getvalue())


def read_mask(png: str | None, image_size: tuple[int, int]) -> np.ndarray | None:
    """The mask painted on the canvas: (H, W) bool, True where there is paint; None where there is none at all.

    Raises ValueError for anything but a PNG of the picture's size.
    """
    if png is None:
        return None
    try:
        raw = base64.b64decode(png.removeprefix("data:image/png;base64,"), validate=True)
        if len(raw) > MASK_BYTES:
            raise ValueError(f"the mask has {len(raw)} bytes, more than {MASK_BYTES}")
        with Image.open(io.BytesIO(raw), formats=["PNG"]) as picture:
            if picture.size != image_size[::-1]:
                raise ValueError(f"the mask has {picture.size} pixels, the picture {image_size[::-1]}")
            painted = np.asarray(picture.convert("RGBA"))[..., 3] > 127
    except (binascii.Error, UnidentifiedImageError, OSError) as error:
        raise ValueError(f"the mask cannot be read: {error}") from error
    return painted if painted.any() else None


def script() -> str:
    """What the canvas does in the browser, as `window.draggan.canvas`.

    Gradio searches the script that a component comes with for two dozen names, in each answer that changes it.
    """
    parts = joined(*(f"{part}.js" for part in PARTS), "canvas.js")
    return f"window.draggan.canvas = (element, props, watch, trigger) => {{ {parts} }};"


def joined(*names: str) -> str:
    """Modules as one script, each after those that it imports."""
    modules = (HERE.joinpath(name).read_text("utf-8") for name in names)
    return re.sub(r"^import .*\n|^export ", "", "".join(modules), flags=re.MULTILINE)


def _paint(session: Session) -> dict[str, Any]:
    return _sent({"png": write_mask(session.mask)})


def _sent(what: dict[str, Any]) -> dict[str, Any]:
    """With a time: the browser does not hear of what is the same as before."""
    return what | {"at": time.monotonic_ns()}


def _view(latent: Tensor) -> int:
    """A number that belongs to the picture of a latent."""
    return zlib.crc32(latent.numpy().tobytes())


def _original(session: Session) -> int:
    """Likewise of the one that edits are compared to: one's own, or the one as drawn."""
    return session.photo.view if session.photo else _view(session.start)


def _xy(point: Point) -> list[float]:
    return [point.x, point.y]


def _point(xy: list[float]) -> Point:
    x, y = xy
    return Point(float(x), float(y))


def data_url(kind: str, raw: bytes) -> str:
    """A file as an address that a browser shows. kind: its media type."""
    return f"data:{kind};base64,{_base64(raw)}"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
