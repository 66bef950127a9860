"""What happens when something on the page is clicked, without a server."""

import base64
import gc
import io
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch
from gradio.context import LocalContext
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from draggan import project
from draggan.engine import metric
from draggan.engine.engines import ENGINES
from draggan.facts import facts
from draggan.geometry import DragPair, Point
from draggan.inversion.photo import Photo
from draggan.inversion.picture import Crop
from draggan.precision import in_precision
from draggan.project import Project
from draggan.registry import models
from draggan.registry.download import DownloadError
from draggan.registry.transfer import Progress
from draggan.render import side_by_side, to_picture, with_points
from draggan.session import Session, new_session
from draggan.stylegan2 import checkpoint
from draggan.web import dragging, turns
from draggan.web.canvas import read_mask
from draggan.web.chinese import CHINESE
from draggan.web.handlers import Handlers
from draggan.web.keep import Keep
from draggan.web.network import Network
from draggan.web.presence import Listeners
from draggan.web.starts import Start, Starts
from draggan.web.telling import explained, tell, warn
from draggan.web.words import Said, explain, label, status
from tests.networks import tiny_generator
from tests.shelf import Shelf

SETTINGS = ("draggan", 0.02, 4, "w_plus", 6, 128, 3, 12, 20.0, 0, "auto")  # as the controls of the page show them
TAB = SimpleNamespace(session_hash="a")  # of a request
SESSION = 4  # which of what `start` gives


@pytest.fixture(scope="module")
def generator():
    return tiny_generator(64)


@pytest.fixture
def network(generator):
    rehearsed = Network(Shop(generator), "cpu")
    rehearsed.rehearse("tiny").result()
    return rehearsed


@pytest.fixture
def do(network):
    return Handlers(network, Listeners())


class Shop(Shelf):
    """Two models in memory, one of them as if it had to be downloaded; others are not there."""

    def download(self, name):
        if name == "far":
            yield Progress("downloading", "http://127.0.0.1/far", 1_000_000, 4_000_000)
            yield Progress("checking")
        elif name == "broken":
            yield Progress("connecting")
            raise DownloadError(["broken.pkl"], Path("models"), [("http://127.0.0.1/broken", "status 404")])

    def sha256(self, name):
        return "" if name == "tiny" else Path(name).name  # files of one name are the same

    def load(self, name, device):
        assert device == "cpu"
        if name not in ("tiny", "far") and not name.endswith(".pkl"):
            raise ValueError(f"no model {name!r}")
        return super().load(name)


def last(answers):
    """The last of what a handler answers."""
    return list(answers)[-1]


def drawn(do):
    return last(do.start("tiny", 3, 0.7, 0))[SESSION]


def event(kind, **data):
    return SimpleNamespace(kind=kind, number=7, **data)


def click(x, y):
    return event("click", at=[x, y])


def clicked(do, session, *places):
    for x, y in places:
        session = do.edit(session, click(x, y))[0]
    return session


