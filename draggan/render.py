"""Pictures out of tensors: bytes of an image file, points drawn on top, videos. Knows nothing of networks or pages."""

import io
import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from PIL import ExifTags, Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from draggan.geometry import Point
from draggan.imagefile import PictureError, opened
from draggan.stylegan2.device import ONE_THREAD

BLUE, RED, WHITE = (40, 110, 255), (240, 50, 50), (255, 255, 255)
VIDEOS = (".mp4", ".gif", ".webp")
FPS = 15  # frames of a video a second
HOLD = 10  # frames for which a video stands still at its end


def to_picture(image: Tensor) -> np.ndarray:
    """image (1, 3, H, W) in [-1, 1] -> (H, W, 3) uint8. Values outside the range are cut off."""
    return _pixels(image).cpu().numpy()


def leaving(image: Tensor) -> Callable[[], np.ndarray]:
    """Begins to bring an image to the CPU; what it gives waits for it, and is as `to_picture` gives it.

    Who computes goes on meanwhile, on a GPU too, unless that is for one thread. image (1, 3, H, W) in [-1, 1].
    """
    if image.device.type in ONE_THREAD:
        return _pixels(image).cpu().numpy
    if image.device.type != "cuda":
        return partial(to_picture, image)
    pixels, arrived = _pixels(image), torch.cuda.Event(blocking=True)
    stream = torch.cuda.Stream(image.device, priority=-1)  # torch has few: those of priority 0 are what GPUs record on
    there = torch.empty(pixels.shape, dtype=pixels.dtype, pin_memory=True)
    stream.wait_stream(torch.cuda.current_stream(image.device))
    with torch.cuda.stream(stream):
        there.copy_(pixels, non_blocking=True)
        pixels.record_stream(stream)
        arrived.record()

    def picture() -> np.ndarray:
        arrived.synchronize()
        return there.numpy()

    return picture


def _pixels(image: Tensor) -> Tensor:
    return (image[0].permute(1, 2, 0) * 127.5 + 128).clamp(0, 255).to(torch.uint8)  # (H, W, 3)


def encode(picture: np.ndarray, facts: dict[str, str] | None = None, *, lossless: bool) -> bytes:
    """picture (H, W, 3) uint8 -> PNG bytes with `facts` as text in it, or for the screen a small JPEG."""
    buffer = io.BytesIO()
    if lossless:
        info = PngInfo()
        for key, text in (facts or {}).items():
            info.add_itxt(key, text)
        Image.fromarray(picture).save(buffer, "PNG", pnginfo=info)
    else:
        Image.fromarray(picture).save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def thumbnail(picture: np.ndarray, height: int = 72) -> bytes:
    """picture (H, W, 3) uint8 -> a small JPEG of it."""
    small = Image.fromarray(picture)
    small.thumbnail((4 * height, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def side_by_side(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Two pictures (H, W, 3) uint8 -> (H, 2 W + gap, 3), the first on the left, with a white gap."""
    gap = np.full((before.shape[0], max(before.shape[1] // 32, 1), 3), 255, dtype=np.uint8)
    return np.concatenate([before, gap, after], axis=1)


def read_mask(path: Path, image_size: tuple[int, int]) -> np.ndarray:
    """A picture file as a mask: (H, W) bool, True where it is nearer to white than to black.

    What is transparent is black; the only two values 0 and 1 are black and white.
    Raises as `picture.read_picture` does, and ValueError where it is of another size (height, width).
    """
    with opened(path) as picture:
        if picture.size != image_size[::-1]:
            own, wanted = (f"{width} x {height}" for width, height in (picture.size, image_size[::-1]))
            said = "{name} has {own} pixels, the picture {wanted}: save the mask in its size"
            raise PictureError(said, name=path.name, own=own, wanted=wanted)
        if picture.has_transparency_data and not picture.mode.startswith("I"):
            seen = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", seen.size, (0, 0, 0)), seen)
        if not picture.mode.startswith(("I", "F")):
            picture = picture.convert("L")
        values = np.nan_to_num(np.asarray(picture))
        return values > _white(picture.mode, values.max()) / 2


def _white(mode: str, largest: float) -> float:
    """The value of white in greys: of 16 bits their last, else the least usual one that holds all."""
    usual = (65535,) if mode.startswith("I;16") else (1, 255, 65535)
    return next((white for white in usual if largest <= white), largest)


def with_points(picture: np.ndarray, handles: Sequence[Point], targets: Sequence[Point]) -> np.ndarray:
    """A copy of picture (H, W, 3) uint8 with the points on it: handles blue and filled, targets a red ring."""
    scale = 4  # drawn large and reduced, so that edges are smooth
    height, width = picture.shape[:2]
    unit = max(height, width) / 256 * scale
    large = Image.fromarray(picture).resize((width * scale, height * scale), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(large)
    for handle, target in zip(handles, targets, strict=True):
        (hx, hy), (tx, ty) = (((p.x + 0.5) * scale, (p.y + 0.5) * scale) for p in (handle, target))
        _arrow(draw, hx, hy, tx, ty, unit)
        _dot(draw, tx, ty, 4 * unit, outline=RED, width=round(1.6 * unit))
        _dot(draw, hx, hy, 3.4 * unit, fill=BLUE, outline=WHITE, width=round(0.9 * unit))
    return np.asarray(large.resize((width, height), Image.Resampling.LANCZOS))


def _dot(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, **style) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), **style)


def _arrow(draw: ImageDraw.ImageDraw, hx: float, hy: float, tx: float, ty: float, unit: float) -> None:
    length = math.hypot(tx - hx, ty - hy)
    if length < 6 * unit:
        return
    dx, dy = (tx - hx) / length, (ty - hy) / length
    draw.line((hx, hy, tx - dx * 4 * unit, ty - dy * 4 * unit), fill=WHITE, width=round(1.3 * unit))
    tip = (tx - dx * 4 * unit, ty - dy * 4 * unit)
    wings = [(tip[0] - 5 * unit * (dx + s * dy * 0.6), tip[1] - 5 * unit * (dy - s * dx * 0.6)) for s in (-1, 1)]
    draw.polygon([tip, *wings], fill=WHITE)


def encode_video(pictures: Iterable[np.ndarray], kind: str, comment: str = "") -> bytes:
    """A video of pictures (H, W, 3) uint8 of one even size, that stands still at its end for a moment. -> the bytes of
    its file. kind: one of VIDEOS, how that is called; the first is H.264. comment: for its metadata."""
    pictures = [*pictures]
    pictures += pictures[-1:] * HOLD
    buffer = io.BytesIO()
    if kind == ".mp4":
        _write_mp4(buffer, pictures, comment)
    elif kind in VIDEOS:
        first, *rest = (Image.fromarray(picture) for picture in pictures)
        exif = Image.Exif()
        exif[ExifTags.Base.ImageDescription] = comment  # as WebP has it
        how = {"append_images": rest, "duration": 1000 // FPS, "loop": 0, "comment": comment, "exif": exif}
        first.save(buffer, kind[1:], save_all=True, **how)
    else:
        raise ValueError(f"{kind}: a video is one of {', '.join(VIDEOS)}")
    return buffer.getvalue()


def _write_mp4(buffer: io.BytesIO, pictures: Sequence[np.ndarray], comment: str) -> None:
    with av.open(buffer, "w", format="mp4") as file:
        file.metadata["comment"] = comment
        stream = file.add_stream("libx264", rate=Fraction(FPS), options={"crf": "16", "preset": "medium"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
