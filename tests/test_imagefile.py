"""Files of pixels: none is run, and whatever is wrong with one is told, of pictures and of masks alike."""

from contextlib import suppress

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from draggan.imagefile import FORMATS, SCANS, PictureError, endings, opened
from draggan.inversion.picture import read_picture
from draggan.render import read_mask

SIZE = (70, 90)  # height, width
READERS = [read_picture, lambda path: read_mask(path, SIZE)]
ENDINGS = ["avif", "bmp", "gif", "ico", "jp2", "jpg", "pcx", "png", "ppm", "qoi", "sgi", "tga", "tif", "webp"]


@pytest.fixture
def colours():
    return np.random.RandomState(0).randint(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("read", READERS)
def test_a_picture_that_is_a_program_is_not_run(tmp_path, monkeypatch, read):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args: pytest.fail("it was handed to an interpreter"))
    path = tmp_path / "evil.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 70\n{} loop\n")
    with pytest.raises(ValueError, match=r"evil\.png is not a picture that can be read: save it as PNG or JPEG"):
        read(path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_whatever_a_damaged_file_does_it_is_one_kind_of_error(tmp_path, colours, ending, read):
    path, rng = tmp_path / f"a.{ending}", np.random.RandomState(1)
    Image.fromarray(colours).save(path)
    whole = path.read_bytes()
    for _ in range(40):
        damaged = bytearray(whole)
        for place in rng.randint(0, rng.choice([40, 400, len(whole)]), 8):
            damaged[place % len(whole)] = rng.randint(256)
        path.write_bytes(damaged[: rng.choice([len(whole), rng.randint(1, len(whole))])])
        with suppress(PictureError):
            read(path)


@pytest.mark.parametrize("read", READERS)
def test_a_jpeg_that_is_painted_again_and_again_is_refused(tmp_path, colours, read):
    """One of 4 MB took hours."""
    path = tmp_path / "a.jpg"
    Image.fromarray(colours).convert("L").save(path, progressive=True)
    read(path)
    head, last, end = path.read_bytes().rpartition(b"\xff\xda")
    path.write_bytes(head + SCANS * (last + end.removesuffix(b"\xff\xd9")) + b"\xff\xd9")
    with pytest.raises(PictureError, match=r"a\.jpg has more than 100 scans: save it again"):
        read(path)


def test_errors_that_are_not_the_files_are_told_as_they_are(tmp_path, colours):
    path = tmp_path / "a.png"
    Image.fromarray(colours).save(path)
    with pytest.raises(MemoryError), opened(path):
        raise MemoryError
    with pytest.raises(PictureError, match=r"a\.png is damaged \(why\): save or copy it again"), opened(path):
        raise RuntimeError("why")


@pytest.mark.parametrize("read", READERS)
def test_a_folder_is_called_one(tmp_path, read):
    with pytest.raises(IsADirectoryError, match="is a folder: name a picture in it"):
        read(tmp_path)


def test_the_names_of_files_that_are_read():
    assert {f".{ending}" for ending in ENDINGS} | {".jpeg", ".tiff"} <= endings()
    assert not {".eps", ".ps", ".pdf", ".wmf"} & endings()
    assert "EPS" not in FORMATS


def test_a_picture_that_is_no_jpeg_may_hold_any_bytes(tmp_path):
    """Also those with which a JPEG begins its scans."""
    path = tmp_path / "a.bmp"
    Image.fromarray(np.full((*SIZE, 3), (255, 218, 255), dtype=np.uint8)).save(path)
    assert path.read_bytes().count(b"\xff\xda") > SCANS
    assert (read_picture(path).pixels == (255, 218, 255)).all()


def test_formats_are_those_of_this_pillow_of_which_a_new_process_knows_none(tmp_path, colours, monkeypatch):
    path, own = tmp_path / "a.png", {name: reader for name, reader in Image.OPEN.items() if name != "AVIF"}
    Image.fromarray(colours).save(path)
    monkeypatch.setattr(Image, "OPEN", {})
    monkeypatch.setattr(Image, "init", lambda: Image.OPEN.update(own))
    assert np.array_equal(read_picture(path).pixels, colours)
