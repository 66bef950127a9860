"""A picture of one's own on the page, without a browser."""

import base64
import gc
import io
import re
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import skimage.data
import torch
from gradio.context import LocalContext
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from draggan.geometry import Point
from draggan.inversion.faces import find_face
from draggan.inversion.likeness import psnr
from draggan.inversion.paste import paste
from draggan.inversion.photo import Photo
from draggan.inversion.picture import FACE, Crop, Picture, cut, whole_crop
from draggan.inversion.survey import piece_of
from draggan.project import load, load_details
from draggan.render import encode, side_by_side, to_picture
from draggan.stylegan2.delta import Delta
from draggan.web import aims
from draggan.web import own as module
from draggan.web.aims import Aim, Aims
from draggan.web.canvas import data_url
from draggan.web.chinese import CHINESE
from draggan.web.dragging import Dragging
from draggan.web.handlers import Handlers
from draggan.web.keep import Keep
from draggan.web.network import Network
from draggan.web.own import Framing, Own
from draggan.web.presence import Listeners
from draggan.web.starts import Start
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


def framed(own, session, path):
    """A picture that was sent. -> framing, session, canvas, buttons .."""
    return list(own.upload(session, None, str(path)))[-1]


def in_chinese(handler, *args):
    """What a handler gives to a browser that prefers Chinese."""
    asked = copy_context()
    asked.run(LocalContext.request.set, SimpleNamespace(headers={"accept-language": "zh-CN"}))
    return asked.run(handler, *args)


def test_pictures_are_read_one_after_the_other(network, photo, monkeypatch):
    """Each may take 2 GB meanwhile, of a file of 400 kB."""
    own, session, read = Own(network, Listeners()), network.draw("tiny", 3, 0.7), module.read_picture
    reading, most = [], []

    def slowly(path):
        reading.append(path)
        most.append(len(reading))
        time.sleep(0.05)
        reading.pop()
        return read(path)

    monkeypatch.setattr(module, "read_picture", slowly)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: framed(own, session, photo), range(4)))
    assert most == [1] * 4


MOVES = st.tuples(st.floats(-99, 99), st.floats(-99, 99), st.floats(0.2, 5), st.floats(-360, 360))


@given(st.lists(MOVES, max_size=6))
def test_however_it_is_moved_there_is_a_picture_in_the_frame(moves):
    picture = Picture(np.zeros((90, 120, 3), dtype=np.uint8))
    framing = Framing(picture, whole_crop(picture.size, SIZE))
    for move in moves:
        framing = framing.moved(*move, SIZE)
    assert cut(picture, framing.crop, SIZE).shape == (1, 3, *SIZE)


def test_it_can_be_moved_as_far_as_its_corners_and_sized_within_limits():
    picture = Picture(np.zeros((90, 120, 3), dtype=np.uint8))
    framing = Framing(picture, whole_crop(picture.size, SIZE))
    for way, corner in ((-999, (119, 89)), (999, (0, 0))):
        crop = framing.moved(way, way, 1, 0, SIZE).crop
        assert (crop.x, crop.y) == corner
    sides = [framing.moved(0, 0, larger, 0, SIZE).crop.side for larger in (0.001, 1000)]
    assert sides == pytest.approx([2 * framing.crop.side, 0.1 * framing.crop.side])


