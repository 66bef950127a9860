"""The canvas as a component of the page: the picture, and on layers over it the points and the mask."""

import base64
import binascii
import io
import time
import zlib
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, UnidentifiedImageError

from draggan.geometry import DragPair, Point
from draggan.session import Session

HERE = Path(__file__).parent
MASK_BYTES = 4 << 20  # a mask that the browser sends is far smaller


def component() -> gr.HTML:
    """The canvas. Its events are `edit`, what `edited` reads, and `look`, which asks for the picture."""
    return gr.HTML(
        html_template=(HERE / "canvas.html").read_text("utf-8"),
        css_template=(HERE / "canvas.css").read_text("utf-8"),
        js_on_load=(HERE / "canvas.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="canvas",
        image="",
        marks=marks(None, "Drawing the first picture ..."),
        view=None,
        answered=None,
        file=None,
        paint=None,
    )


def update(
    session: Session,
    status: str,
    image: bytes | None = None,
    progress: float | None = None,
    repaint: bool = False,
    answered: int | None = None,
) -> dict[str, Any]:
    """What the canvas shows next: the marks of a session and, where it is new, its picture (JPEG).

    progress: how much of a download is done, 0 .. 1; None: nothing is downloaded. repaint: whether the mask
    is another one than the browser has. answered: the number of the edit that this is the answer to.
    """
    changes: dict[str, Any] = {"marks": marks(session, status) | {"progress": progress}}
    if repaint:
        changes["paint"] = {"png": write_mask(session.mask), "at": time.monotonic_ns()}
    if image is not None:
        changes |= {"image": _data_url("image/jpeg", image), "view": _view(session)}
    if answered is not None:
        changes["answered"] = answered
    return gr.update(**changes)


def note(status: str) -> dict[str, Any]:
    """Words on a canvas that has no picture yet."""
    return gr.update(marks=marks(None, status))


def picture(session: Session, image: bytes) -> dict[str, Any]:
    """The picture of a session (JPEG) under marks that the canvas has already."""
    return gr.update(image=_data_url("image/jpeg", image), view=_view(session))


def file(name: str, png: bytes) -> dict[str, Any]:
    """A file for the user to keep."""
    return gr.update(file={"name": name, "url": _data_url("image/png", png)})


def marks(session: Session | None, status: str) -> dict[str, Any]:
    """What lies over the picture, as JSON."""
    if session is None:
        size = {"size": [1, 1], "view": None}
        return {**size, "handles": [], "targets": [], "pending": None, "phase": "waiting", "status": status}
    height, width = session.image_size
    return {
        "picture": session.number,
        "size": [width, height],
        "handles": [_xy(point) for point in session.handles],
        "targets": [_xy(pair.target) for pair in session.pairs],
        "pending": session.pending and _xy(session.pending),
        "view": _view(session),
        "phase": session.phase,
        "status": status,
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
        case "undo":
            return session.undo()
        case "redo":
            return session.redo()
        case "reset":
            return session.reset()
    raise ValueError(f"nothing is known of {event.kind!r}: reload the page")


def write_mask(mask: np.ndarray | None) -> str | None:
    """What `read_mask` reads: white paint where the mask (H, W) bool is True."""
    if mask is None:
        return None
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(mask[..., None], 4, axis=2).astype(np.uint8) * 255).save(buffer, "PNG")
    return _data_url("image/png", buffer.getvalue())


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


def _view(session: Session) -> int:
    """A number that belongs to the picture of a session."""
    return zlib.crc32(session.latent.cpu().contiguous().numpy().tobytes())


def _xy(point: Point) -> list[float]:
    return [point.x, point.y]


def _point(xy: list[float]) -> Point:
    x, y = xy
    return Point(float(x), float(y))


def _data_url(kind: str, raw: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(raw).decode()}"
