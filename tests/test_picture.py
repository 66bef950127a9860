"""Pictures of one's own: what is read, what is said, what is refused, and what a crop shows."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from PIL.GifImagePlugin import GifImageFile

from draggan.geometry import Point
from draggan.inversion.picture import FACE, Crop, Picture, cut, face_crop, read_picture, to_tensor, whole_crop
from draggan.render import to_picture

SIZE = (70, 90)  # height, width


@pytest.fixture
def colours():
    return np.random.RandomState(0).randint(0, 256, (*SIZE, 3), dtype=np.uint8)


def smooth(height, width):
    y, x = np.mgrid[:height, :width].astype(float)
    waves = [127 + 100 * np.sin(x / 17 + i) * np.cos(y / 13 - i) for i in range(3)]
    return np.stack(waves, axis=2).astype(np.uint8)


def saved(tmp_path, image, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_a_plain_picture_is_read_as_it_is(tmp_path, colours):
    read = read_picture(saved(tmp_path, Image.fromarray(colours)))
    assert np.array_equal(read.pixels, colours)
    assert read.notes == ()
    assert read.size == SIZE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_its_camera_says(tmp_path, colours, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    ways = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # of Image.transpose, that undo what the camera did
    held = Image.fromarray(colours)
    if orientation > 1:
        held = held.transpose(ways[orientation])
    read = read_picture(saved(tmp_path, held, exif=exif))
    assert np.array_equal(read.pixels, colours)
    assert any("upright" in note for note in read.notes) == (orientation > 1)


def test_transparent_parts_become_white_and_are_told(tmp_path, colours):
    image = Image.fromarray(colours).convert("RGBA")
    image.paste((10, 20, 30, 0), (0, 0, 40, 70))
    read = read_picture(saved(tmp_path, image))
    assert (read.pixels[:, :40] == 255).all()
    assert np.array_equal(read.pixels[:, 40:], colours[:, 40:])
    assert read.notes == ("transparent parts become white",)


@pytest.mark.parametrize(("mode", "word"), [("L", "grey"), ("LA", "grey"), ("1", "grey"), ("P", "palette")])
def test_greys_and_palettes_become_colours(tmp_path, colours, mode, word):
    image = Image.fromarray(colours).convert(mode)
    read = read_picture(saved(tmp_path, image))
    assert np.array_equal(read.pixels, np.asarray(image.convert("RGB")))
    assert any(word in note for note in read.notes)


def test_a_palette_with_a_transparent_colour_is_put_on_white(tmp_path):
    image = Image.new("P", (64, 64), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (0, 0, 32, 64))
    read = read_picture(saved(tmp_path, image, transparency=0))
    assert (read.pixels[:, 32:] == 255).all()
    assert (read.pixels[:, :32] == (0, 0, 255)).all()


def test_cmyk_becomes_rgb(tmp_path, colours):
    image = Image.fromarray(colours).convert("CMYK")
    read = read_picture(saved(tmp_path, image, "a.tif"))
    assert np.array_equal(read.pixels, np.asarray(image.convert("RGB")))
    assert any("CMYK" in note for note in read.notes)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = SRGB.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")  # its red is blue


def test_colours_of_another_profile_become_srgb(tmp_path, colours):
    read = read_picture(saved(tmp_path, Image.fromarray(colours), icc_profile=SWAPPED))
    assert np.abs(read.pixels.astype(int) - colours[..., ::-1]).max() <= 2
    assert read.notes == ("colours of its colour profile become sRGB",)
    clear = Image.fromarray(colours).convert("RGBA")
    clear.putalpha(0)
    assert (read_picture(saved(tmp_path, clear, icc_profile=SWAPPED)).pixels == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_picture_in_srgb_stays_as_it_is(tmp_path, colours, mode):
    image = Image.fromarray(colours).convert(mode)
    read = read_picture(saved(tmp_path, image, icc_profile=SRGB))
    assert np.array_equal(read.pixels, np.asarray(image.convert("RGB")))
    assert not any("profile" in note for note in read.notes)


@pytest.mark.parametrize(("mode", "profile"), [("RGB", b"none"), ("CMYK", SRGB)])
def test_a_profile_that_says_nothing_of_it_is_left_out_and_it_is_told(tmp_path, colours, mode, profile):
    image = Image.fromarray(colours).convert(mode)
    read = read_picture(saved(tmp_path, image, "a.tif", icc_profile=profile))
    assert np.array_equal(read.pixels, np.asarray(image.convert("RGB")))
    assert read.notes[-1] == "its colour profile cannot be used and is left out"


def test_16_bits_become_8_without_being_cut_off(tmp_path):
    values = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    read = read_picture(saved(tmp_path, Image.fromarray(values)))
    assert np.abs(read.pixels[..., 0] - values / 257.0).max() <= 0.51
    assert any("16 bits" in note for note in read.notes)


def test_16_bits_take_little_more_memory_than_8(tmp_path):
    values = np.arange(2000 * 2000, dtype=np.uint16).reshape(2000, 2000)
    path = saved(tmp_path, Image.fromarray(values))
    del values
    tracemalloc.start()
    pixels = read_picture(path).pixels
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pixels[-1, -1, 0] == round((2000 * 2000 - 1) % 65536 / 257)
    assert peak < 16 * 2000 * 2000, "bytes"


def test_a_dark_16_bit_picture_stays_dark(tmp_path):
    values = np.full((64, 64), 200, dtype=np.uint16)
    assert read_picture(saved(tmp_path, Image.fromarray(values))).pixels.max() == 1


def test_floats_are_stretched_and_it_is_told(tmp_path):
    values = np.linspace(-3, 5, 64 * 64, dtype=np.float32).reshape(64, 64)
    read = read_picture(saved(tmp_path, Image.fromarray(values), "a.tif"))
    assert (read.pixels.min(), read.pixels.max()) == (0, 255)
    assert any("largest white" in note for note in read.notes)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_of_an_animation_the_first_frame_is_used(tmp_path, name):
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    read = read_picture(tmp_path / name)
    assert (np.abs(read.pixels.astype(int) - (255, 0, 0)) < 4).all()
    assert any("first frame" in note for note in read.notes)


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "MPO"), ("a.tif", "TIFF")])
def test_of_several_pictures_the_first_is_used(tmp_path, name, kind):
    """As cameras and scanners write them."""
    pages = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / name, kind, save_all=True, append_images=pages[1:])
    read = read_picture(tmp_path / name)
    assert (np.abs(read.pixels.astype(int) - (255, 0, 0)) < 4).all()
    assert "several pictures: the first is used" in read.notes


def layered(whole, layers):
    """A picture of Photoshop's: what its layers make together, and the layers. All (64, 64, 3)."""

    def planes(picture):
        return np.moveaxis(picture, 2, 0).tobytes()

    channels = b"".join(struct.pack(">hI", i, 2 + 64 * 64) for i in range(3))
    record = struct.pack(">4iH", 0, 0, 64, 64, 3) + channels + b"8BIMnorm" + struct.pack(">4BI", 255, 0, 0, 0, 12)
    records = struct.pack(">h", len(layers)) + (record + bytes(12)) * len(layers)
    pixels = b"".join(b"\0\0" + plane.tobytes() for layer in layers for plane in np.moveaxis(layer, 2, 0))
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 64, 64, 8, 3) + bytes(8)
    info = struct.pack(">I", len(records + pixels)) + records + pixels
    return head + struct.pack(">I", len(info)) + info + b"\0\0" + planes(whole)