def test_it_can_be_framed_again_as_it_was_at_first(network, photo):
    own, session = Own(network, Listeners()), network.draw("tiny", 3, 0.7)
    first, session, *_ = framed(own, session, photo)
    still = {"right": 0, "down": 0, "larger": 1, "turn": 0, "number": 4}
    moved, _ = own.frame(session, first, SimpleNamespace(**still | {"right": 9, "turn": 20}, again=False))
    assert moved.crop != first.crop
    assert own.frame(session, moved, SimpleNamespace(**still, again=True))[0].crop == first.crop


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
    own, keep, session = Own(network, Listeners()), Keep(network), network.draw("tiny", 3, 0.7)
    pixels = np.asarray(Image.open(photo))
    framing, session, canvas, *_, group, use = framed(own, session, photo)
    assert (group["visible"], use["visible"]) == (True, False)
    assert canvas["marks"]["phase"] == "framing"
    event = SimpleNamespace(right=2, down=1, larger=1.2, turn=5, again=False, number=4)
    framing, canvas = own.frame(session, framing, event)
    assert canvas["answered"] == 4
    *_, last = own.reconstruct(session, framing, 10, True, TAB)
    left, edited, canvas, *_ = last
    assert left is None
    assert "like your picture" in canvas["marks"]["status"]["text"]
    assert edited.photo.delta.nbytes > 0
    assert len(edited.past) == 1
    assert edited.photo.crop == framing.crop
    assert len(canvas["strip"]) == len(edited.shots) == 1
    base, own_weights = network.generator("tiny"), network.generator_of(edited)
    assert own_weights is network.generator_of(edited)
    assert not torch.equal(base.render(edited.start), own_weights.render(edited.start))
    assert network.generator_of(edited.undo()) is base
    name, raw = unpacked(keep.pasted(edited))
    assert name.endswith("-pasted.png")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(raw))), pixels), "nothing was edited"
    moved, own_photo = replace(edited, latent=edited.latent.flip(1)), edited.photo
    ways = (own_weights.render(latent) for latent in (moved.start, moved.latent))
    whole = paste(own_photo.picture, own_photo.crop, own_photo.shown, *ways)
    assert (whole != pixels).any()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(unpacked(keep.pasted(moved))[1]))), whole)
    with pytest.raises(gr.Error, match="no picture to paste into"):
        keep.pasted(session)


def test_a_tab_behind_a_slow_line_is_sent_nothing_of_a_reconstruction_but_its_ends(network, photo, monkeypatch):
    listeners = Listeners()
    own = Own(network, listeners)
    framing, session, *_ = framed(own, network.draw("tiny", 3, 0.7), photo)

    def counts():
        views = [view for _, _, view, *_ in own.reconstruct(session, framing, 10, False, TAB) if "marks" in view]
        return [view["marks"].get("sent", [None, None])[1] for view in views]

    usual = counts()
    assert usual == [None, *range(1, len(usual) - 1), None]
    assert len(usual) > 3
    monkeypatch.setattr(listeners, "behind", str(TAB.session_hash).__eq__)
    assert counts() == [None, None]


def test_what_was_found_is_used_where_the_memory_is_too_small_for_its_details(network, photo, monkeypatch):
    warned = []

    def tune(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")
        yield

    monkeypatch.setattr(gr, "Warning", warned.append)
    monkeypatch.setattr("draggan.inversion.reconstruct.tune", tune)
    own = Own(network, Listeners())
    framing, session, *_ = framed(own, network.draw("tiny", 3, 0.7), photo)
    *_, (left, session, canvas, *_) = own.reconstruct(session, framing, 10, True, TAB)
    assert left is session.photo.delta is None
    assert "like your picture" in canvas["marks"]["status"]["text"]
    assert "Out of memory" in warned[0]


def test_edits_of_ones_own_picture_are_compared_to_it(network, photo):
    own, keep, asked = Own(network, Listeners()), Keep(network), SimpleNamespace(original=True)
    framing, session, *_ = framed(own, network.draw("tiny", 3, 0.7), photo)
    *_, (_, session, canvas, *_) = own.reconstruct(session, framing, 10, False, TAB)
    mine, marks = session.photo.shown, canvas["marks"]
    seen = Handlers(network, Listeners()).look(session, asked)
    assert seen["original"] == {"url": data_url("image/jpeg", encode(mine, lossless=False)), "view": marks["start"]}
    assert seen["image"]["view"] == marks["view"] != marks["start"], "the reconstruction is another picture"
    assert keep.copied(session, asked)["copied"]["url"] == data_url("image/png", encode(mine, lossless=True))
    now = base64.b64decode(keep.copied(session, SimpleNamespace(original=False))["copied"]["url"].partition(",")[2])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(now))), network.picture(session)), (
        "not what was there before"
    )
    both = np.asarray(Image.open(io.BytesIO(unpacked(keep.both(session, False))[1])))
    assert np.array_equal(both, side_by_side(mine, network.picture(session)))


