"""A picture of one's own on the page, without a browser."""

import base64
import io
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from draggan.faces import find_face
from draggan.geometry import Point
from draggan.invert import psnr
from draggan.picture import Picture, cut, whole_crop
from draggan.render import to_picture
from draggan.web.aims import Aim, Aims
from draggan.web.keep import Keep
from draggan.web.network import Network
from draggan.web.own import Framing, Own
from tests.networks import tiny_generator
from tests.shelf import Shelf

SIZE = (64, 64)
TAB = SimpleNamespace(session_hash="a")  # of a request
OTHER = SimpleNamespace(session_hash="b")


@pytest.fixture(scope="module")
def network():
    return Network(Shelf(tiny_generator(64)), "cpu")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    noise = np.random.RandomState(0).randint(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((120, 90), Image.Resampling.BICUBIC).save(path)
    return path


MOVES = st.tuples(st.floats(-99, 99), st.floats(-99, 99), st.floats(0.2, 5), st.floats(-360, 360))


@settings(deadline=None)
@given(st.lists(MOVES, max_size=6))
def test_however_it_is_moved_there_is_a_picture_in_the_frame(moves):
    picture = Picture(np.zeros((90, 120, 3), dtype=np.uint8))
    framing = Framing(picture, whole_crop(picture.size, SIZE))
    for move in moves:
        framing = framing.moved(*move, SIZE)
    assert cut(picture, framing.crop, SIZE).shape == (1, 3, *SIZE)


def test_what_lies_under_the_pointer_moves_with_it():
    pixels = np.zeros((90, 120, 3), dtype=np.uint8)
    pixels[40:43, 60:63] = 255
    framing = Framing(Picture(pixels), whole_crop((90, 120), SIZE)).moved(0, 0, 1.5, 20, SIZE)

    def spot(framing):
        grey = to_picture(cut(framing.picture, framing.crop, SIZE))[..., 0].astype(float)
        rows, columns = np.indices(grey.shape)
        return np.array([(columns * grey).sum(), (rows * grey).sum()]) / grey.sum()

    moved = framing.moved(6, -4, 1, 0, SIZE)
    assert spot(moved) - spot(framing) == pytest.approx([6, -4], abs=0.3)


def test_a_picture_becomes_a_session_that_can_be_pasted_back(network, photo):
    own, keep, session = Own(network), Keep(network), network.draw("tiny", 3, 0.7)
    pixels = np.asarray(Image.open(photo))
    framing, canvas, group, use = own.upload(session, str(photo))
    assert not photo.exists(), "what was sent is deleted as soon as it is read"
    assert (group["visible"], use["visible"]) == (True, False)
    assert canvas["marks"]["phase"] == "framing"
    event = SimpleNamespace(right=2, down=1, larger=1.2, turn=5, number=4)
    framing, canvas = own.frame(session, framing, event)
    assert canvas["answered"] == 4
    *_, last = own.reconstruct(session, framing, 10, True, TAB)
    left, edited, canvas, *_ = last
    assert left is None
    assert "like your picture" in canvas["marks"]["status"]["text"]
    assert edited.photo.delta.nbytes > 0
    assert len(edited.past) == 1
    base, own_weights = network.generator("tiny"), network.generator_of(edited)
    assert own_weights is network.generator_of(edited)
    assert not torch.equal(base.render(edited.start), own_weights.render(edited.start))
    assert network.generator_of(edited.undo()) is base
    name, raw = unpacked(keep.pasted(edited))
    assert name.endswith("-pasted.png")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(raw))), pixels), "nothing was edited"
    with pytest.raises(gr.Error, match="no picture to paste into"):
        keep.pasted(session)


@pytest.mark.parametrize("model", ["tiny", "ffhq-tiny.pkl"])
def test_models_of_faces_begin_with_the_face(network, tmp_path, model):
    pixels = skimage.data.astronaut()
    Image.fromarray(pixels).save(tmp_path / "her.png")
    session = network.draw(model, 3, 0.7)
    framing, *_ = Own(network).upload(session, str(tmp_path / "her.png"))
    assert framing.crop == (find_face(Picture(pixels)) if model != "tiny" else whole_crop((512, 512), SIZE))


