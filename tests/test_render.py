"""Pictures, masks and videos as files."""

import io

import av
import numpy as np
import pytest
import torch
from PIL import Image

from draggan.geometry import Point
from draggan.render import HOLD, encode, encode_video, leaving, read_mask, to_picture, with_points


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))],
)
def test_a_picture_that_leaves_is_the_picture(device):
    """Whatever is done with its memory meanwhile."""
    image = torch.rand(1, 3, 40, 30) * 2 - 1
    there = image.to(device)
    arriving = leaving(there)
    del there
    later = [torch.ones(1, 3, 40, 30, device=device) for _ in range(10)]
    assert np.array_equal(arriving(), to_picture(image))
    assert later


def test_to_picture_maps_the_range():
    image = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0]).view(1, 1, 1, 5).expand(1, 3, 2, 5)
    picture = to_picture(image)
    assert picture.dtype == np.uint8
    assert picture.shape == (2, 5, 3)
    assert picture[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def noise(height=32, width=48):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_saved_picture_is_exact_and_says_what_it_is():
    picture = noise()
    with Image.open(io.BytesIO(encode(picture, {"Model": "b.pkl"}, lossless=True))) as file:
        assert np.array_equal(np.asarray(file), picture)
        assert file.text == {"Model": "b.pkl"}


def test_a_frame_is_small_and_near():
    picture = np.asarray(Image.fromarray(noise(8, 8)).resize((256, 256), Image.Resampling.BICUBIC))
    raw = encode(picture, lossless=False)
    with Image.open(io.BytesIO(raw)) as file:
        assert file.format == "JPEG"
        assert np.abs(np.asarray(file).astype(int) - picture).mean() < 3
    assert len(raw) < 30_000


def test_points_are_drawn_on_a_copy():
    picture = np.full((64, 96, 3), 100, dtype=np.uint8)
    drawn = with_points(picture, [Point(20, 30)], [Point(70, 30)])
    assert (picture == 100).all()
    assert drawn.shape == picture.shape
    handle, target, ring = drawn[30, 20].astype(int), drawn[30, 70], drawn[30, 71].astype(int)
    assert handle[2] > 200 > handle[0]
    assert np.abs(target.astype(int) - 100).max() < 90
    assert ring[0] > ring[2]
    assert drawn[30, 45].min() > 130, "an arrow from the one to the other"
    assert (drawn[:10] == 100).all()


@pytest.mark.parametrize("kind", [".mp4", ".gif", ".webp"])
def test_videos_have_every_frame_and_stand_still_at_their_end(kind):
    frames = [np.full((32, 48, 3), value, dtype=np.uint8) for value in (20, 120, 220)]
    raw = io.BytesIO(encode_video(frames, kind, "AI-edited: on purpose"))
    if kind == ".mp4":
        with av.open(raw) as file:
            assert file.metadata["comment"] == "AI-edited: on purpose"
            shown = [frame.to_ndarray(format="rgb24").mean() for frame in file.decode(video=0)]
    else:
        with Image.open(raw) as file:
            assert (file.info.get("comment", b"").decode() or file.getexif()[0x010E]) == "AI-edited: on purpose"
            shown, seconds = [], 0.0
            for i in range(file.n_frames):
                file.seek(i)
                shown.append(np.asarray(file.convert("RGB")).mean())
                seconds += file.info["duration"] / 1000 if i >= 2 else 0
    assert shown[:3] == pytest.approx([20, 120, 220], abs=6)
    assert shown[3:] == pytest.approx([220] * len(shown[3:]), abs=6)
    lasts = len(shown[2:]) / 15 if kind == ".mp4" else seconds
    assert lasts == pytest.approx((1 + HOLD) / 15, rel=0.1)


def test_other_videos_are_refused():
    with pytest.raises(ValueError, match=r"\.avi: a video is one of \.mp4"):
        encode_video([noise()], ".avi")


def test_masks_are_read_from_pictures(tmp_path):
    white = np.zeros((32, 48), dtype=np.uint8)
    white[:10] = 255
    Image.fromarray(white).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", (32, 48))
    assert np.array_equal(mask, white > 0)
    with pytest.raises(ValueError, match=r"48 x 32 pixels, the picture 32 x 48"):
        read_mask(tmp_path / "m.png", (48, 32))


@pytest.mark.parametrize(
    ("kind", "white"), [("uint16", 65535), ("int32", 255), ("int32", 65535), ("float32", 1), ("float32", 255)]
)
@pytest.mark.parametrize("part", [0.3, 0.7, 1])
def test_masks_of_more_than_8_bits_are_scaled(tmp_path, kind, white, part):
    """Everything is of one grey but for a white corner, since of floats nothing but that tells what white is."""
    values = np.full((32, 48), part * white).astype(kind)
    values[0, 0] = white
    Image.fromarray(values).save(tmp_path / "m.tif")
    mask = read_mask(tmp_path / "m.tif", (32, 48))
    assert mask[0, 0]
    assert (mask[1:] == (part > 0.5)).all()


def test_a_mask_of_16_bits_needs_no_white(tmp_path):
    Image.fromarray(np.full((32, 48), 20000, dtype=np.uint16)).save(tmp_path / "m.png")
    assert not read_mask(tmp_path / "m.png", (32, 48)).any()


def test_what_is_transparent_in_a_mask_is_black(tmp_path):
    white = np.zeros((32, 48), dtype=np.uint8)
    white[5:20, 30:] = 255
    pixels = np.dstack([np.full((32, 48, 3), 255, dtype=np.uint8), white])
    Image.fromarray(pixels).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png", (32, 48)), white > 0)


def test_a_mask_of_16_bits_with_a_transparent_value_is_as_one_without(tmp_path):
    values = np.full((32, 48), 300, dtype=np.uint16)
    values[:9] = 65535
    Image.fromarray(values).save(tmp_path / "m.png", transparency=0)
    assert np.array_equal(read_mask(tmp_path / "m.png", (32, 48)), values == 65535)


def test_what_is_no_number_in_a_mask_is_black(tmp_path):
    values = np.zeros((32, 48), dtype=np.float32)
    values[5:20] = 1
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "m.tif")
    assert np.array_equal(read_mask(tmp_path / "m.tif", (32, 48)), values == 1)


def test_a_mask_of_0_and_1_is_black_and_white(tmp_path):
    values = np.zeros((32, 48), dtype=np.uint8)
    values[:7] = 1
    Image.fromarray(values).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png", (32, 48)), values > 0)