def test_a_browser_gets_the_details_of_a_picture_once(network, photo, tmp_path, monkeypatch):
    own, keep, session = Own(network, Listeners()), Keep(network), network.draw("tiny", 3, 0.7)
    framing, session, *_ = framed(own, session, photo)
    *_, (_, edited, *_) = own.reconstruct(session, framing, 10, True, TAB)
    assert keep.safe(session, SimpleNamespace(details=None))["kept"]["name"] is None
    first = keep.safe(edited, SimpleNamespace(details=None))["kept"]
    (tmp_path / "details").write_bytes(base64.b64decode(first["details"]))
    light = replace(edited.photo, delta=None, picture=None)
    back = load_details(tmp_path / "details", light)
    assert (light.details, back.details) == (None, first["name"])
    assert back.delta.digest == edited.photo.delta.digest
    assert np.array_equal(back.picture.pixels, edited.photo.picture.pixels)
    heavy = edited.click(Point(3, 3)).keep(b"small")
    kept = keep.safe(heavy, SimpleNamespace(details=first["name"]))["kept"]["session"]
    (tmp_path / "kept").write_bytes(base64.b64decode(kept))
    opened = load(tmp_path / "kept").session
    assert (opened.photo.delta, opened.photo.picture, opened.undo().photo is opened.photo) == (None, None, True)
    assert opened.undo().undo().photo is None, "before it came there was another picture"
    none = keep.safe(opened, SimpleNamespace(details=first["name"]))["kept"]  # the browser has those of another picture
    assert (none["name"], none["details"]) == (None, None), "its own are not here"
    whole = opened.with_photo(back)
    assert whole.undo().photo is whole.shots[-1].session.photo is whole.photo is back
    monkeypatch.setattr("draggan.web.keep.SAFE_BYTES", edited.photo.picture.pixels.nbytes - 1)
    few = keep.safe(edited, SimpleNamespace(details=None))["kept"]
    (tmp_path / "few").write_bytes(base64.b64decode(few["details"]))
    assert load_details(tmp_path / "few", light).picture is None, "too large to be kept"
    monkeypatch.undo()
    again = keep.safe(edited, SimpleNamespace(details=first["name"]))["kept"]
    assert again == first | {"details": None, "at": again["at"]}


@pytest.mark.parametrize("model", ["tiny", "ffhq-tiny.pkl"])
def test_models_of_faces_begin_with_the_face_and_marks_for_it(network, tmp_path, monkeypatch, model):
    pixels = skimage.data.astronaut()
    Image.fromarray(pixels).save(tmp_path / "her.png")
    session, marks = network.draw(model, 3, 0.7), []
    monkeypatch.setattr(module, "with_points", lambda picture, places, _: marks.extend(places) or picture)
    framing, *_ = framed(Own(network, Listeners()), session, tmp_path / "her.png")
    assert framing.crop == (find_face(Picture(pixels)) if model != "tiny" else whole_crop((512, 512), SIZE))
    assert marks == [Point(x * 64 - 0.5, y * 64 - 0.5) for x, y in FACE if model != "tiny"]


def test_lpips_is_said_where_it_can_be_measured(network, photo, monkeypatch):
    measured = []
    monkeypatch.setattr("draggan.web.own.lpips", lambda image, wanted: measured.append((image, wanted)) or 0.0625)
    own, session = Own(network, Listeners()), network.draw("tiny", 3, 0.7)
    framing, session, *_ = framed(own, session, photo)
    *_, (_, edited, canvas, *_) = own.reconstruct(session, framing, 10, False, TAB)
    [(image, wanted)] = measured
    assert np.array_equal(to_picture(image), network.picture(edited))
    assert np.array_equal(to_picture(wanted), edited.photo.shown)
    assert canvas["marks"]["status"]["values"]["near"] == f"{psnr(image, wanted):.1f} dB, LPIPS 0.062"


def unpacked(update):
    return update["file"]["name"], base64.b64decode(update["file"]["url"].partition(",")[2])


def said(answer):
    """What an answer of a reconstruction says; empty where it only waits."""
    canvas = answer[2]
    return canvas["marks"]["status"]["text"] if "marks" in canvas else ""


