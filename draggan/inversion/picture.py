"""A picture of one's own: its file -> pixels, and the part of them that a model sees.

Knows nothing of networks. Whatever is changed on the way is told in the picture's notes.
"""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from draggan.geometry import Point, edges
from draggan.imagefile import PictureError, opened

SMALLEST = 64  # pixels of the shorter side: there is nothing to reconstruct in fewer
FACE = ((0.375, 0.472), (0.625, 0.472), (0.5, 0.75))  # eyes and mouth in pictures of faces: parts of width, height
LONGEST = 1_000_000  # pixels of the longer side of a crop, far beyond any picture
SAME = 2  # of 255: so little apart, colours are the same but for rounding
PIECE = 1 << 20  # numbers that are converted at a time
GREYS = ("1", "L", "LA", "La")  # of up to 8 bits, which those of more are made first


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels of a file, upright and in colours."""

    pixels: np.ndarray  # (H, W, 3) uint8, sRGB
    notes: tuple[str, ...] = ()  # what was changed, in words a person understands; empty: nothing

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True)
class Crop:
    """A rectangle of a picture, of any place, size and turn, that has the shape of a model's pictures.

    In pixels of the picture, the centre of the first one at (0, 0). It may reach beyond the picture, whose border then
    goes on.
    """

    x: float  # of the centre
    y: float
    side: float  # length of the longer side
    angle: float = 0.0  # degrees by which it is turned, clockwise as one sees it

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.x, self.y, self.side, self.angle)) or not 1 <= self.side <= LONGEST:
            raise ValueError(f"{self}: its numbers must be finite and its side 1 to {LONGEST} pixels")

    def matrix(self, image_size: tuple[int, int]) -> np.ndarray:
        """(2, 3): takes (x, y, 1) in pixels of the model's picture, (height, width), to x, y in the whole one."""
        height, width = image_size
        scale, turn = self.side / max(image_size), math.radians(self.angle)
        a, b = scale * math.cos(turn), scale * math.sin(turn)
        x, y = (width - 1) / 2, (height - 1) / 2
        return np.array([[a, -b, self.x - a * x + b * y], [b, a, self.y - b * x - a * y]])

    def places(self, image_size: tuple[int, int], per_pixel: int = 1) -> np.ndarray:
        """Where the model's pixels lie on the whole picture. -> (H, W, 2): x, y

        per_pixel 2: the centres of the four quarters of each instead. -> (2 H, 2 W, 2)
        """
        rows, columns = ((np.arange(size * per_pixel) + 0.5) / per_pixel - 0.5 for size in image_size)
        x, y = np.meshgrid(columns, rows)  # (H, W)
        return np.stack([x, y, np.ones_like(x)], axis=2) @ self.matrix(image_size).T

    def bounds(
        self,
        image_size: tuple[int, int],
        picture_size: tuple[int, int],
        margin: int,
        part: tuple[int, int, int, int] | None = None,
    ) -> tuple[int, int, int, int]:
        """Top, left, bottom, right of the part of the picture that the crop reads, the last two excluded.

        part: the same of the model's picture, where only that is asked for. Empty where it lies beyond the picture.
        """
        first_y, first_x, end_y, end_x = part or (0, 0, *image_size)
        across, down = edges((end_y - first_y, end_x - first_x))
        corners = np.array([[first_x + x, first_y + y, 1] for x in across for y in down])
        around = corners @ self.matrix(image_size).T  # (4, 2)
        left, top = np.floor(around.min(axis=0)).astype(int) - margin
        right, bottom = np.ceil(around.max(axis=0)).astype(int) + margin + 1
        height, width = picture_size
        return max(top, 0), max(left, 0), min(bottom, height), min(right, width)


def read_picture(path: Path) -> Picture:
    """The picture in a file of any of `imagefile.FORMATS`.

    Turned as its camera meant it (EXIF); transparent parts become white; of an animation the first frame, of layers
    what they make together; 16 bits become 8, greys, palettes and CMYK become RGB. Raises OSError where the file cannot
    be had, or ValueError, which names the file and what to do, where it is not a picture, is damaged, or has fewer than
    64 pixels a side or more than 100 million.
    """
    with opened(path) as image:
        if min(image.size) < SMALLEST:
            size = f"{image.width} x {image.height}"
            said = "{name} has {size} pixels: use one of at least {least} x {least}"
            raise PictureError(said, name=path.name, size=size, least=SMALLEST)
        return _upright(image)


def whole_crop(picture_size: tuple[int, int], image_size: tuple[int, int]) -> Crop:
    """The largest upright crop in the middle of a picture. Sizes (height, width) of the picture and of the model's."""
    height, width = picture_size
    scale = min(height / image_size[0], width / image_size[1])
    return Crop((width - 1) / 2, (height - 1) / 2, scale * max(image_size))


def face_crop(eyes: tuple[Point, Point], mouth: Point) -> Crop:
    """The crop that frames a face as those of FFHQ are (Karras et al. 2018, appendix C), from three places on it.

    eyes: the left one in the picture first; mouth: the middle between its corners. In pixels of the picture.
    """
    (left, right), across = eyes, (eyes[1].x - eyes[0].x, eyes[1].y - eyes[0].y)
    middle = Point((left.x + right.x) / 2, (left.y + right.y) / 2)
    down = (mouth.x - middle.x, mouth.y - middle.y)
    side = max(4 * math.hypot(*across), 3.6 * math.hypot(*down))
    turn = math.atan2(across[1] - down[0], across[0] + down[1])  # of the line of the eyes and the one across the nose
    return Crop(middle.x + 0.1 * down[0], middle.y + 0.1 * down[1], side, math.degrees(turn))


