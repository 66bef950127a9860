"""An edit goes back into the whole picture, and nothing else changes."""

import tracemalloc

import numpy as np
import pytest
import torch

from draggan.inversion import paste as module
from draggan.inversion.paste import _border, changed, paste
from draggan.inversion.picture import Crop, Picture, cut, to_tensor, whole_crop
from draggan.render import to_picture

SIZE = (64, 48)


def smooth(height, width):
    y, x = np.mgrid[:height, :width].astype(float)
    waves = [127 + 100 * np.sin(x / 23 + i) * np.cos(y / 19 - i) for i in range(3)]
    return np.stack(waves, axis=2).astype(np.uint8)


def edited(before, where=(slice(20, 30), slice(15, 25))):
    after = before.clone()
    after[..., where[0], where[1]] = torch.tensor([1.0, -1.0, 1.0])[:, None, None]
    return after


@pytest.fixture
def picture():
    return Picture(smooth(300, 400))


CROPS = [
    Crop(200, 150, 128),
    Crop(150, 160, 100, 25),
    Crop(180, 120, 40),
    Crop(10, 20, 90),
    whole_crop((300, 400), SIZE),
]


@pytest.mark.parametrize("crop", CROPS, ids=str)
def test_without_an_edit_every_pixel_stays(picture, crop):
    shown = to_picture(cut(picture, crop, SIZE))
    rough = to_tensor(shown) + 0.1 * torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(paste(picture, crop, shown, rough, rough), picture.pixels)


@pytest.mark.parametrize("crop", CROPS, ids=str)
def test_an_edit_arrives_at_its_place_and_all_else_stays(picture, crop):
    shown = to_picture(cut(picture, crop, SIZE))
    before = to_tensor(shown)
    after = edited(before)
    pixels = paste(picture, crop, shown, before, after)
    again = cut(Picture(pixels), crop, SIZE)
    inner = (..., slice(22, 28), slice(17, 23))
    places = crop.places(SIZE)[20:30, 15:25]
    if (places >= 0).all():
        assert (again[inner] - after[inner]).abs().mean() < 0.05
    different = (pixels != picture.pixels).any(axis=2)
    ys, xs = np.nonzero(different)
    assert len(ys) > 0
    middle, reach = places.reshape(-1, 2).mean(axis=0), 16 * crop.side / 64  # half its diagonal and the seam
    assert np.hypot(xs - middle[0], ys - middle[1]).max() <= reach + 2


@pytest.mark.parametrize("crop", [*CROPS, Crop(10, 280, 300, -130)], ids=str)
@pytest.mark.parametrize("where", [(slice(20, 30), slice(15, 25)), (slice(0, 4), slice(40, 48)), (slice(64),) * 2])
def test_only_what_an_edit_reaches_is_mixed_and_piece_by_piece(picture, crop, where, monkeypatch):
    shown = to_picture(cut(picture, crop, SIZE))
    edit = picture, crop, shown, to_tensor(shown), edited(to_tensor(shown), where)
    monkeypatch.setattr(module, "PIECE", 1)
    pixels = paste(*edit)
    monkeypatch.setattr(module, "_parts", lambda picture, *_: [(0, 0, *picture.size)])
    assert np.array_equal(pixels, paste(*edit))


@pytest.mark.parametrize("side", [10, 64])
def test_a_large_picture_takes_little_more_memory_than_its_pixels(side):
    large = Picture(np.zeros((2000, 1500, 3), dtype=np.uint8))
    shown = np.zeros((*SIZE, 3), dtype=np.uint8)
    edit = to_tensor(shown), edited(to_tensor(shown), (slice(side),) * 2)
    tracemalloc.start()
    pixels = paste(large, whole_crop(large.size, SIZE), shown, *edit)
    peak = tracemalloc.get_traced_memory()[1]  # of it torch tells nothing
    tracemalloc.stop()
    assert pixels.any()
    assert peak < large.pixels.nbytes + 50_000_000


def test_the_seam_is_smooth(picture):
    crop = Crop(200, 150, 128)
    shown = to_picture(cut(picture, crop, SIZE))
    weight = changed(shown, to_tensor(shown), edited(to_tensor(shown)))
    assert weight.max() == 1
    assert weight.min() == 0
    assert weight.diff(dim=2).abs().max() <= 0.5
    assert (weight[..., 20:30, 15:25] == 1).all()
    shown = np.zeros((256, 256, 3), dtype=np.uint8)
    row = changed(shown, to_tensor(shown), edited(to_tensor(shown), (slice(99, 130),) * 2))[0, 0, 115]
    assert (row[99:130] == 1).all()
    assert row.diff().abs().max() < 1 / 8, "no edge"
    assert (row == 1).nonzero()[0] - (row > 0).nonzero()[0] == 8, "a 32nd of the longer side wide"