@pytest.mark.parametrize("stage", ["Reconstructing", "Bringing back details"])
def test_what_there_is_so_far_can_be_used(network, photo, stage):
    own, session = Own(network, Listeners()), network.draw("tiny", 3, 0.7)
    framing, session, *_ = framed(own, session, photo)
    own.use(TAB)  # nothing runs yet
    running = own.reconstruct(session, framing, 40, True, TAB)
    for seen in running:
        if "step" in said(seen) and stage in said(seen):
            break
    *_, group, use = seen
    canvas = seen[2]
    assert (group["visible"], use["visible"]) == (False, True)
    assert canvas["marks"]["status"]["values"]["step"] < canvas["marks"]["status"]["values"]["steps"]
    own.use(OTHER)
    assert "step" in next(filter(said, running))[2]["marks"]["status"]["text"], "another tab's button is another's"
    own.use(TAB)
    left, used, canvas, *_, group, use = next(filter(said, running))
    assert next(running, None) is None
    assert left is None
    assert (group["visible"], use["visible"]) == (False, False)
    assert "like your picture" in canvas["marks"]["status"]["text"]
    assert (used.photo.delta is not None) == (stage != "Reconstructing")
    assert not used.busy
    assert np.array_equal(used.photo.shown, to_picture(cut(framing.picture, framing.crop, session.image_size)))


def test_after_stop_the_picture_can_be_placedagain(network, photo):
    own, session = Own(network, Listeners()), network.draw("tiny", 3, 0.7)
    session = session.click(Point(5, 6)).with_mask(np.eye(64) > 0)
    framing, placed, *_ = framed(own, session, photo)
    _, busy, *_ = next(own.reconstruct(placed, framing, 40, True, TAB))
    assert busy.busy
    before, canvas, *_, group, use = own.stopped(busy, framing)
    assert not before.busy
    assert before.latent is session.latent
    assert canvas["marks"]["phase"] == "framing"
    assert canvas["marks"]["pending"] is None, "points lie on the picture of before"
    assert (group["visible"], use["visible"]) == (True, False)
    _, back, canvas, *_, group, use = own.cancel(before)
    assert (canvas["marks"]["phase"], canvas["marks"]["pending"]) == ("ready", [5, 6])
    assert canvas["paint"]["png"], "while a picture is seen beside another, the browser keeps no mask"
    assert (group["visible"], use["visible"]) == (False, False)
    assert not back.framing


def test_a_reconstruction_that_was_refused_stops_nothing(network, photo, monkeypatch):
    warned = []
    monkeypatch.setattr(gr, "Warning", warned.append)
    own = Own(network, Listeners())
    framing, session, *_ = framed(own, network.draw("tiny", 3, 0.7), photo)
    _, busy, *_ = next(own.upload(session, framing, str(photo)))  # another picture, while one is framed
    assert list(own.reconstruct(busy, framing, 40, True, TAB)) == [], "it has not failed, after which `stopped` follows"
    assert "something is running" in warned[0]


def test_a_reconstruction_is_busy_and_can_be_stopped_before_it_has_a_start(network, photo):
    own = Own(network, Listeners())
    framing, session, *_ = framed(own, network.draw("tiny", 3, 0.7), photo)
    go = threading.Event()
    network._turns.submit(go.wait)
    running = own.reconstruct(session, framing, 40, True, TAB)
    answer = next(running)
    assert answer[1].busy
    assert said(answer) == "Reconstructing: looking for a start ..."
    assert answer[2]["marks"]["view"] == answer[2]["image"]["view"]
    *_, stop, _, _, group, use = answer
    assert (stop["interactive"], group["visible"], use["visible"]) == (True, False, False)
    assert not said(next(running)), "whoever stops it need not wait for the first step"
    running.close()
    go.set()


def test_nothing_else_begins_while_a_picture_is_framed(network, photo, monkeypatch):
    warned = []
    monkeypatch.setattr(gr, "Warning", warned.append)
    own, do = Own(network, Listeners()), Handlers(network, Listeners())
    _, session, _, drag, stop, undo, *_ = framed(own, network.draw("tiny", 3, 0.7).click(Point(1, 2)), photo)
    assert not any(button["interactive"] for button in (drag, stop, undo))
    assert list(do.dragging.drag(session, TAB)) == []
    assert list(do.example(session, (Start(1),), SimpleNamespace(index=0), TAB, 0.7, 0)) == []
    assert list(do.choose(session, "other", 1, 0.7)) == [("tiny", *7 * [gr.skip()])]
    _, edited, *_ = do.edit(session, SimpleNamespace(kind="undo", number=3))
    assert edited["answered"] == 3
    assert len(warned) == 4
    assert all("press Reconstruct or Cancel" in said for said in warned)
    with pytest.raises(gr.Error, match="press Reconstruct or Cancel"):
        list(do.draw(session, 1, 0.7, 0))


