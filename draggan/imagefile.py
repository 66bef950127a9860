"""A file of pixels, opened: in which formats, and what is said of one that cannot be used. Knows nothing of its use."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from draggan.stylegan2.said import Said

LARGEST = 100_000_000  # pixels: 300 MB in memory
SCANS = 100  # of a progressive JPEG, each of which paints the whole picture for a few bytes; most have 10
FORMATS = (  # none that is run: Pillow hands PostScript to an interpreter
    *("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "PSD", "QOI", "SGI", "TIFF", "WEBP"),
    "TGA",  # the last guess: it has no mark of its own
)


class PictureError(ValueError):
    """The file is not a picture that can be used; the message names it and says what to do.

    text: with a place {name} for each of the values.
    """

    def __init__(self, text: str, **values: object) -> None:
        super().__init__(Said(text, values))


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The picture in a file, not decoded yet.

    Whatever goes wrong while it is open is a PictureError: a damaged file can make decoders raise anything. Raises
    OSError where the file cannot be had.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a picture in it")
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if path.stat().st_size == 0:
        raise PictureError("{name} is empty: save or copy it again", name=path.name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit here is LARGEST, and what is damaged is told
            with Image.open(path, formats=_formats()) as image:
                if image.width * image.height > LARGEST:
                    raise _too_large(path.name)
                if image.info.get("progressive") and _scans(path) > SCANS:
                    raise PictureError("{name} has more than {most} scans: save it again", name=path.name, most=SCANS)
                yield image
    except (PictureError, MemoryError):
        raise
    except PermissionError as error:
        said = "{name} cannot be opened ({why}): allow that it is read"
        raise PictureError(said, name=path.name, why=error.strerror) from error
    except Image.DecompressionBombError:
        raise _too_large(path.name) from None
    except UnidentifiedImageError:
        said = "{name} is not a picture that can be read: save it as PNG or JPEG"
        raise PictureError(said, name=path.name) from None
    except Exception as error:
        raise PictureError(
            "{name} is damaged ({why}): save or copy it again", name=path.name, why=str(error)
        ) from error


def endings() -> set[str]:
    """How names of files of these formats end, in lower case: .png, .jpg, ..."""
    return {ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS}


def _scans(path: Path) -> int:
    """How many scans a JPEG begins, those of a small picture in its head included."""
    with path.open("rb") as file:
        return sum(piece.count(b"\xff\xda") for piece in iter(lambda: file.read(1 << 20), b""))


def _formats() -> list[str]:
    """Those that this Pillow has."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _too_large(name: str) -> PictureError:
    said = "{name} says that it has more than {most} million pixels: make it smaller first"
    return PictureError(said, name=name, most=LARGEST // 10**6)