def picture_in(canvas_update):
    kind, _, data = canvas_update["image"]["url"].partition(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def spoken(canvas_update):
    return str(Said(**canvas_update["marks"]["status"]))


def png_of(mask):
    rgba = np.zeros((*mask.shape, 4), dtype=np.uint8)
    rgba[mask] = 255
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_draw_shows_the_picture_of_the_seed(do, generator):
    *_, session, canvas, drag, stop, _, _ = last(do.start("tiny", 3, 0.7, 0))
    expected = to_picture(generator.render(generator.latent(3, 0.7))).astype(int)
    assert np.abs(picture_in(canvas).astype(int) - expected).mean() < 8
    assert canvas["marks"]["size"] == [64, 64]
    assert (drag["interactive"], stop["interactive"]) == (True, False)
    waiting, again = (answer[0] for answer in do.draw(session, 4, 0.7, 0))
    assert waiting.busy, "nothing that is done meanwhile is lost: it is refused"
    assert again.number == session.number + 1


def test_a_rehearsal_takes_a_step_of_each_engine_before_anyone_asks(monkeypatch):
    generator = tiny_generator(64)
    network = Network(Shelf(generator), "cpu")
    seen = []
    trunk = generator.trunk
    monkeypatch.setattr(generator, "trunk", lambda *args: seen.append(args) or trunk(*args))
    network.rehearse("tiny").result()
    assert len(seen) >= 2
    monkeypatch.setattr(metric, "seen_of", lambda *_: pytest.fail("worked out again"))
    do = Handlers(network, Listeners())
    after = list(do.dragging.drag(clicked(do, drawn(do), (5, 6), (40, 30)), TAB, "kinematics", *SETTINGS[1:]))[-1][0]
    assert after.steps > 0


def test_a_rehearsal_that_fails_does_not_hold_its_model(monkeypatch):
    def failing(generator, layers):
        raise ValueError("this model draws latents beyond all numbers")

    monkeypatch.setattr("draggan.engine.kinematics.metric_of", failing)
    shop = Shop(tiny_generator(32))
    network, model = Network(shop, "cpu"), weakref.ref(shop.generator)
    with pytest.raises(ValueError, match="beyond all numbers"):
        network.rehearse("tiny").result()
    shop.generator = None
    network.run(gc.collect)
    assert model() is None


def test_a_drag_that_has_to_wait_for_a_rehearsal_says_so_at_once(do, generator):
    session = clicked(do, drawn(do), (5, 6), (40, 30))
    network, go = Network(Shelf(generator), "cpu"), threading.Event()
    do = Handlers(network, Listeners())
    network._turns.submit(go.wait)
    prepared = network.rehearse("tiny")
    answers = do.dragging.drag(session, TAB, "kinematics", *SETTINGS[1:])
    waiting, canvas, _, stop, *_ = next(answers)
    assert spoken(canvas) == "Preparing tiny, once ..."
    assert (waiting.busy, stop["interactive"]) == (True, True)
    assert waiting.stop().pairs == session.pairs
    assert next(answers)[0].loading, "whoever stops it need not wait for the whole rehearsal"
    go.set()
    prepared.result()
    step, canvas, *_ = next(answers)
    assert (step.phase, spoken(canvas)[:7]) == ("dragging", "Step 0:")
    assert not list(answers)[-1][0].busy
    assert spoken(next(do.dragging.drag(session, TAB, "kinematics", *SETTINGS[1:]))[1]).startswith("Step")


def test_a_drag_that_needs_no_rehearsal_waits_for_none(do, network):
    session = clicked(do, drawn(do), (5, 6), (40, 30))
    network._rehearsals[network.generator("tiny")] = Future()
    assert list(do.dragging.drag(session, TAB, *SETTINGS))[-1][0].phase == "limit"
    refused = next(do.dragging.drag(drawn(do), TAB, "kinematics", *SETTINGS[1:]))[0]
    assert (refused.pairs, refused.phase, refused.loading) == ((), "ready", False), "there is nothing to drag"


def test_random_draws_another_seed(do):
    first, (seed, session, *_) = do.draw_random(drawn(do), 0.7, 0)
    assert first[0] == gr.skip()
    assert session.seed == seed


def test_clicks_become_marks(do):
    session = drawn(do)
    session, canvas, *_ = do.edit(session, click(5, 6.5))
    assert canvas["marks"]["pending"] == [5.0, 6.5]
    assert not {"image", "strip"} & canvas.keys(), "the browser has them"
    session, canvas, *_ = do.edit(session, click(40, 30))
    assert canvas["marks"]["handles"] == [[5.0, 6.5]]
    assert canvas["marks"]["targets"] == [[40.0, 30.0]]
    assert do.edit(session, event("undo"))[1]["marks"]["pending"] == [5.0, 6.5]
    assert do.edit(session, event("clear"))[1]["marks"]["handles"] == []


def test_a_drag_shows_frames_that_belong_to_their_session(do, generator, monkeypatch):
    monkeypatch.setattr(dragging, "FRAME_SECONDS", 0)
    session = clicked(do, drawn(do), (5, 6), (40, 30))
    shown = list(do.dragging.drag(session, TAB, *SETTINGS))
    assert "image" not in shown[0][1], "at first the picture is the one that is shown already"
    assert torch.equal(shown[0][0].latent, session.latent)
    assert [now.steps for now, *_ in shown] == [0, 1, 2, 3, 4]
    assert all("image" in shown[i][1] for i in (1, -1))
    for now, canvas, drag, stop, *_ in shown:
        if "image" in canvas:
            expected = to_picture(generator.render(now.latent)).astype(int)
            assert np.abs(picture_in(canvas).astype(int) - expected).mean() < 8
        assert canvas["marks"]["handles"] == [[p.x, p.y] for p in now.handles]
        assert drag["interactive"] is (now.phase != "dragging")
        assert stop["interactive"] is (now.phase == "dragging")
    assert shown[-1][0].phase == "limit"
    assert shown[-1][0].steps == 4
    assert [len(now.shots) for now, *_ in shown] == [1, 1, 1, 1, 2], "of a drag, its end can be gone back to"
    assert shown[-1][2]["value"].key == "Continue"


def test_another_engine_goes_on_from_where_the_handles_lie(do):
    session = list(do.dragging.drag(clicked(do, drawn(do), (5, 6), (40, 30)), TAB, *SETTINGS))[-1][0]
    after = list(do.dragging.drag(session, TAB, "kinematics", *SETTINGS[1:]))[-1][0]
    assert (session.engine, after.engine) == ("draggan", "kinematics")
    assert after.pairs[0].handle == session.handles[0]
    assert after.phase in ("arrived", "stuck", "limit")
    assert len(after.past) == len(session.past) + 1, "one drag is one edit"
    back = list(do.dragging.drag(after, TAB, *SETTINGS))[-1][0]
    assert back.pairs[0].handle == after.handles[0]


def test_undo_of_what_another_engine_did_gives_back_the_drag_that_was(do, network):
    session = list(do.dragging.drag(clicked(do, drawn(do), (5, 6), (40, 30)), TAB, *SETTINGS))[-1][0]
    running = do.dragging.live(session, event("live", index=0, at=[30, 20], gesture=1), TAB, *SETTINGS)
    next(running)
    do.dragging.aim(event("aim", at=[30, 20], gesture=1, done=True), TAB)
    *_, (pulled, *_) = running
    dragged = list(do.dragging.drag(session, TAB, "kinematics", *SETTINGS[1:]))[-1][0]
    network._rehearsals[network.generator("tiny")] = Future()
    preparing = next(do.dragging.drag(session, TAB, "kinematics", *SETTINGS[1:]))[0]
    for after in (pulled.undo(), dragged.undo(), preparing.stop()):
        assert (after.drag, after.pairs, after.phase) == (session.drag, session.pairs, session.phase)
        assert (after.engine, after.config) == (session.engine, session.config)
    assert (pulled.engine, dragged.engine) == ("kinematics", "kinematics")


def test_a_pull_that_is_let_go_before_its_first_step_ends_where_it_was_let_go(do):
    pull = {"from": [5, 6], "at": [7, 8], "gesture": 1}
    do.dragging.aim(event("aim", at=[40, 30], gesture=1, done=True), TAB)
    *_, (pulled, *_) = do.dragging.live(drawn(do), event("live", **pull), TAB, *SETTINGS)
    assert [(target.x, target.y) for target in pulled.targets] == [(40, 30)]


def test_a_pull_follows_the_pointer_a_few_steps_at_a_time_until_it_is_let_go(do, network, monkeypatch):
    session, begun, steps = drawn(do), [], network.steps

    def counted(session):
        if len(begun) == 2:
            raise MemoryError
        begun.append([session.targets[0], 0])
        for each in steps(session):
            begun[-1][1] += 1
            yield each

    monkeypatch.setattr(dragging, "FRAME_SECONDS", 0)
    monkeypatch.setattr(dragging, "AIM_STEPS", 2)
    monkeypatch.setattr(network, "steps", counted)
    pull = event("live", **{"from": [5, 6], "at": [40, 30], "gesture": 1})
    running = do.dragging.live(session, pull, TAB, *SETTINGS)
    assert next(running)[0].phase == "dragging"
    do.dragging.aim(event("aim", at=[20, 50], gesture=1, done=False), TAB)
    next(now for now, *_ in running if now.targets[0] == Point(20, 50))
    do.dragging.aim(event("aim", at=[21, 50], gesture=1, done=True), TAB)
    *_, (pulled, canvas, *_) = running
    assert [begun[0], begun[1][0], len(begun)] == [[Point(40, 30), 2], Point(20, 50), 2]
    assert (pulled.targets, pulled.busy, len(pulled.shots)) == ((Point(21, 50),), False, len(session.shots) + 1)
    assert canvas["image"]["view"] == canvas["marks"]["view"]
    answers = []
    do.dragging.aim(event("aim", at=[40, 30], gesture=1, done=False), TAB)
    with pytest.raises(gr.Error, match="Out of memory"):
        iter_all(do.dragging.live(session, pull, TAB, *SETTINGS), answers)
    assert (answers[-1][0].pairs, answers[-1][0].busy) == ((), False), "as before the pull"
    assert do.dragging._aims.get("a", 1) is None, "of a pull that has ended nothing is kept"


def test_each_tab_drags_in_its_own_precision(do, generator):
    session = clicked(do, drawn(do), (5, 6), (40, 30))
    before = generator.quick
    for name in ("bf16", "fp32"):
        own = in_precision(generator, name)
        after = list(do.dragging.drag(session, TAB, *SETTINGS[:-1], name))[-1][0]
        *_, last = session.dragged_by("draggan", after.config).run(own)
        assert torch.equal(after.latent, last.latent), name
        assert after.precision == name
    assert generator.quick is before, "the model that others use is as it was"


def test_stop_and_continue_is_as_if_it_had_not_stopped(do):
    session = clicked(do, drawn(do), (5, 6), (40, 30))
    whole = list(do.dragging.drag(session, TAB, *SETTINGS))[-1][0]
    running = do.dragging.drag(session, TAB, *SETTINGS)
    kept = next(running)[0]
    running.close()
    [(_, stopped, canvas, drag, *_)] = do.stop(kept)
    assert stopped.phase == "stopped"
    assert "Stopped at step 0" in spoken(canvas)
    assert canvas["marks"]["view"] == do.look(stopped, event("look", original=False))["image"]["view"], (
        "the browser asks where it shows another frame"
    )
    assert drag["value"].key == "Continue"
    assert torch.equal(list(do.dragging.drag(stopped, TAB, *SETTINGS))[-1][0].latent, whole.latent)


@pytest.fixture
def warned(monkeypatch):
    """What the page was told as a warning."""
    said = []
    monkeypatch.setattr(gr, "Warning", said.append)
    return said


def test_nothing_else_happens_while_a_drag_runs(do, warned):
    painted = np.zeros((64, 64), dtype=bool)
    painted[:30, 10:] = True
    session = do.edit(clicked(do, drawn(do), (5, 6), (40, 30)), event("mask", png=png_of(painted)))[0]
    dragging = replace(session, phase="dragging")
    for number, kind in enumerate(("click", "mask", "reset", "undo", "redo", "clear"), start=1):
        session, canvas, *rest = do.edit(dragging, event(kind, at=[1, 1], png=None))
        assert canvas["answered"] == 7
        assert np.array_equal(read_mask(canvas["paint"]["png"], (64, 64)), painted), "what is painted is the mask"
        assert [session, *rest] == [gr.skip()] * 9
        assert warned == ["something is running: wait for its end, or press Stop"] * number
    with pytest.raises(gr.Error, match="something is running"):
        list(do.draw(dragging, 1, 0.7, 0))


def test_another_model_is_brought_and_shown(do):
    session = clicked(do, drawn(do), (5, 6))
    model, _, *shown = zip(*do.choose(session, "far", 4, 0.7), strict=True)
    assert model == (gr.skip(), gr.skip(), gr.skip(), "far"), "the menu changes when the model is here"
    sessions, canvases, _, stops, *_ = shown
    assert "Downloading far: 25 % / 4 MB" in spoken(canvases[0])
    assert [c["marks"]["progress"] for c in canvases] == [0.25, 0, None, None]
    assert "Checking far" in spoken(canvases[1])
    assert [s["interactive"] for s in stops] == [True, True, True, False]
    assert all(s.model == "tiny" and s.pending and s.busy for s in sessions[:-1])
    assert sessions[-1].model == "far"
    assert sessions[-1].pending is None
    picture_in(canvases[-1])


def test_undo_goes_back_to_the_picture_of_another_model(do, network, monkeypatch):
    painted = np.zeros((64, 64), dtype=bool)
    painted[:30, 10:] = True
    session = do.edit(clicked(do, drawn(do), (50, 60)), event("mask", png=png_of(painted)))[0]
    own, small = network._models.generator, tiny_generator(32)
    monkeypatch.setattr(network._models, "load", lambda name, _: small if name == "far" else own)
    *_, (_, _, other, canvas, *_) = do.choose(session, "far", 4, 0.5)
    assert (other.model, canvas["marks"]["size"], canvas["marks"]["pending"]) == ("far", [32, 32], None)
    assert len(canvas["strip"]) == 2
    back, canvas, _, _, _, _, menu, seed, psi, _ = do.edit(other, event("undo"))
    assert (menu["value"], seed, psi) == ("tiny", 3, 0.7)
    assert (canvas["marks"]["size"], canvas["marks"]["pending"]) == ([64, 64], [50, 60])
    assert np.array_equal(read_mask(canvas["paint"]["png"], (64, 64)), painted)
    expected = to_picture(own.render(session.latent)).astype(int)
    assert np.abs(picture_in(canvas).astype(int) - expected).mean() < 8
    assert do.edit(other, event("back", index=0))[0].model == "tiny"
    assert torch.equal(do.edit(back, event("redo"))[0].latent, other.latent)


def test_a_picture_whose_model_is_gone_leaves_the_one_that_is_shown(do, network, warned, monkeypatch):
    *_, (_, _, other, *_) = do.choose(drawn(do), "far", 4, 0.5)
    gone = lambda name, _: (_ for _ in ()).throw(FileNotFoundError(f"no such file: {name}"))  # noqa: E731
    monkeypatch.setattr(network._models, "load", gone)
    same, canvas, *_ = do.edit(other, event("undo"))
    assert (same, canvas["answered"], warned) == (other, 7, ["no such file: tiny"])


def test_an_edit_is_answered_where_its_own_model_is_gone(do, network, warned, monkeypatch):
    *_, (second, *_) = do.draw(drawn(do), 8, 0.7, 0)
    gone = lambda name, _: (_ for _ in ()).throw(FileNotFoundError(f"no such file: {name}"))  # noqa: E731
    monkeypatch.setattr(network._models, "load", gone)
    same, canvas, *_ = do.edit(second, event("undo"))
    assert (same, canvas["answered"], warned) == (second, 7, ["no such file: tiny"])


def test_the_controls_follow_the_picture_and_nothing_else(do):
    skip, hidden = gr.skip(), gr.update(value=0, visible=False)
    first = drawn(do)
    *_, (second, *_) = do.draw(clicked(do, first, (5, 6)), 8, 0.4, 0)
    named = lambda session, kind, **data: list(do.edit(session, event(kind, **data))[-4:])  # noqa: E731
    assert named(second, "click", at=[1, 1]) == [skip] * 4, "what the user has typed stays"
    assert named(second, "undo") == [skip, 3, 0.7, hidden]
    assert named(second.undo(), "redo") == [skip, 8, 0.4, hidden]
    assert named(second, "back", index=0) == [skip, 3, 0.7, hidden]
    assert named(second.undo(), "undo") == [skip] * 4
    *_, (menu, seed, psi, _, _, example, *_) = do.example(
        second, (Start(5),), event("pick", index=0), TAB, 0.7, 0, *SETTINGS
    )
    assert (menu, seed, psi, example.seed) == (skip, 5, 0.7, 5)
    own = first.redrawn(replace(second, photo=Photo(Crop(32, 32, 64), np.zeros((64, 64, 3), np.uint8)), seed=0))
    assert named(own.undo(), "redo") == [skip] * 4, "a picture of one's own has no seed"
    assert named(own, "undo") == [skip, 3, 0.7, hidden]


def test_what_was_refused_during_a_drag_stops_nothing(do, warned, tmp_path):
    dragging = replace(clicked(do, drawn(do), (5, 6), (40, 30)), phase="dragging")
    pull = event("live", **{"from": [1, 1], "at": [9, 9], "gesture": 1})
    assert list(do.dragging.drag(dragging, TAB, *SETTINGS)) == []
    assert list(do.dragging.live(dragging, pull, TAB, *SETTINGS)) == []
    assert list(do.example(dragging, (Start(1),), event("pick", index=0), TAB, 0.7, 0, *SETTINGS)) == []
    assert list(do.open_session(dragging, str(tmp_path / "a.draggan"))) == []
    assert list(do.choose(dragging, "far", 1, 0.7)) == [("tiny", *7 * [gr.skip()])]
    assert list(do.open_file(dragging, "mine.pkl", 1, 0.7, ["kept"], 1)) == [("tiny", *9 * [gr.skip()])]
    assert len(warned) == 6


def test_after_what_failed_there_is_nothing_to_stop(do, tmp_path):
    session = list(do.dragging.drag(clicked(do, drawn(do), (5, 6), (40, 30)), TAB, *SETTINGS))[-1][0].keep(b"")
    (tmp_path / "bad.draggan").write_bytes(b"nonsense")
    answers = []
    with pytest.raises(gr.Error, match=r"bad\.draggan is not a session"):
        iter_all(do.open_session(session, str(tmp_path / "bad.draggan")), answers)
    after = answers[-1][len(SETTINGS) + SESSION]
    assert after is session
    assert list(do.stop(after)) == [7 * (gr.skip(),)]
    [(_, stopped, *_)] = do.stop(replace(session, loading=True))
    assert len(stopped.shots) == len(session.shots), "no step was taken: there is no picture more"


@pytest.mark.parametrize(("name", "message"), [("broken", r"(?s)status 404.*by hand"), ("other", "no model 'other'")])
def test_a_model_that_does_not_come_leaves_the_old_one(do, name, message):
    session = clicked(do, drawn(do), (5, 6))
    shown = []
    with pytest.raises(gr.Error, match=message):
        iter_all(do.choose(session, name, 4, 0.7), shown)
    assert [menu for menu, *_ in shown] == [gr.skip()] * (len(shown) - 1) + ["tiny"]
    assert shown[-1][2] == session


def test_stop_while_a_model_comes_goes_back(do):
    session = clicked(do, drawn(do), (5, 6))
    running = do.choose(session, "far", 4, 0.7)
    kept = next(running)[2]
    running.close()
    [(model, stopped, canvas, *_)] = do.stop(kept)
    assert (model, stopped.model, stopped.phase, stopped.pending) == ("tiny", "tiny", "ready", session.pending)
    assert canvas["marks"]["phase"] == "ready"


def test_a_sent_file_joins_the_menu(do, tmp_path, warned):
    (loading, *_), (menu, _, _, _, session, *_) = do.open_file(drawn(do), "/tmp/x/mine.pkl", 4, 0.7, None, 0)
    assert warned == []
    assert loading == gr.skip()
    assert menu["value"] == "/tmp/x/mine.pkl"
    assert menu["choices"][-1] == ("mine.pkl", "/tmp/x/mine.pkl")
    assert session.model == "/tmp/x/mine.pkl"
    (tmp_path / "kept.draggan").write_bytes(b"nonsense")
    kept = [str(tmp_path / "kept.draggan")]
    assert last(do.open_file(drawn(do), "/tmp/x/mine.pkl", 4, 0.7, kept, 1))[SESSION].model == "/tmp/x/mine.pkl"
    assert "kept.draggan is not a session" in warned[0]


def with_file(do, path):
    """A session with a model file, and points and a history."""
    *_, (_, _, _, _, session, *_) = do.open_file(drawn(do), path, 4, 0.7, None, 0)
    return list(do.dragging.drag(clicked(do, session, (5, 6), (40, 30)), TAB, *SETTINGS))[-1][0]


def test_a_session_opens_where_its_model_file_is_the_one_that_the_tab_has(do, network, tmp_path):
    kept, path = Keep(network).session(with_file(do, "/tmp/x/mine.pkl")), tmp_path / "edit.draggan"
    path.write_bytes(base64.b64decode(kept["file"]["url"].partition(",")[2]))
    *_, (_, _, _, _, other, *_) = do.open_file(drawn(do), "/srv/y/mine.pkl", 4, 0.7, None, 0)
    *_, (*_, session, _, _, _, _, _) = do.open_session(other, str(path))
    every = (session, *session.past, *(shot.session for shot in session.shots))
    assert {each.model for each in every} == {"/srv/y/mine.pkl"}
    assert session.past
    *_, (_, _, _, _, another, *_) = do.open_file(drawn(do), "/srv/y/another.pkl", 4, 0.7, None, 0)
    with pytest.raises(gr.Error, match=r"^'the session was made with the model file mine.pkl: open that file first'$"):
        list(do.open_session(another, str(path)))


def test_a_session_opens_where_its_model_file_was_sent_here_and_names_no_other_file(do, network, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "sent"))
    mine, others = tmp_path / "sent" / "hash" / "mine.pkl", tmp_path / "others.pkl"
    mine.parent.mkdir(parents=True)
    for file in (mine, others):
        file.touch()
    for model, message in (
        (str(mine), None),
        (str(others), "the session was made with the model file others.pkl: open that file first"),
        (f"{tmp_path}/sent/../others.pkl", "the session was made with the model file others.pkl: open that file first"),
        (str(mine.with_name("gone.pkl")), "the session was made with the model file gone.pkl: open that file first"),
    ):
        kept = Keep(network).safe(with_file(do, model), event("safe", details=None))["kept"]
        path = tmp_path / "kept.draggan"
        path.write_bytes(base64.b64decode(kept["session"]))
        session, canvas = last(do.start("tiny", 3, 0.7, 0, [str(path)], 1))[SESSION : SESSION + 2]
        assert session.model == ("tiny" if message else model)
        assert (canvas["refused"] and canvas["refused"]["values"]["why"]) == (message or False)


