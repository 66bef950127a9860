"""Faces are found and framed; where there is none, or nothing to find them with, nothing is proposed."""

import math
import sys

import numpy as np
import pytest
import skimage.data
from PIL import Image

from draggan.geometry import Point
from draggan.inversion.faces import find_face
from draggan.inversion.picture import FACE, Picture, face_crop

EYES, MOUTH = ((202.8, 101.2), (246.7, 103.3)), (224.7, 140.2)  # of the astronaut, read off by eye
NEAR = 0.05  # of the side of the crop


def her(size=512, turn=0.0, mirrored=False):
    """The astronaut, smaller or larger, turned, mirrored: the picture, her eyes and her mouth."""
    image, places = Image.fromarray(skimage.data.astronaut()), np.array([*EYES, MOUTH])
    if mirrored:
        image, places = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), np.array([511, 0]) + places * [-1, 1]
        places = places[[1, 0, 2]]
    image = image.rotate(-turn, Image.Resampling.BICUBIC).resize((size, size), Image.Resampling.BICUBIC)
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    places = (places - 255.5) @ np.array([[cos, sin], [-sin, cos]]) + 255.5
    return image, (places + 0.5) * size / 512 - 0.5


def framed(crop, places):
    """Where places of the picture lie in the crop, as parts of its side."""
    inverse = np.linalg.inv(np.vstack([crop.matrix((100, 100)), [0, 0, 1]]))
    return ((np.c_[places, np.ones(len(places))] @ inverse.T)[:, :2] + 0.5) / 100


@pytest.mark.parametrize("size", [150, 512, 1800])
@pytest.mark.parametrize("turn", [-6, 0, 6])
@pytest.mark.parametrize("mirrored", [False, True])
def test_eyes_and_mouth_come_where_the_models_have_them(size, turn, mirrored):
    image, places = her(size, turn, mirrored)
    crop = find_face(Picture(np.asarray(image)))
    assert np.abs(framed(crop, places)[:2] - FACE[:2]).max() < NEAR
    best = face_crop((Point(*places[0]), Point(*places[1])), Point(*places[2]))  # she smiles: her mouth is higher
    assert np.abs(framed(crop, places)[2] - framed(best, places)[2]).max() < NEAR
    assert crop.side == pytest.approx(best.side, rel=0.15)


def test_of_two_faces_the_larger_one_is_taken():
    whole = Image.new("RGB", (1200, 700), (110, 120, 130))
    whole.paste(her(300)[0], (40, 200))
    whole.paste(her(600)[0], (500, 50))
    crop = find_face(Picture(np.asarray(whole)))
    expected = her(600)[1] + [500, 50]
    assert np.abs(framed(crop, expected)[:2] - FACE[:2]).max() < NEAR


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "retina", "gravel"])
def test_where_there_is_no_face_none_is_found(name):
    pixels = getattr(skimage.data, name)()
    assert find_face(Picture(np.asarray(Image.fromarray(pixels).convert("RGB")))) is None


def test_without_the_library_nothing_is_proposed(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert find_face(Picture(skimage.data.astronaut())) is None
