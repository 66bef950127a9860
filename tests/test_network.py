"""A device that is for one thread: whatever the page does, the worker alone uses it."""

import base64
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from draggan import render
from draggan.geometry import DragPair, Point
from draggan.inversion.photo import Photo
from draggan.session import photo_session
from draggan.stylegan2.delta import Delta
from draggan.web import dragging, network, starts, words
from draggan.web.handlers import Handlers
from draggan.web.keep import Keep
from draggan.web.network import Network
from draggan.web.own import Own
from draggan.web.presence import Listeners
from draggan.web.sent import FOLDER
from draggan.web.starts import Start, Starts
from tests.networks import tiny_config, tiny_generator
from tests.shelf import Shelf

PAPER = ("draggan", 0.02, 3, "w_plus", 6, 128, 3, 12, 20.0, 0, "auto")  # as the controls of the page show them
FAST = ("kinematics", *PAPER[1:])
LOW = (*FAST[:-1], "bf16")
TAB = SimpleNamespace(session_hash="a")  # of a request
FACTS = ("__get__", "__len__", "size", "dim", "numel", "is_contiguous", "is_floating_point", "_is_view")
used: set[str] = set()  # threads that have used the device


class Placed(Tensor):
    """A tensor on a device that notices who uses it. So is all that is computed from it, until it comes to the CPU."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func.__name__ not in FACTS:  # those do not ask the device
            used.add(threading.current_thread().name)
        found = super().__torch_function__(func, types, args, kwargs or {})
        return found.as_subclass(Tensor) if func is Tensor.cpu else found


class Store(Shelf):
    """Loads onto that device, anew each time."""

    def load(self, name, device="auto"):
        used.add(threading.current_thread().name)
        generator = super().load(name)
        for module in generator.modules():
            for key, tensor in module._buffers.items():
                module._buffers[key] = tensor.as_subclass(Placed)
        return generator


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The handlers of a page, a session with points, one with a way, and one of a picture of one's own."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (network, render):
            patched.setattr(module, "ONE_THREAD", ("cpu",))
        patched.setattr(dragging, "FRAME_SECONDS", 0)
        patched.setattr(starts, "SEEDS", 2)
        model = tiny_generator(32)
        here = Network(Store(model, {"far": tiny_generator(32, seed=1)}), "cpu")
        here.rehearse("tiny").result()
        do, own, photo = (
            Handlers(here, Listeners()),
            Own(here, Listeners()),
            tmp_path_factory.mktemp("photo") / "photo.png",
        )
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (90, 120, 3), dtype=np.uint8)).save(photo)
        with_points = here.draw("tiny", 3, 0.7).add(DragPair(Point(5, 6), Point(20, 16)))
        *_, (way, *_) = do.dragging.drag(with_points, TAB, *FAST)
        *_, (framing, framed, *_) = own.upload(with_points, None, str(photo))
        delta = Delta({"synthesis.b32.conv1.weight": torch.ones(8, 8, 3, 3).half()})
        own_picture = Photo(framing.crop, here.picture(way), delta, framing.picture)
        mine = photo_session(model, "tiny", way.latent, own_picture)
        handlers = {"network": here, "do": do, "own": own, "keep": Keep(here), "starts": Starts(here)}
        sessions = {"session": with_points, "way": way, "framing": framing, "framed": framed, "mine": mine}
        yield SimpleNamespace(**handlers, **sessions)


def opened(page, tmp_path):
    path = tmp_path / "a.draggan"
    path.write_bytes(base64.b64decode(page.keep.session(page.mine)["file"]["url"].partition(",")[2]))
    return page.do.open_session(page.session, str(path))


def pulled(page, _):
    pull = SimpleNamespace(kind="live", **{"from": [9, 9], "at": [20, 20], "gesture": 1})
    running = page.do.dragging.live(page.session, pull, TAB, *FAST)
    yield from (next(running) for _ in range(3))
    page.do.dragging.aim(SimpleNamespace(at=[16, 20], gesture=1, done=True), TAB)
    yield from running


def undone(page, _):
    """Back to a picture of another model."""
    *_, (_, _, far, *_) = page.do.choose(page.session, "far", 4, 0.7)
    return page.do.edit(far, SimpleNamespace(kind="undo", number=7))


def stopped(page, _):
    running = page.do.dragging.drag(page.session, TAB, *FAST)
    session = [next(running)[0] for _ in range(2)][-1]
    running.close()
    return page.do.stop(session)


WAYS = {
    "drag": lambda page, _: page.do.dragging.drag(page.session, TAB, *FAST),
    "drag of the paper": lambda page, _: page.do.dragging.drag(page.session, TAB, *PAPER),
    "drag in another precision": lambda page, _: page.do.dragging.drag(page.mine.add(page.session.pairs[0]), TAB, *LOW),
    "live": pulled,
    "stop": stopped,
    "start": lambda page, _: page.do.start("tiny", 4, 0.7, 0),
    "new picture": lambda page, _: page.do.draw(page.session, 5, 0.7, 0),
    "style": lambda page, _: page.do.style(page.session, 6, 0.7, 0),
    "another model": lambda page, _: page.do.choose(page.session, "far", 4, 0.7),
    "undo": undone,
    "look": lambda page, _: page.do.look(page.mine, SimpleNamespace(original=True)),
    "example": lambda page, _: page.do.example(
        page.session, (Start(1, page.session.pairs),), SimpleNamespace(index=0), TAB, 0.7, 0, *FAST
    ),
    "examples": lambda page, _: page.starts.examples(),
    "seeds": lambda page, _: page.starts.seeds(page.session, 0.7, 0),
    "reconstruct": lambda page, _: page.own.reconstruct(page.framed, page.framing, 10, True, TAB),
    "session": opened,
    "picture": lambda page, _: page.keep.picture(page.mine, True),
    "before and after": lambda page, _: page.keep.both(page.way, False),
    "latent": lambda page, _: page.keep.latent(page.way),
    "pasted": lambda page, _: page.keep.pasted(page.mine),
    "kept by the browser": lambda page, _: page.keep.safe(page.mine, SimpleNamespace(details=None)),
    "video": lambda page, _: page.keep.video(page.way, False),
    "gif": lambda page, _: page.keep.gif(page.way, True),
    "rehearsal": lambda page, _: page.network.rehearse("far").result(),
}


@pytest.mark.parametrize("way", WAYS)
def test_only_the_worker_uses_a_device_that_is_for_one_thread(page, tmp_path, way):
    used.clear()
    done = WAYS[way](page, tmp_path)
    if hasattr(done, "__next__"):
        assert list(done)
    page.network.run(lambda: None)
    assert {"network_0"} >= used


def test_who_watches_the_device_sees_who_uses_it(page):
    used.clear()
    assert not torch.equal(page.network.generator("tiny").render(page.session.latent), torch.zeros(()))
    assert {"network_0", threading.current_thread().name} == used


@pytest.mark.parametrize(("what", "most"), [("LARGEST_SIDE", 63), ("MOST_PRODUCTS", 1000)])
def test_a_model_that_is_sent_may_not_keep_all_others_waiting(what, most, tmp_path, monkeypatch):
    """One of 164 MB took the worker for two minutes a picture; one of 700 MB, of 8192 pixels a side, 4 GB."""
    models = Network(Shelf(tiny_generator(64)), "cpu")
    sent, own = str(tmp_path / "sent" / "hash" / "mine.pkl"), str(tmp_path / "mine.pkl")
    for path in map(Path, (sent, own)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setenv(FOLDER, str(tmp_path / "sent"))
    models.generator(sent)
    monkeypatch.setattr(network, what, most)
    with pytest.raises(ValueError, match="is too large to be sent") as refused:
        models.generator(sent)
    assert "mine.pkl is too large to be sent (64 x 64)" in str(words.explain(refused.value))
    models.generator(own)


def test_what_a_picture_costs_is_known():
    assert tiny_config(16).products == 9 * 8 * 8 * (16 + 2 * 64 + 2 * 256)