def test_the_model_of_what_a_browser_kept_is_downloaded(do, network, tmp_path, monkeypatch):
    path, come = tmp_path / "kept.draggan", []
    kept = Keep(network).safe(with_file(do, "far"), event("safe", details=None))["kept"]
    path.write_bytes(base64.b64decode(kept["session"]))
    half = Progress("downloading", received=50_000_000, total=100_000_000)
    monkeypatch.setattr(network, "download", lambda model: come.append(model) or iter([half]))
    (*_, coming, _, _, _, _), (*_, session, _, _, _, _, _) = do.start("far", 3, 0.7, 0, [str(path)], 1)
    assert coming["marks"]["status"]["text"] == "Downloading {model}: {come}{note}"
    assert coming["marks"]["progress"] == 0.5
    assert (session.model, come) == ("far", ["far"])
    monkeypatch.setattr("draggan.web.handlers.available_models", lambda: ("far",))
    assert last(do.open_file(drawn(do), "mine.pkl", 3, 0.7, [str(path)], 1))[SESSION].model == "far"
    assert come == ["far", "mine.pkl", "far"]


def test_a_session_is_opened_with_its_model(do, tmp_path, monkeypatch):
    monkeypatch.setattr("draggan.web.handlers.available_models", lambda: ("far",))
    *_, (_, _, far, *_) = do.choose(drawn(do), "far", 4, 0.7)
    project.save(tmp_path / "a.draggan", Project(far, ""))
    answers = do.open_session(drawn(do), str(tmp_path / "a.draggan"))
    *coming, (opened, *_) = (answer[len(SETTINGS) + SESSION :] for answer in answers)
    said = ["Loading a.draggan ...", "Downloading far: 25 % / 4 MB. Stop keeps what has come.", "Checking far ..."]
    assert [spoken(canvas) for _, canvas, *_ in coming] == said
    assert all(session.busy and session.model == "tiny" for session, *_ in coming)
    assert {canvas["marks"]["phase"] for _, canvas, *_ in coming} == {"loading"}, "nothing is set on it meanwhile"
    assert (opened.model, opened.seed) == ("far", 4)