def test_of_layers_what_they_make_together_is_used(tmp_path, colours):
    whole = np.asarray(Image.fromarray(colours).resize((64, 64)))
    path = tmp_path / "a.psd"
    path.write_bytes(layered(whole, [whole // 2, whole // 3]))
    with Image.open(path) as image:
        assert image.n_frames == 2
    read = read_picture(path)
    assert np.array_equal(read.pixels, whole)
    assert read.notes == ()


def test_the_frames_of_an_animation_are_not_counted(tmp_path, colours, monkeypatch):
    """Of a GIF of 100 MB that took minutes."""
    frames = [Image.fromarray(np.roll(colours, i, axis=0)) for i in range(9)]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    sought, seek = [], GifImageFile._seek
    monkeypatch.setattr(
        GifImageFile, "_seek", lambda self, frame, *how: (sought.append(frame), seek(self, frame, *how))[1]
    )
    assert "an animation: its first frame is used" in read_picture(path).notes
    assert max(sought) <= 1


def bomb(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60000, 60000), (11000, 10000)])  # Pillow refuses the first, we the second
def test_a_decompression_bomb_is_refused_unopened(tmp_path, size):
    (tmp_path / "a.png").write_bytes(bomb(*size))
    with pytest.raises(ValueError, match=r"a\.png .*more than 100 million pixels: make it smaller"):
        read_picture(tmp_path / "a.png")


def test_bad_files_are_named_with_what_to_do(tmp_path, colours):
    path = tmp_path / "a.jpg"
    with pytest.raises(FileNotFoundError, match=r"a\.jpg"):
        read_picture(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.jpg is empty: save or copy it again"):
        read_picture(path)
    path.write_bytes(b"no picture" * 100)
    with pytest.raises(ValueError, match=r"a\.jpg is not a picture that can be read: save it as PNG or JPEG"):
        read_picture(path)
    Image.fromarray(colours[:63]).save(path)
    with pytest.raises(ValueError, match=r"a\.jpg has 90 x 63 pixels: use one of at least 64 x 64"):
        read_picture(path)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "gif", "bmp", "ppm", "tga"])
def test_a_file_cut_short_is_refused(tmp_path, colours, ending):
    whole = saved(tmp_path, Image.fromarray(colours), f"a.{ending}").read_bytes()
    (tmp_path / f"a part.{ending}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a part.*(damaged|not a picture)"):
        read_picture(tmp_path / f"a part.{ending}")


def test_the_first_crop_is_the_largest_in_the_middle():
    assert whole_crop((100, 200), (64, 64)) == Crop(99.5, 49.5, 100)
    assert whole_crop((100, 200), (64, 32)) == Crop(99.5, 49.5, 100)
    assert whole_crop((200, 100), (32, 64)) == Crop(49.5, 99.5, 100)