def test_lpips_is_said_where_it_can_be_measured(network, photo, monkeypatch):
    measured = []
    monkeypatch.setattr("draggan.web.own.lpips", lambda image, wanted: measured.append((image, wanted)) or 0.0625)
    own, session = Own(network), network.draw("tiny", 3, 0.7)
    framing, *_ = own.upload(session, str(photo))
    *_, (_, edited, canvas, *_) = own.reconstruct(session, framing, 10, False, TAB)
    [(image, wanted)] = measured
    assert np.array_equal(to_picture(image), network.picture(edited))
    assert np.array_equal(to_picture(wanted), edited.photo.shown)
    assert canvas["marks"]["status"]["values"]["near"] == f"{psnr(image, wanted):.1f} dB, LPIPS 0.062"


def unpacked(update):
    return update["file"]["name"], base64.b64decode(update["file"]["url"].partition(",")[2])


@pytest.mark.parametrize("stage", ["Reconstructing", "Bringing back details"])
def test_what_there_is_so_far_can_be_used(network, photo, stage):
    own, session = Own(network), network.draw("tiny", 3, 0.7)
    framing, *_ = own.upload(session, str(photo))
    own.use(TAB)  # nothing runs yet
    running = own.reconstruct(session, framing, 40, True, TAB)
    while stage not in (seen := next(running))[2]["marks"]["status"]["text"]:
        pass
    *_, group, use = seen
    canvas = seen[2]
    assert (group["visible"], use["visible"]) == (False, True)
    assert canvas["marks"]["status"]["values"]["step"] < canvas["marks"]["status"]["values"]["steps"]
    own.use(OTHER)
    assert "step" in next(running)[2]["marks"]["status"]["text"], "another tab's button is another's"
    own.use(TAB)
    left, used, canvas, *_, group, use = next(running)
    assert next(running, None) is None
    assert left is None
    assert (group["visible"], use["visible"]) == (False, False)
    assert "like your picture" in canvas["marks"]["status"]["text"]
    assert (used.photo.delta is not None) == (stage != "Reconstructing")
    assert not used.busy
    assert np.array_equal(used.photo.shown, to_picture(cut(framing.picture, framing.crop, session.image_size)))


def test_after_stop_the_picture_can_be_framed_again(network, photo):
    own, session = Own(network), network.draw("tiny", 3, 0.7)
    framing, *_ = own.upload(session, str(photo))
    _, busy, *_ = next(own.reconstruct(session, framing, 40, True, TAB))
    assert busy.busy
    before, canvas, *_, group, use = own.stopped(busy, framing)
    assert not before.busy
    assert before.latent is session.latent
    assert canvas["marks"]["phase"] == "framing"
    assert (group["visible"], use["visible"]) == (True, False)
    *_, group, use = own.stopped(busy, None)
    assert (group["visible"], use["visible"]) == (False, False)


def test_what_cannot_be_done_is_told(network, tmp_path):
    own, session = Own(network), network.draw("tiny", 3, 0.7)
    empty = tmp_path / "empty.png"
    empty.touch()
    with pytest.raises(gr.Error, match=r"empty\.png is empty"):
        own.upload(session, str(empty))
    assert not empty.exists()
    shown = []
    with pytest.raises(gr.Error, match="no picture to reconstruct"):
        shown.extend(own.reconstruct(session, None, 10, False, TAB))
    event = SimpleNamespace(right=2, down=1, larger=1.2, turn=5, number=4)
    assert own.frame(session, None, event)[1]["answered"] == 4


def test_aims_belong_to_a_tab_and_a_pull():
    aims, here = Aims(), Aim(Point(1, 2))
    aims.put("a", 1, here)
    aims.put("b", 1, Aim(Point(3, 4), done=True))
    assert aims.get("a", 1) is here
    assert aims.get("a", 2) is None
    aims.put("a", 2, here)
    assert aims.get("a", 1) is None, "earlier pulls are forgotten"
    aims.forget("a")
    assert aims.get("a", 2) is None
    assert aims.get("b", 1).done