def test_each_model_that_is_shown_is_rehearsed(do, network, tmp_path, monkeypatch):
    session, path, rehearsed = drawn(do), tmp_path / "kept.draggan", []
    monkeypatch.setattr(network, "rehearse", rehearsed.append)
    *_, (_, _, other, *_) = do.choose(session, "far", 4, 0.5)
    do.edit(other, event("undo"))
    path.write_bytes(base64.b64decode(Keep(network).safe(other, event("safe", details=None))["kept"]["session"]))
    assert last(do.start("far", 3, 0.7, 0, [str(path)], 1))[SESSION].seed == 4
    assert rehearsed == ["far", "tiny", "far"]


def test_an_example_drags_its_model_by_its_own_step_size(do, network, monkeypatch):
    monkeypatch.setattr(network._models, "load", lambda *_: network._models.generator)
    example = Start(5, (DragPair(Point(5, 6), Point(40, 30)),))
    session, step = drawn(do), models.step_size("plush-256")
    for lr, told in ((step, step), (SETTINGS[1], gr.skip())):  # then its model is the one that is shown
        _, first, *_, (*_, session, _, _, _, _, _) = do.example(
            session, (Start(1), example), event("pick", index=1), TAB, 0.3, 0, *SETTINGS
        )
        assert (session.model, session.seed, session.truncation_psi, session.steps) == ("plush-256", 5, 0.7, 4)
        assert (session.config.lr, first[4]) == (lr, told)


def test_what_could_not_be_sent_is_told(do):
    _, canvas = last(do.start("tiny", 3, 0.7, 0, None, 2))[SESSION : SESSION + 2]
    assert "could not be sent: reload the page" in canvas["refused"]["values"]["why"]
    assert canvas["refused"]["text"] in CHINESE


def test_what_nobody_expected_of_what_a_browser_kept_is_in_the_log(do, tmp_path, monkeypatch, capsys):
    (tmp_path / "kept.draggan").touch()
    monkeypatch.setattr("draggan.web.handlers.load", lambda _: {}["kept"])
    _, canvas = last(do.start("tiny", 3, 0.7, 0, [str(tmp_path / "kept.draggan")], 1))[SESSION : SESSION + 2]
    assert "the server's log says more" in canvas["refused"]["values"]["why"]
    assert "KeyError: 'kept'" in capsys.readouterr().err


def test_a_picture_of_ones_own_whose_details_are_lost_comes_back_without_them(do, network, tmp_path, warned):
    photo, path = Photo(Crop(32, 32, 64), np.full((64, 64, 3), 9, np.uint8)), tmp_path / "kept.draggan"
    own = replace(drawn(do), photo=photo)
    path.write_bytes(base64.b64decode(Keep(network).safe(own, event("safe", details=None))["kept"]["session"]))
    for parts, lost in ((1, False), (2, True)):
        _, seed, psi, _, session, *_ = last(do.start("tiny", 3, 0.7, 0, [str(path)], parts))
        assert np.array_equal(session.photo.shown, photo.shown)
        assert (seed, psi) == (gr.skip(), gr.skip()), "it was drawn from none"
        assert any("lost the details of your picture" in said for said in warned) is lost