def test_what_is_compared_to_does_not_take_the_place_of_what_is_framed(network, photo):
    _, session, *_ = framed(Own(network, Listeners()), network.draw("tiny", 3, 0.7), photo)
    seen = Handlers(network, Listeners()).look(session, SimpleNamespace(original=True))
    assert seen["original"]["url"]
    assert "image" not in seen


def test_another_picture_can_be_sent_instead_of_one_that_is_framed(network, tmp_path, photo):
    own = Own(network, Listeners())
    Image.open(photo).save(tmp_path / "other.png")
    Image.open(photo).save(tmp_path / "third.png")
    framing, session, *_ = framed(own, network.draw("tiny", 3, 0.7), photo)
    reading, (other, again, canvas, *_) = own.upload(session, framing, str(tmp_path / "other.png"))
    assert reading[1].busy, "a large picture takes a while to read"
    with pytest.raises(gr.Error, match="something is running"):
        own.cancel(reading[1])  # the buttons would go, and come back no more where that picture is damaged
    assert other is not framing
    assert again.framing
    assert canvas["marks"]["phase"] == "framing"
    with pytest.raises(gr.Error, match="something is running"):
        list(own.upload(replace(again, loading=True), other, str(tmp_path / "third.png")))


def test_after_a_file_that_is_no_picture_all_is_as_before(network, tmp_path, photo):
    own, empty = Own(network, Listeners()), tmp_path / "empty.png"
    empty.touch()
    framing, session, *_ = framed(own, network.draw("tiny", 3, 0.7), photo)
    sending = own.upload(session, framing, str(empty))
    (_, busy, *_), (same, again, *_) = next(sending), next(sending)
    assert busy.busy
    assert same is framing
    assert again is session
    for before, message in ((busy, "something is running"), (None, "no picture in this tab")):
        with pytest.raises(gr.Error, match=message):
            next(own.upload(before, framing, str(photo)))  # what runs is not shown as if it had ended


def test_after_a_reconstruction_that_never_began_nothing_is_framed(network, photo):
    own, session = Own(network, Listeners()), network.draw("tiny", 3, 0.7)
    framing, placed, *_ = framed(own, session, photo)
    for before in ((None, framing), (session, framing), (placed, None)):
        assert own.stopped(*before) == 8 * (gr.skip(),)


def test_what_is_changed_of_a_picture_is_told(network, tmp_path, photo, monkeypatch):
    monkeypatch.setattr(gr, "Info", (told := []).append)
    Image.open(photo).convert("L").save(tmp_path / "grey.png")
    session, note = network.draw("tiny", 3, 0.7), "grey: it becomes a colour picture without colours"
    framed(Own(network, Listeners()), session, tmp_path / "grey.png")
    in_chinese(framed, Own(network, Listeners()), session, tmp_path / "grey.png")
    assert told == [note, CHINESE[note]]


def test_where_stop_is_not_there_nobody_is_sent_to_it(network, photo):
    own = Own(network, Listeners())
    _, reading, *_ = next(own.upload(network.draw("tiny", 3, 0.7), None, str(photo)))
    with pytest.raises(gr.Error, match=r"^'something is running: wait for its end'$"):
        own.cancel(reading)


def test_two_who_send_the_same_picture_both_have_it(network, photo):
    own, session = Own(network, Listeners()), network.draw("tiny", 3, 0.7)
    assert all(framed(own, session, photo)[1].framing for _ in range(2))


def test_what_is_wrong_with_a_picture_is_told_in_chinese_too(network, tmp_path):
    own, session = Own(network, Listeners()), network.draw("tiny", 3, 0.7)
    Image.new("RGB", (90, 63)).save(tmp_path / "small.png")
    (tmp_path / "bad{}.png").write_bytes(b"no picture")
    for name, said, values in (
        ("small.png", "{name} has {size} pixels: use one of at least {least} x {least}", ("90 x 63", 64)),
        ("bad{}.png", "{name} is not a picture that can be read: save it as PNG or JPEG", ()),
    ):
        wanted = CHINESE[said].format(name=name, **dict(zip(("size", "least"), values, strict=False)))
        with pytest.raises(gr.Error, match=re.escape(wanted)):
            in_chinese(framed, own, session, tmp_path / name)