@pytest.mark.parametrize("shape", [(64, 64), (64, 32), (48, 64)])
def test_a_crop_of_the_models_size_is_the_picture_itself(shape):
    pixels = smooth(*shape)
    image = cut(Picture(pixels), whole_crop(shape, shape), shape)
    assert image.shape == (1, 3, *shape)
    assert np.abs(to_picture(image).astype(int) - pixels).max() <= 1


def test_a_crop_lies_where_it_says():
    pixels = smooth(200, 300)
    image = to_picture(cut(Picture(pixels), Crop(99.5, 79.5, 64), (64, 64)))
    assert np.abs(image.astype(int) - pixels[48:112, 68:132]).max() <= 1


def test_a_crop_turns_clockwise():
    pixels = np.zeros((200, 200, 3), dtype=np.uint8)
    pixels[:100] = 255  # light above
    image = cut(Picture(pixels), Crop(99.5, 99.5, 100, angle=90), (64, 64))
    assert image[..., 2:30].min() > 0.9  # its left edge is above
    assert image[..., 34:62].max() < -0.9


@pytest.mark.parametrize("side", [64, 100, 127, 128, 200, 500])
def test_fine_stripes_become_grey_instead_of_coarse_ones(side):
    pixels = np.zeros((600, 600, 3), dtype=np.uint8)
    pixels[:, ::2] = 255
    image = cut(Picture(pixels), Crop(299.5, 299.5, side), (32, 32))
    assert image.abs().max() < 0.35


def test_beyond_the_border_the_border_goes_on():
    image = cut(Picture(np.full((80, 80, 3), 200, dtype=np.uint8)), Crop(0, 0, 300, 30), (64, 64))
    assert torch.allclose(image, torch.tensor(200 / 127.5 - 1), atol=1e-4)
    with pytest.raises(ValueError, match=r"centre .* lies outside the picture: move it back"):
        cut(Picture(np.zeros((80, 80, 3), dtype=np.uint8)), Crop(100, 0, 30), (64, 64))


@pytest.mark.parametrize("numbers", [(float("nan"), 0, 5), (0, 0, 0), (0, 0, float("inf"))])
def test_a_crop_is_finite(numbers):
    with pytest.raises(ValueError, match="must be finite"):
        Crop(*numbers)


@pytest.mark.parametrize("angle", [0, 20, -35])
def test_a_face_is_framed_with_eyes_and_mouth_where_the_models_have_them(angle):
    crop = Crop(200, 150, 180, angle)
    marks = np.array([(x * 100 - 0.5, y * 100 - 0.5, 1) for x, y in FACE]) @ crop.matrix((100, 100)).T
    left, right, mouth = (Point(*mark) for mark in marks)
    found = face_crop((left, right), mouth)
    assert (found.x, found.y, found.side, found.angle) == pytest.approx((200, 150, 180, angle), abs=0.5)


def test_pixels_and_tensors_are_each_others_inverse(colours):
    assert np.array_equal(to_picture(to_tensor(colours)), colours)


def test_a_dark_32_bit_picture_stays_as_dark(tmp_path):
    """Numbers of 8 or 16 bits that a program saved in 32 keep their meaning."""
    for most, scale, words in ((200, 1, "32 bits"), (65000, 257, "16 bits")):
        values = np.linspace(0, most, 64 * 64).reshape(64, 64).astype(np.int32)
        Image.fromarray(values).save(tmp_path / "a.tif")
        read = read_picture(tmp_path / "a.tif")
        assert np.abs(read.pixels[..., 0] - values / scale).max() <= 0.51
        assert any(words in note for note in read.notes)


@pytest.mark.parametrize("factor", [1, 2])
def test_what_lies_beside_a_crop_belongs_to_its_edge(factor):
    picture = Picture(np.random.RandomState(0).randint(0, 256, (300, 300, 3), dtype=np.uint8))
    whole = cut(picture, Crop(131.5, 149.5, 64 * factor), (64, 64))
    wider = cut(picture, Crop(131.5, 149.5, 72 * factor), (72, 72))[..., 4:-4, 4:-4]
    torch.testing.assert_close(whole, wider, atol=1e-3, rtol=0)


def test_floats_that_are_none_or_all_alike_are_shown(tmp_path):
    values = np.full((64, 64), 3.0, dtype=np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert (read_picture(tmp_path / "a.tif").pixels == 0).all()
    values[:32], values[0, 0], values[0, 1], values[0, 2] = 5, np.inf, -np.inf, np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    pixels = read_picture(tmp_path / "a.tif").pixels
    assert (pixels[1, 0, 0], pixels[40, 0, 0]) == (255, 153), "black is what infinities become, 0"


def test_a_face_from_the_side_is_framed_by_its_height():
    eyes = Point(190, 100), Point(200, 100)
    assert face_crop(eyes, Point(195, 160)).side == pytest.approx(3.6 * 60)
    assert face_crop((Point(150, 100), Point(250, 100)), Point(200, 160)).side == pytest.approx(400)