def test_what_a_browser_keeps_of_a_drag_that_runs_is_as_if_it_was_stopped(do, network, tmp_path):
    running = do.dragging.drag(clicked(do, drawn(do), (5, 6), (40, 30)), TAB, *SETTINGS)
    *_, (dragging, *_) = (next(running) for _ in range(2))
    path = tmp_path / "kept.draggan"
    path.write_bytes(base64.b64decode(Keep(network).safe(dragging, event("safe", details=None))["kept"]["session"]))
    session = last(do.start("tiny", 3, 0.7, 0, [str(path)], 1))[SESSION]
    assert (session.phase, session.steps) == ("stopped", dragging.steps)
    assert (session.film.seen, len(session.film.frames)) == (dragging.film.seen, 2), "the way is kept too"
    after, kept = (list(do.dragging.drag(s, TAB, *SETTINGS))[-1][0].latent for s in (dragging.stop(), session))
    assert torch.equal(after, kept)


def test_a_browser_keeps_a_long_way_in_few_frames(do, network, tmp_path, monkeypatch):
    session = list(do.dragging.drag(clicked(do, drawn(do), (5, 6), (40, 30)), TAB, *SETTINGS))[-1][0]
    monkeypatch.setattr("draggan.web.keep.SAFE_FRAMES", 3)
    back = kept_and_back(do, network, session, tmp_path / "kept.draggan")
    assert [(len(film.frames), film.seen) for film in (session.film, back.film)] == [(5, 5), (3, 5)]
    with pytest.raises(gr.Error, match="no way to show yet"):
        list(Keep(network).video(session.undo(), False))


def test_one_step_is_a_way_to_show(do, network, monkeypatch):
    monkeypatch.setattr("draggan.web.keep.encode_video", lambda *_: b"film")
    begun = clicked(do, drawn(do), (5, 6), (40, 30))
    *_, (session, *_) = do.dragging.drag(begun, TAB, "draggan", 0.02, 1, *SETTINGS[3:])
    assert taken(last(Keep(network).video(session, False))) == b"film"


def kept_and_back(do, network, session, path):
    path.write_bytes(base64.b64decode(Keep(network).safe(session, event("safe", details=None))["kept"]["session"]))
    return last(do.start("tiny", 3, 0.7, 0, [str(path)], 1))[SESSION]


def test_a_browser_keeps_what_can_be_undone_and_gone_back_to(do, network, tmp_path, monkeypatch):
    first = list(do.dragging.drag(clicked(do, drawn(do), (5, 6), (40, 30)), TAB, *SETTINGS))[-1][0]
    session = do.edit(clicked(do, first, (9, 9)), event("undo"))[0]
    back = kept_and_back(do, network, session, tmp_path / "kept.draggan")
    for step in (lambda s: s, lambda s: s.undo(), lambda s: s.undo().undo(), lambda s: s.redo()):
        assert torch.equal(step(back).latent, step(session).latent)
        assert (step(back).pairs, step(back).pending) == (step(session).pairs, step(session).pending)
    assert [shot.thumbnail for shot in back.shots] == [shot.thumbnail for shot in session.shots]
    for phase, most in (("dragging", "RUNNING_BYTES"), ("stopped", "RESTING_BYTES")):
        monkeypatch.setattr(f"draggan.web.keep.{most}", 0)
        back = kept_and_back(do, network, replace(session, phase=phase), tmp_path / "kept.draggan")
        assert (back.past, back.future, len(back.shots), back.latent.equal(session.latent)) == ((), (), 1, True)
        monkeypatch.undo()


def test_a_tab_behind_a_slow_line_is_sent_no_picture_that_would_be_old_when_it_comes(network, monkeypatch):
    slow, listeners = SimpleNamespace(session_hash="slow"), Listeners()
    monkeypatch.setattr(listeners, "behind", "slow".__eq__)
    monkeypatch.setattr(dragging, "FRAME_SECONDS", 0)
    do = Handlers(network, listeners)
    session = clicked(do, drawn(do), (5, 6), (40, 30))

    def steps_with_and_without_picture(tab):
        answers = [(after.steps, "image" in seen) for after, seen, *_ in do.dragging.drag(session, tab, *SETTINGS)]
        return [[step for step, drawn in answers if drawn is wanted] for wanted in (True, False)]

    numbers = [seen["marks"]["sent"][1] for _, seen, *_ in do.dragging.drag(session, TAB, *SETTINGS)]
    assert numbers == [*range(1, len(numbers) + 1)]
    most = steps_with_and_without_picture(TAB)[0][-1]
    assert most > 2
    assert steps_with_and_without_picture(slow) == [[most], [0, 1]]
    monkeypatch.setattr(dragging, "SILENT_SECONDS", 0)  # answers are also how the server learns that a tab has gone
    assert steps_with_and_without_picture(slow) == [[most], [*range(most)]]


def test_an_error_tells_no_user_where_files_lie_on_the_server(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    error = FileNotFoundError(f"no such file: {tmp_path}/0123abc/my own model.pkl")
    assert explained(error) == "no such file: my own model.pkl"
    with pytest.raises(gr.Error, match=r"^'no such file: mine.pkl'$"):
        tell(FileNotFoundError(f"no such file: {tmp_path}/0123abc/mine.pkl"))


def test_whoever_stops_gets_the_picture_of_the_last_step(do, network, generator, monkeypatch):
    monkeypatch.setattr(dragging, "FRAME_SECONDS", 0)
    steps = network.steps
    monkeypatch.setattr(network, "steps", lambda session: ((step, 1.0) for step, _ in steps(session)))
    monkeypatch.setattr(network, "timed", lambda work, *args: (work(*args), 100.0))
    running = do.dragging.drag(clicked(do, drawn(do), (5, 6), (40, 30)), TAB, *SETTINGS)
    shown = [next(running) for _ in range(4)]
    running.close()
    assert ["image" in canvas for _, canvas, *_ in shown] == [False, True, False, False], "frames are rare: they cost"
    [(_, stopped, canvas, *_)] = do.stop(shown[-1][0])
    assert (stopped.steps, stopped.phase) == (3, "stopped")
    expected = to_picture(generator.render(stopped.latent)).astype(int)
    assert np.abs(picture_in(canvas).astype(int) - expected).mean() < 8
    assert canvas["image"]["view"] == canvas["marks"]["view"]


def test_previews_are_coarser_where_pictures_take_long(do, network, monkeypatch):
    monkeypatch.setattr(dragging, "FRAME_SECONDS", 0)
    monkeypatch.setattr(dragging, "COARSEST", 16)
    asked, steps = [], network.steps

    class Watched:
        def __init__(self, step):
            self.step = step

        def __getattr__(self, name):
            return getattr(self.step, name)

        def image(self, resolution=None):
            asked.append(resolution)
            return self.step.image(resolution)

    monkeypatch.setattr(network, "steps", lambda session: ((Watched(step), 1000.0) for step, _ in steps(session)))
    slow, usual, fast = (dragging.SLOW * times for times in (1.1, 1, 0.2))
    for seconds, expected in (
        (usual, [64, 64, 64, None]),
        (slow, [64, 32, 16, None]),
        (usual, [16, 16, 16, None]),
        (fast, [16, 32, 64, None]),
    ):
        monkeypatch.setattr(network, "timed", lambda work, taken=seconds: (work(), taken))
        list(do.dragging.drag(clicked(do, drawn(do), (5, 6), (40, 30)), TAB, *SETTINGS))
        assert asked == expected
        asked.clear()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "Out of memory"),
        (RuntimeError("[..] DefaultCPUAllocator: can't allocate memory"), "Out of memory"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "nobody expected"),
    ],
)
def test_stop_without_a_picture_still_stops(error, said, do, generator, monkeypatch):
    dragging = replace(clicked(do, drawn(do), (5, 6), (40, 30)), phase="dragging")

    def failing(latent):
        raise error

    monkeypatch.setattr(generator, "render", failing)
    shown = []
    with pytest.raises(gr.Error, match=said):
        iter_all(do.stop(dragging), shown)
    assert shown[-1][1].phase == "stopped"