def test_what_cannot_be_done_is_told(network, tmp_path):
    own, session = Own(network, Listeners()), network.draw("tiny", 3, 0.7)
    empty = tmp_path / "empty.png"
    empty.touch()
    with pytest.raises(gr.Error, match=r"empty\.png is empty"):
        framed(own, session, empty)
    shown = []
    with pytest.raises(gr.Error, match="no picture to reconstruct"):
        shown.extend(own.reconstruct(session, None, 10, False, TAB))
    event = SimpleNamespace(right=2, down=1, larger=1.2, turn=5, again=False, number=4)
    assert own.frame(session, None, event)[1]["answered"] == 4


def test_aims_belong_to_a_tab_and_a_pull():
    places, here = Aims(), Aim(Point(1, 2))
    places.put("a", 1, here)
    places.put("b", 1, Aim(Point(3, 4), done=True))
    assert places.get("a", 1) is here
    assert places.get("a", 2) is None
    places.put("a", 2, here)
    assert places.get("a", 1) is None, "earlier pulls are forgotten"
    places.forget("a")
    assert places.get("a", 2) is None
    assert places.get("b", 1).done


def test_aims_that_nobody_pulls_for_are_forgotten(network, monkeypatch):
    monkeypatch.setattr(aims, "MOST", 3)
    dragging = Dragging(network, Listeners())
    for tab in "abcde":
        dragging.aim(SimpleNamespace(at=[1, 2], done=False, gesture=1), SimpleNamespace(session_hash=tab))
    known = dragging._aims
    assert [known.get(tab, 1) is not None for tab in "abcde"] == [False, False, True, True, True]
    with pytest.raises(ValueError, match="invalid literal"):
        dragging.aim(SimpleNamespace(at=[1, 2], done=False, gesture="a" * 100), SimpleNamespace(session_hash="f"))


def test_a_model_that_is_put_away_is_not_kept_by_a_picture_that_changed_it():
    shelf = Shelf(tiny_generator(64))
    network = Network(shelf, "cpu")
    session = network.draw("tiny", 3, 0.7)
    photo = Photo(Crop(9, 9, 9), np.zeros((*SIZE, 3), dtype=np.uint8), Delta({}))
    edited = replace(session, photo=photo)
    assert network.generator_of(edited) is network.generator_of(edited)
    gone = weakref.ref(shelf.generator)
    shelf.generator = tiny_generator(64)
    gc.collect()
    assert gone() is None
    network.picture(edited)


def test_a_picture_turns_as_one_turns_it_and_its_angle_stays_small():
    """Clockwise, as one sees it."""
    pixels = np.zeros((90, 90, 3), dtype=np.uint8)
    pixels[:45] = 255  # light above
    framing = Framing(Picture(pixels), whole_crop((90, 90), SIZE))
    turned = framing.moved(0, 0, 1, 90, SIZE)
    seen = to_picture(cut(turned.picture, turned.crop, SIZE))[..., 0]
    assert (seen[32, 60] > 200, seen[32, 4] < 50) == (True, True), "what was above is at the right"
    for _ in range(5):
        turned = turned.moved(0, 0, 1, 90, SIZE)
        assert -180 <= turned.crop.angle < 180


def test_what_is_known_of_a_model_serves_the_next_picture_and_the_frame_is_left(tmp_path, monkeypatch):
    network, asked = Network(Shelf(tiny_generator(64)), "cpu"), []
    reconstruct = module.reconstruct

    def spied(generator, wanted, config, tuning):
        asked.append((config.steps, tuning, generator.knows(piece_of, 31)))
        return reconstruct(generator, wanted, config, tuning)

    monkeypatch.setattr(module, "reconstruct", spied)
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (90, 120, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    own, session = Own(network, Listeners()), network.draw("tiny", 3, 0.7)
    for _ in range(2):
        *_, (framing, framed, *_) = own.upload(session, None, str(tmp_path / "a.png"))
        *_, (_, session, *_) = own.reconstruct(framed, framing, 2, False, TAB)
        assert not session.framing
        assert not session.undo().framing, "undo goes back to the picture of before, not into a frame"
    assert asked == [(2, False, False), (2, False, True)]