def cut(picture: Picture, crop: Crop, image_size: tuple[int, int]) -> Tensor:
    """What the crop holds, at the size (height, width) of a model's pictures. -> (1, 3, H, W) in [-1, 1]

    Antialiased: areas are averaged until a pixel of the model's is less than two of the picture's, then four bicubic
    samples are averaged. Raises ValueError where the crop's centre lies outside the picture.
    """
    if not Point(crop.x, crop.y).inside(picture.size):
        raise ValueError(f"the crop's centre ({crop.x:g}, {crop.y:g}) lies outside the picture: move it back")
    factor = max(1, int(crop.side / max(image_size)))
    top, left, bottom, right = crop.bounds(image_size, picture.size, margin=3 * factor)
    part = Image.fromarray(picture.pixels[top:bottom, left:right]).reduce(factor)
    places = crop.places(image_size, per_pixel=2) - np.array([left, top])  # (2 H, 2 W, 2): x, y
    return F.avg_pool2d(sample(to_tensor(np.asarray(part)), (places + 0.5) / factor - 0.5), 2)


def sample(image: Tensor, places: np.ndarray) -> Tensor:
    """image (1, C, h, w) at places (H, W, 2), x and y in its pixels, bicubic; its border goes on. -> (1, C, H, W)"""
    ends = np.array([image.shape[3], image.shape[2]])
    grid = torch.from_numpy((places + 0.5) / ends * 2 - 1).to(image)[None]
    return F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=False)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """pixels (H, W, 3) uint8 -> (1, 3, H, W) in [-1, 1]; `draggan.render.to_picture` is its inverse."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def _upright(image: Image.Image) -> Picture:
    notes, profile = [], image.info.get("icc_profile")
    if image.format != "PSD" and getattr(image, "is_animated", False):  # to count a GIF's frames is to read all of it
        image.seek(0)
        pages = image.format in ("MPO", "TIFF")  # the first: cameras' JPEGs with a second picture
        notes.append("several pictures: the first is used" if pages else "an animation: its first frame is used")
    image.load()
    if image.getexif().get(0x0112, 1) != 1:
        image = ImageOps.exif_transpose(image)
        notes.append("turned upright, as its camera says")
    if image.mode.startswith("I") or image.mode == "F":
        image, words = _to_8_bits(image)
        notes.append(words)
    if image.mode in GREYS:
        notes.append("grey: it becomes a colour picture without colours")
    elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        notes.append("other kinds of colours (CMYK, LAB, ..) become RGB")
    elif image.mode.startswith("P"):
        notes.append("a palette becomes full colours")
    mode = image.mode
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < 255:
            notes.append("transparent parts become white")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if profile:
        image, words = _in_srgb(image, mode, profile)
        notes += words
    return Picture(np.asarray(image.convert("RGB")), tuple(notes))


def _in_srgb(image: Image.Image, mode: str, profile: bytes) -> tuple[Image.Image, list[str]]:
    """A picture whose file has a colour profile (ICC) and that mode, as sRGB: what is written without one is taken for.

    Where the profile is that of sRGB, nothing is changed, not even by rounding.
    """
    kinds = ("CMYK",) if mode == "CMYK" else ("RGB", "L") if mode in GREYS else ("RGB",)
    found = [change for kind in kinds if (change := _to_srgb(profile, kind))]
    if not found:
        return image, ["its colour profile cannot be used and is left out"]
    image = image.convert(found[0].input_mode)
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    some = Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3))
    some = some.convert(image.mode)
    before, after = (np.asarray(each).astype(int) for each in (some.convert("RGB"), found[0].apply(some)))
    if np.abs(before - after).max() <= SAME:
        return image, []
    return found[0].apply(image), ["colours of its colour profile become sRGB"]


def _to_srgb(profile: bytes, kind: str) -> ImageCms.ImageCmsTransform | None:
    """The change of pixels of that kind, RGB, L or CMYK; None: the profile is not of such pixels, or damaged."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), kind, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


def _to_8_bits(image: Image.Image) -> tuple[Image.Image, str]:
    """Greys of more than 8 bits -> 8 bits: of 16, or of 32 that fit into 16, by their value, others by their range."""
    values = np.asarray(image)  # (H, W)
    low, high = (float(end) for end in (min(map(np.min, _pieces(values))), max(map(np.max, _pieces(values)))))
    if image.mode.startswith("I") and low >= 0 and high <= 65535 and (image.mode != "I" or high > 255):
        black, span, words = 0, 65535, "16 bits a grey become 8"
    elif image.mode == "I" and low >= 0 and high <= 255:
        black, span, words = 0, 255, "32 bits a grey become 8"
    else:
        black, span, words = low, high - low or 1, "numbers become greys, the least black and the largest white"
    greys = [((piece - black) / span * 255).round().astype(np.uint8) for piece in _pieces(values)]
    return Image.fromarray(np.concatenate(greys).reshape(values.shape)), words


def _pieces(values: np.ndarray) -> Iterator[np.ndarray]:
    """All values (H, W), some at a time: as float64 they would take eight times the memory of the picture."""
    flat = values.reshape(-1)
    for start in range(0, len(flat), PIECE):
        yield np.nan_to_num(flat[start : start + PIECE].astype(np.float64), posinf=0, neginf=0)