@pytest.mark.parametrize(("handles", "least"), [(1, 2), (turns.HANDLES, 1)])
def test_a_tab_waits_for_one_turn_of_each_other(handles, least, do, network, monkeypatch):
    """Turns that begin between the moment a tab asks for one and the moment it gets it."""
    line, waiting, overtaken = network._turns, turns._Waiting, []

    def counted(came, work, done):
        done.add_done_callback(lambda _: overtaken.append(line._turn - came - 1))
        return waiting(came, work, done)

    monkeypatch.setattr(turns, "HANDLES", handles)
    monkeypatch.setattr(turns, "_Waiting", counted)
    sessions = [clicked(do, last(do.start("tiny", seed, 1.0, 0))[SESSION], (5, 6), (40, 30)) for seed in range(5)]
    with ThreadPoolExecutor(max_workers=6) as tabs:
        drags = [tabs.submit(list, do.dragging.drag(session, TAB, *SETTINGS)) for session in sessions]
        drags.append(tabs.submit(lambda: [list(do.draw(sessions[0], seed, 0.7, 0)) for seed in range(10)]))
        assert all(drag.result() for drag in drags)
    assert least <= max(overtaken) <= 5, "each of the 5 others may have one turn before"


def test_models_are_loaded_beside_the_worker(do, network):
    loaded = []
    load = network._models.load

    def seen(name, device):
        loaded.append(threading.current_thread().name)
        return load(name, device)

    network._models.load = seen
    session = clicked(do, drawn(do), (5, 6), (40, 30))
    list(do.dragging.drag(session, TAB, *SETTINGS))
    iter_all(do.choose(session, "far", 4, 0.7), [])
    assert set(loaded) == {threading.current_thread().name}


def taken(update, what="file"):
    return base64.b64decode(update[what]["url"].partition(",")[2])


def test_what_one_takes_away_is_what_the_session_has(do, network, generator, monkeypatch, tmp_path):
    session, keep = (
        list(do.dragging.drag(clicked(do, drawn(do), (5, 6), (40, 30)), TAB, *SETTINGS))[-1][0],
        Keep(network),
    )
    session = replace(session, pairs=(DragPair(Point(20, 20), Point(40, 30), set_at=Point(5, 6)),))
    before, after = (to_picture(generator.render(latent)) for latent in (session.start, session.latent))
    dotted = with_points(before, session.set_at, session.targets), with_points(after, session.handles, session.targets)
    videos = []

    def encode_video(pictures, kind, comment):
        assert comment == facts(session)["Comment"]
        videos.append(pictures)
        return kind.encode()

    monkeypatch.setattr("draggan.web.keep.encode_video", encode_video)
    monkeypatch.setattr("draggan.web.keep.GIF_SIDE", 32)
    for points, (first, last) in ((False, (before, after)), (True, dotted)):
        pair = side_by_side(first, last)
        for update, expected in ((keep.picture(session, points), last), (keep.both(session, points), pair)):
            with Image.open(io.BytesIO(taken(update))) as file:
                assert np.array_equal(np.asarray(file), expected)
                assert file.text == facts(session)
        *_, drawn_last, end = keep.video(session, points)
        number = len(videos[-1])
        assert drawn_last["task"]["status"]["values"] == {"number": number, "all": number}
        assert (drawn_last["task"]["progress"], end["task"]["status"]) == (1, None)
        assert np.abs(videos[-1][0].astype(int) - first).mean() < 1, "kept in half precision"
        assert np.array_equal(videos[-1][-1], last)
        list(keep.gif(session, points))
        assert {picture.shape for picture in videos[-1]} == {(32, 32, 3)}
    for original, expected in ((True, before), (False, after)):
        with Image.open(io.BytesIO(taken(keep.copied(session, event("copied", original=original)), "copied"))) as file:
            assert np.array_equal(np.asarray(file), expected)
            assert file.text["Comment"].endswith("by dragging points") is not original
    own = replace(session, photo=object())
    assert facts(own)["Comment"].startswith("AI-edited")
    assert "dragging" not in facts(replace(own, latent=own.start))["Comment"], "reconstructed, and not dragged"
    for each in (session, drawn(do)):
        (tmp_path / "latent").write_bytes(taken(keep.latent(each)))
        with safe_open(tmp_path / "latent", "pt") as file:
            assert file.metadata() == facts(each)
            assert torch.equal(file.get_tensor("latent"), each.latent)
            assert torch.equal(file.get_tensor("start"), each.start)


def test_without_a_picture_everything_says_so(do, network, warned):
    keep, starts = Keep(network), Starts(network)
    for call in (
        lambda: list(do.draw(None, 1, 0.7, 0)),
        lambda: list(do.style(None, 1, 0.7, 0)),
        lambda: do.look(None, event("look", original=False)),
        lambda: keep.picture(None, False),
        lambda: keep.both(None, False),
        lambda: keep.copied(None, event("copied", original=False)),
        lambda: keep.latent(None),
        lambda: keep.pasted(None),
        lambda: keep.session(None),
        lambda: list(keep.video(None, False)),
        lambda: starts.seeds(None, 0.7, 0),
    ):
        with pytest.raises(gr.Error, match="no picture in this tab: wait for the first one, or reload the page"):
            call()
    assert do.edit(None, click(1, 2))[1]["answered"] == 7
    assert keep.safe(None, event("safe", details=None)) == gr.skip()
    assert list(do.dragging.drag(None, TAB, *SETTINGS)) == []
    assert list(do.open_file(None, "mine.pkl", 1, 0.7)) == []
    assert len(warned) == 3
    assert all("reload the page" in said for said in warned)
    assert list(do.stop(None)) == [7 * (gr.skip(),)]


def test_the_status_of_a_drag_counts_the_others(do):
    session = clicked(do, drawn(do), (5, 6), (40, 30))
    first, second, third = (do.dragging.drag(session, TAB, *SETTINGS) for _ in range(3))
    assert "too" not in spoken(next(first)[1])
    assert spoken(next(second)[1]).endswith("px to go. 1 other drag too: each waits its turn.")
    assert spoken(next(third)[1]).endswith("px to go. 2 others drag too: each waits its turn.")
    second.close()
    third.close()
    assert "too" not in spoken(next(first)[1])
    pull = event("live", **{"from": [5, 6]}, at=[40, 30], gesture=1)
    assert "1 other drag too" in spoken(next(do.dragging.live(drawn(do), pull, TAB, *SETTINGS))[1])


@pytest.mark.parametrize("handles", [1, turns.HANDLES])
def test_two_tabs_that_drag_at_once_get_what_each_gets_alone(handles, do, monkeypatch):
    monkeypatch.setattr(turns, "HANDLES", handles)
    first = clicked(do, drawn(do), (5, 6), (40, 30))
    second = clicked(do, last(do.start("tiny", 9, 1.0, 0))[SESSION], (50, 20), (10, 40))
    alone = [list(do.dragging.drag(s, TAB, *SETTINGS))[-1][0].latent for s in (first, second)]
    with ThreadPoolExecutor(max_workers=2) as tabs:
        together = list(tabs.map(lambda s: list(do.dragging.drag(s, TAB, *SETTINGS))[-1][0].latent, (first, second)))
    for a, b in zip(alone, together, strict=True):
        assert handles > 1 or torch.equal(a, b)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_what_was_painted_too_late_for_a_drag_does_not_stay(do):
    first, second, *_ = do.dragging.drag(clicked(do, drawn(do), (5, 6), (40, 30)), TAB, *SETTINGS)
    assert first[1]["paint"]["png"] is None
    assert "paint" not in second[1]