def test_a_change_smaller_than_the_reconstructions_error_is_none(picture):
    crop = Crop(200, 150, 128)
    shown = to_picture(cut(picture, crop, SIZE))
    before = to_tensor(shown) + 0.2
    after = before + 0.1
    assert changed(shown, before, after).max() == 0
    assert changed(shown, to_tensor(shown), to_tensor(shown) + 0.1).min() == 1


def test_an_edit_at_the_crops_edge_fades_inside_the_picture_and_reaches_its_border(picture):
    crop = Crop(200, 150, 128)
    shown = to_picture(cut(picture, crop, SIZE))
    after = edited(to_tensor(shown), (slice(0, 10), slice(0, 48)))
    pixels = paste(picture, crop, shown, to_tensor(shown), after)
    jump = np.abs(pixels[86].astype(int) - pixels[85].astype(int)).max()  # the crop's first row, and the one before
    assert jump < 30
    whole = Crop(23.5, 31.5, 64)
    small = Picture(smooth(*SIZE))
    shown = to_picture(cut(small, whole, SIZE))
    pixels = paste(small, whole, shown, to_tensor(shown), edited(to_tensor(shown), (slice(0, 10), slice(0, 48))))
    assert np.isin(pixels[0], (0, 255)).mean() > 0.95


def test_an_edit_of_a_small_crop_is_averaged():
    """The model's picture is four times as fine as the crop; its fine stripes become grey, not coarse ones."""
    picture, crop = Picture(smooth(100, 120)), Crop(60.3, 50.1, 16)
    shown = to_picture(cut(picture, crop, SIZE))
    before = to_tensor(shown)
    after = torch.ones_like(before)
    after[..., ::2] = -1
    pixels = paste(picture, crop, shown, before, after)
    middle = pixels[46:54, 57:63].astype(int)
    assert np.abs(middle - 127.5).max() < 50


def test_an_edit_of_a_small_crop_lies_neither_beside_its_place_nor_darker():
    y, x = np.mgrid[:40, :48]
    picture, crop = Picture(np.stack([4 * x, 4 * y, 2 * (x + y)], axis=2).astype(np.uint8)), Crop(20, 20, 16)
    before = cut(picture, crop, SIZE)
    pixels = paste(picture, crop, to_picture(before), before, before + 40.4 / 127.5)
    lighter = pixels[18:23, 18:23].astype(float) - picture.pixels[18:23, 18:23]
    assert lighter.mean(axis=(0, 1)) == pytest.approx([40, 40, 40], abs=0.3)


def test_what_the_eye_does_not_see_is_no_edit():
    """A last bit everywhere, and a grain."""
    shown = smooth(*SIZE)
    before = to_tensor(shown) * 0.9
    exact = to_picture(before)
    grain = to_tensor(exact)
    grain[..., 30, 20] += 0.2
    assert changed(exact, to_tensor(exact), to_tensor(exact) + 0.02).max() == 0
    assert changed(exact, to_tensor(exact), grain).max() == 0
    white = np.full((*SIZE, 3), 255, dtype=np.uint8)
    assert changed(white, to_tensor(white) + 0.1, to_tensor(white) + 0.4).max() == 0, "models go beyond white"


@pytest.mark.parametrize("size", [(300, 400), (400, 300)])
def test_an_edit_fades_at_the_sides_that_lie_within_the_picture_alone(size):
    """Of a wide picture and of a high one."""
    picture, middle = Picture(smooth(*size)), (size[0] / 2, size[1] / 2)
    right = _border(picture, Crop(size[1] - 0.5 - 24, middle[0], 64), SIZE)[0, 0]
    assert (right[32, 0], right[32, -1], right[0, 24], right[-1, 24]) == (0, 1, 0, 0)
    bottom = _border(picture, Crop(middle[1], size[0] - 0.5 - 32, 64), SIZE)[0, 0]
    assert (bottom[32, 0], bottom[32, -1], bottom[0, 24], bottom[-1, 24]) == (0, 0, 0, 1)