def test_masks_are_read_and_shown_to_the_engine(do):
    painted = np.zeros((64, 64), dtype=bool)
    painted[:30, 10:] = True
    session = do.edit(drawn(do), event("mask", png=png_of(painted)))[0]
    assert np.array_equal(session.mask, painted)
    assert do.edit(session, event("mask", png=None))[0].mask is None
    assert do.edit(session, event("mask", png=png_of(painted & False)))[0].mask is None
    assert np.array_equal(do.edit(session, event("reset"))[0].mask, painted)


@pytest.mark.parametrize("png", ["nonsense", "data:image/png;base64,AAAA", "data:image/png;base64," + "A" * 6_000_000])
def test_bad_masks_are_refused(png):
    with pytest.raises(ValueError, match="mask"):
        read_mask(png, (64, 64))


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"\(32, 32\) pixels, the picture \(64, 64\)"):
        read_mask(png_of(np.ones((32, 32), dtype=bool)), (64, 64))


def test_bad_input_is_told_and_loses_nothing(do, warned):
    session = drawn(do)
    assert do.edit(session, click(900, 1))[0] is session
    assert "outside the picture" in warned[0]
    for seed in (-1, 2**32):
        answers = []
        with pytest.raises(gr.Error, match=f"Seed is {seed}: give it a value from 0 to 4294967295"):
            iter_all(do.draw(session, seed, 0.7, 0), answers)
        assert answers[-1][0] is session
    for call, name in (
        (lambda: list(do.draw(session, None, 0.7, 0)), "Seed"),
        (lambda: list(do.draw(session, 1, None, 0)), "Truncation psi"),
        (lambda: list(do.style(session, None, 0.7, 0)), "Seed"),
        (lambda: list(do.choose(session, "far", None, 0.7)), "Seed"),
        (lambda: Starts(do._network).seeds(session, None, 0), "Truncation psi"),
        (lambda: list(do.example(session, (Start(1),), event("", index=0), TAB, None, 0, *SETTINGS)), "Truncation psi"),
    ):
        with pytest.raises(gr.Error, match=f"{name} is empty: give it a value"):
            call()
    running = do.dragging.drag(session, TAB, *SETTINGS)
    kept, canvas, *_ = next(running)
    assert kept is session
    with pytest.raises(gr.Error, match="nothing to drag yet"):
        next(running)
    assert canvas["marks"]["phase"] == "ready"


def test_out_of_memory_keeps_the_last_frame(do, monkeypatch):
    session = clicked(do, drawn(do), (5, 6), (40, 30))
    advanced, shown = Session.advance, []

    def failing(session, step, stuck=False):
        if any(now.steps for now, *_ in shown):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return advanced(session, step, stuck)

    monkeypatch.setattr(dragging, "FRAME_SECONDS", 0)
    monkeypatch.setattr(Session, "advance", failing)
    with pytest.raises(gr.Error, match=r"Out of memory\. Nothing is lost"):
        shown.extend(iter_all(do.dragging.drag(session, TAB, *SETTINGS), shown))
    assert shown[-1][0].phase == "stopped"
    assert shown[-1][0].pairs == session.pairs
    monkeypatch.undo()
    assert list(do.dragging.drag(shown[-1][0], TAB, *SETTINGS))[-1][0].phase == "limit"


def iter_all(running, into):
    for item in running:
        into.append(item)
    return []


def test_the_status_says_what_to_do_next(do):
    session = drawn(do)
    assert "Click a point" in str(status(session))
    assert "Now click the place" in str(status(clicked(do, session, (5, 6))))
    both = clicked(do, session, (5, 6), (5, 16))
    assert str(status(both)) == "1 point, 10 px to go. Add more, or press Drag it."
    assert "steps are used up" in str(status(list(do.dragging.drag(both, TAB, *SETTINGS))[-1][0]))
    assert "Arrived after 0 steps" in str(
        status(list(do.dragging.drag(clicked(do, session, (5, 6), (5, 6)), TAB, *SETTINGS))[-1][0])
    )
    assert "choose a smaller model" in str(explain(MemoryError()))
    assert "choose a smaller model" in explained(RuntimeError("[..] DefaultCPUAllocator: can't allocate memory"))
    assert "nobody expected" in explained(RuntimeError("shapes cannot be multiplied"))
    tried = [
        ("http://there/m.pkl", "/srv/models has only 1 MB"),
        ("/srv/models", "it changed: delete /srv/models/m.json"),
    ]
    said = explained(DownloadError(["m.pkl"], Path("/srv/models"), tried))
    assert "could not download m.pkl" in said
    assert "the folder of its models has only 1 MB" in said
    assert "delete m.json" in said
    assert "srv" not in said
    assert explained(ValueError("no such file: caf\udce9.png")) == r"no such file: caf\udce9.png"
    assert str(explain(ValueError("no {brace} is a figure"))) == "no {brace} is a figure"


def test_what_nobody_expected_is_told_too(do, warned, capsys):
    session = drawn(do)
    with pytest.raises(gr.Error, match=r"nobody expected.*log says more") as told:
        list(do.draw(session, [6], 0.7, 0))
    assert told.value.print_exception
    session_after, canvas, *_ = do.edit(session, event("move"))
    assert (session_after, canvas["answered"], canvas["paint"]["png"]) == (session, 7, None)
    assert "nobody expected" in warned[0]
    assert "AttributeError" in capsys.readouterr().err, "the traceback is in the log"


def test_errors_and_models_are_said_in_the_language_of_the_browser(do):
    session, said = drawn(do), CHINESE["{name} is empty: give it a value."].format(name=CHINESE["Seed"])
    for language, error, shows in (("zh-CN,zh;q=0.9", said, "\u732b"), ("en-US", "Seed is empty", ": cats, ")):
        asked = copy_context()
        asked.run(LocalContext.request.set, SimpleNamespace(headers={"accept-language": language}))
        with pytest.raises(gr.Error, match=error):
            asked.run(list, do.draw(session, None, 0.7, 0))
        labels = {name: label for label, name in asked.run(do.menu, "stylegan2-cat")["choices"]}
        assert shows in labels["stylegan2-cat"]
        assert labels["plush-256"].startswith("plush-256")


@pytest.mark.parametrize(
    ("read", "said", "why"),
    [
        (project.load, project.NO_SESSION, "it is another kind of safetensors file"),
        (checkpoint.read, checkpoint.NO_GENERATOR, "its metadata has no config: convert the original file again"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_chinese_too(tmp_path, read, said, why):
    save_file({"weight": torch.zeros(3)}, tmp_path / "a.file")
    asked = copy_context()
    asked.run(LocalContext.request.set, SimpleNamespace(headers={"accept-language": "zh-CN"}))
    with pytest.raises(ValueError, match=why) as told:
        read(tmp_path / "a.file")
    assert asked.run(explained, told.value) == CHINESE[said].format(file=tmp_path / "a.file", why=CHINESE[why])


@pytest.mark.parametrize("spec", models.MODELS, ids=lambda spec: spec.name)
def test_the_menu_says_what_a_model_takes_and_whether_it_may_be_used_commercially(spec):
    assert ("non-commercial" in str(label(spec))) == (not spec.licence.commercial)
    assert f" {spec.memory_mb} MB in memory" in str(label(spec))
    assert {label(spec).text, spec.shows} <= set(CHINESE)


def test_points_are_set_moved_and_removed_on_the_canvas(do, warned):
    session = do.edit(drawn(do), event("pair", at=[5, 6], to=[40, 30]))[0]
    for index, end, place in ((0, "handle", [7, 8]), (0, "target", [30, 31])):
        session, canvas, *_ = do.edit(session, event("move", index=index, end=end, at=place))
    assert (canvas["marks"]["handles"], canvas["marks"]["targets"]) == ([[7.0, 8.0]], [[30.0, 31.0]])
    assert do.edit(session, event("remove", index=0))[0].pairs == ()
    waiting = clicked(do, session, (50, 50))
    assert do.edit(waiting, event("drop"))[0].pending is None
    for wrong, message in (
        (event("remove", index=1), "no point number 2"),
        (event("move", index=0, end="handle", at=[64, 0]), "outside the picture"),
        (event("move", index=0, end="middle", at=[6, 0]), "'middle' is not one of"),
        (event("fold"), "nothing is known of 'fold'"),
    ):
        assert do.edit(session, wrong)[0] is session
        assert message in warned.pop()


def test_a_drag_with_nothing_left_to_do_is_nothing_to_undo(do):
    there = list(do.dragging.drag(clicked(do, drawn(do), (5, 6), (5, 6)), TAB, *SETTINGS))[-1][0]
    assert there.phase == "arrived"
    after = do.edit(clicked(do, there, (9, 9), (5, 30)), event("undo"))[0]
    again = list(do.dragging.drag(there, TAB, *SETTINGS))[-1][0]
    assert (again.phase, again.past) == ("arrived", there.past)
    assert after.future
    assert list(do.dragging.drag(after, TAB, *SETTINGS))[-1][0].past == after.past


def test_a_drag_of_as_many_steps_as_another_engines_before_can_be_undone(do):
    session = clicked(do, drawn(do), (5, 6), (40, 30))
    session = list(do.dragging.drag(session, TAB, "draggan", 0.02, 1, *SETTINGS[3:]))[-1][0]
    after = list(do.dragging.drag(session, TAB, "kinematics", 0.02, 1, *SETTINGS[3:]))[-1][0]
    assert after.steps == session.steps == 1
    assert after.undo().drag is session.drag
    there = list(do.dragging.drag(clicked(do, drawn(do), (5, 6), (5, 6)), TAB, *SETTINGS))[-1][0]
    after = list(do.dragging.drag(there, TAB, "kinematics", *SETTINGS[1:]))[-1][0]
    assert after.steps == there.steps == 0
    assert after.undo().drag is there.drag


def test_undo_and_redo_show_points_mask_and_picture(do, generator):
    painted = np.zeros((64, 64), dtype=bool)
    painted[:30, 10:] = True
    session = clicked(do, drawn(do), (5, 6), (40, 30))
    session = do.edit(session, event("mask", png=png_of(painted)))[0]
    after = list(do.dragging.drag(session, TAB, *SETTINGS))[-1][0]
    undone, canvas, _, _, undo, redo, *_ = do.edit(after, event("undo"))
    assert torch.equal(undone.latent, session.latent)
    assert (undo["interactive"], redo["interactive"]) == (True, True)
    expected = to_picture(generator.render(session.latent)).astype(int)
    assert np.abs(picture_in(do.look(undone, event("look", original=False))).astype(int) - expected).mean() < 8
    assert np.array_equal(read_mask(canvas["paint"]["png"], (64, 64)), painted)
    bare, canvas, *_ = do.edit(undone, event("undo"))
    assert canvas["paint"]["png"] is None
    masked, canvas, *_ = do.edit(bare, event("redo"))
    assert np.array_equal(read_mask(canvas["paint"]["png"], (64, 64)), painted)
    again = do.edit(masked, event("redo"))[0]
    assert torch.equal(again.latent, after.latent)
    assert again.handles == after.handles
    assert again.phase == "limit"


@pytest.mark.parametrize(
    ("why", "masked", "said"),
    [
        ("lost", True, "It no longer looks like itself"),
        ("mask", True, "What lies outside the mask may hold it"),
        ("other handles", True, "The points may pull against each other"),
        ("limit", True, "This model may go no further that way"),
        (None, True, "What lies outside the mask may hold it"),
        (None, False, "The points may pull against each other"),
    ],
)
def test_a_drag_that_is_given_up_says_what_holds_it_and_the_remedy_in_both_languages(do, why, masked, said):
    session = clicked(do, clicked(do, drawn(do), (5, 6), (40, 30)), (10, 20), (30, 30))
    session = replace(session, phase="stuck", why=why)
    text = status(session.with_mask(np.eye(*session.image_size) > 0) if masked else session).text
    assert said in text
    assert text in CHINESE


def test_what_is_not_known_of_two_models_does_not_make_them_the_same(do, network, tmp_path):
    session = new_session(network.generator("tiny"), "/srv/gone.pkl", 3, 0.7)
    project.save(tmp_path / "a.draggan", Project(session, ""))
    with pytest.raises(gr.Error, match=r"made with the model file gone\.pkl: open that file first"):
        list(do.open_session(drawn(do), str(tmp_path / "a.draggan")))


def test_a_session_of_another_network_under_the_name_of_the_tabs_model_is_refused(do, tmp_path):
    session = new_session(tiny_generator(16), "tiny", 3, 0.7)
    project.save(tmp_path / "a.draggan", Project(session, ""))
    now, answers = drawn(do), []
    with pytest.raises(gr.Error, match="made with another model than tiny is here"):
        answers.extend(do.open_session(now, str(tmp_path / "a.draggan")))
    assert any(part is now for part in answers[-1])


@pytest.mark.parametrize("engine", ENGINES)
def test_style_takes_the_layers_from_the_first_that_does_not_move(do, network, engine):
    session, generator = clicked(do, drawn(do), (5, 6), (40, 30)), network.generator("tiny")
    *_, (session, *_) = do.dragging.drag(session, TAB, engine, *SETTINGS[1:])
    moves = (session.latent != session.start).any(dim=2)[0].tolist()
    first = moves.index(False)
    assert not any(moves[first:])
    *_, (styled, *_) = do.style(session, 8, 0.7, 0)
    assert torch.equal(styled.latent[:, :first], session.latent[:, :first]), "all of the drag is left"
    assert torch.equal(styled.latent[:, first:], generator.latent(8, 0.7)[:, first:])
    *_, (same, *_) = do.style(styled, 8, 0.7, 0)
    assert same is styled
    assert len(same.shots) == len(styled.shots), "nothing new is kept"


def test_going_back_brings_the_mask_that_was_there(do):
    session = drawn(do)
    mask = np.zeros((64, 64), dtype=bool)
    mask[:30] = True
    masked = session.with_mask(mask)
    after = do.edit(masked, event("back", index=0))
    assert after[0].mask is None
    assert after[1]["paint"]["png"] is None, "the browser is told"


def test_what_comes_back_is_not_kept_twice(do, tmp_path):
    session = drawn(do)
    project.save(tmp_path / "a.draggan", Project(session, ""))
    *_, answer = do.open_session(session, str(tmp_path / "a.draggan"))
    opened = next(part for part in answer if hasattr(part, "shots"))
    assert len(opened.shots) == len(session.shots) == 1


def test_before_and_picture(do, network):
    picture = do.look(drawn(do), event("look", original=True))
    assert "original" not in do.look(drawn(do), event("look", original=False)), "it is drawn where it is asked for"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["original"]["url"].partition(",")[2]))))
    expected = to_picture(network.generator("tiny").render(network.generator("tiny").latent(3, 0.7)))
    assert np.abs(shown.astype(int) - expected).mean() < 8


def test_what_is_told_is_shown_as_text(monkeypatch):
    """A file of somebody else's could have the page fetch a picture from anywhere."""
    warned = []
    monkeypatch.setattr(gr, "Warning", warned.append)
    error = ValueError("open <img src='http://elsewhere/'> first")
    warn(error)
    with pytest.raises(gr.Error) as told:
        tell(error)
    assert [told.value.message, *warned] == 2 * ["open &lt;img src='http://elsewhere/'> first"]
