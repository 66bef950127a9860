"""A picture of one's own on the page: framed on the canvas, reconstructed, and then edited as any other."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock
from weakref import WeakValueDictionary

import gradio as gr
import numpy as np

from draggan.geometry import Point
from draggan.inversion.faces import find_face
from draggan.inversion.invert import InversionConfig
from draggan.inversion.likeness import psnr
from draggan.inversion.perceptual import lpips
from draggan.inversion.photo import Photo
from draggan.inversion.picture import FACE, Crop, Picture, cut, read_picture, to_tensor, whole_crop
from draggan.inversion.reconstruct import reconstruct
from draggan.registry.models import shows_faces
from draggan.render import encode, side_by_side, thumbnail, to_picture, with_points
from draggan.session import Session, photo_session
from draggan.web import canvas, words
from draggan.web.answers import counted, free, must_be_idle, shortly, shown
from draggan.web.network import Network
from draggan.web.presence import Listeners
from draggan.web.telling import spoken, told, warn

EVERY = 4  # steps from one preview to the next
NEAREST = 0.1  # of the largest crop, the smallest


@dataclass(frozen=True, eq=False)
class Framing:
    """A picture that was sent, and the part of it that shall be used."""

    picture: Picture
    crop: Crop

    def moved(self, right: float, down: float, larger: float, turn: float, image_size: tuple[int, int]) -> "Framing":
        """The picture moved by pixels of the model's, enlarged, and turned by degrees. Its middle stays inside."""
        old, most = self.crop, whole_crop(self.picture.size, image_size).side
        side = min(max(old.side / larger, NEAREST * most), 2 * most)
        angle = math.radians(old.angle)
        scale = old.side / max(image_size)
        x = old.x - scale * (math.cos(angle) * right - math.sin(angle) * down)
        y = old.y - scale * (math.sin(angle) * right + math.cos(angle) * down)
        height, width = self.picture.size
        crop = Crop(min(max(x, 0), width - 1), min(max(y, 0), height - 1), side, (old.angle - turn + 180) % 360 - 180)
        return replace(self, crop=crop)


class Own:
    """The handlers for a picture of one's own."""

    def __init__(self, network: Network, listeners: Listeners) -> None:
        self._network = network
        self._listeners = listeners
        self._enough: WeakValueDictionary[str, Event] = WeakValueDictionary()  # by tab; each goes with what runs
        self._reading = Lock()  # a small file may take 2 GB while it is read

    @told
    def upload(self, session: Session, framing: Framing | None, path: str) -> Iterator[tuple]:
        """A file that the user sends, read and framed. -> framing, then what `_left` gives"""
        try:
            must_be_idle(session)
            yield framing, *shortly(session, words.Said("Reading your picture ...")), gr.skip(), gr.skip()
            with self._reading:
                picture = read_picture(Path(path))
            if picture.notes:
                gr.Info("; ".join(spoken(words.Said(note)) for note in picture.notes))
            sent = _begun(picture, session)
            yield sent, *_framed(replace(session, framing=True), sent)
        except Exception:
            if session is not None and not session.busy:
                yield framing, *shown(session), gr.skip(), gr.skip()
            raise

    def frame(self, session: Session, framing: Framing | None, event: gr.EventData) -> tuple:
        """The picture moved, enlarged or turned on the canvas, `again` from where it was at first; always answered.

        -> framing, canvas
        """
        if framing is None:
            return framing, gr.update(answered=event.number)
        if event.again:
            framing = _begun(framing.picture, session)
        right, down, larger, turn = (float(v) for v in (event.right, event.down, event.larger, event.turn))
        moved = framing.moved(right, down, larger, turn, session.image_size)
        return moved, canvas.update(session, words.status(session), _cut(session, moved), answered=event.number)

    @told
    def cancel(self, session: Session) -> tuple:
        """Back to the picture of before. -> framing, then what `_left` gives"""
        must_be_idle(session)
        return None, *_left(shown(replace(session, framing=False), repaint=True))

    @told
    def reconstruct(
        self, session: Session, framing: Framing | None, steps: float, tuning: bool, request: gr.Request
    ) -> Iterator[tuple]:
        """The latent that makes the framed picture, and with tuning the weights; then it is the tab's picture.

        -> framing, then what `_left` gives
        """
        if not free(session, must_be_idle):
            return
        if framing is None:
            raise ValueError("there is no picture to reconstruct: upload one first")
        busy = replace(session, loading=True)
        wanted = cut(framing.picture, framing.crop, session.image_size)
        original = to_picture(wanted)
        beginning = words.Said("Reconstructing: looking for a start ...")
        yield framing, *_left(_watched(busy, original, beginning))
        generator = self._network.generator(session.model)
        tab = str(request.session_hash)
        self._enough[tab] = enough = Event()
        line, best, config = self._listeners.line(tab), None, InversionConfig(steps=int(steps))
        run = reconstruct(generator, wanted, config, tuning)
        try:
            for coming in self._network.each(run):
                if coming is None:
                    yield 9 * (gr.skip(),)
                    continue
                best = coming
                if enough.is_set():
                    break
                if best.step.index % EVERY and not best.step.last:
                    continue
                if line.behind:
                    yield 9 * (gr.skip(),)
                else:
                    image, near = self._network.drawn(best.image), self._network.run(best.psnr)
                    both, said = side_by_side(original, image), words.reconstructing(best.step, near)
                    seen = counted(_watched(busy, both, said), line)
                    yield framing, *seen, gr.update(visible=False), gr.update(visible=True)
        except Exception as error:
            if best is None or not best.found.last:
                raise
            warn(error)  # tuning takes more memory than all before, which need not be lost
        assert best is not None, "a reconstruction yields at least one step"
        photo = Photo(framing.crop, original, self._network.beside(best.delta), framing.picture)
        session = replace(session, framing=False).redrawn(photo_session(generator, session.model, best.latent, photo))
        picture = self._network.picture(session)
        made = to_tensor(picture)
        said = words.reconstructed(psnr(made, wanted), self._network.run(lpips, made, wanted))
        session = session.keep(thumbnail(picture))
        yield None, *_left(shown(session, encode(picture, lossless=False), said, strip=True, repaint=True))

    def use(self, request: gr.Request) -> None:
        """Ends the tab's reconstruction at its next step: the best so far is used as a finished one."""
        if enough := self._enough.get(str(request.session_hash)):
            enough.set()

    def stopped(self, session: Session | None, framing: Framing | None) -> tuple:
        """After Stop or an error in a reconstruction: back to the framing. -> what `_left` gives"""
        if session is None or not session.framing or framing is None:
            return 8 * (gr.skip(),)
        return _framed(session.stop(), framing)


def _begun(picture: Picture, session: Session) -> Framing:
    """A picture as it is framed at first: for models of faces around the largest face, if it has one."""
    face = find_face(picture) if shows_faces(session.model) else None
    return Framing(picture, face or whole_crop(picture.size, session.image_size))


def _cut(session: Session, framing: Framing) -> bytes:
    """The framed part as a JPEG; for models of faces with marks where these have their eyes and mouth."""
    picture = to_picture(cut(framing.picture, framing.crop, session.image_size))
    if shows_faces(session.model):
        height, width = session.image_size
        places = [Point(x * width - 0.5, y * height - 0.5) for x, y in FACE]
        picture = with_points(picture, places, places)
    return encode(picture, lossless=False)


def _framed(session: Session, framing: Framing) -> tuple:
    """The picture in its frame. -> what `_left` gives"""
    return *shown(session, _cut(session, framing)), gr.update(visible=True), gr.update(visible=False)


def _watched(busy: Session, pictures: np.ndarray, said: words.Said) -> tuple:
    """The picture wanted, and beside it the one that there is by now. -> what `shown` gives"""
    session, _, *buttons = shown(busy)
    return session, canvas.beside(busy, encode(pictures, lossless=False), pictures.shape, said), *buttons


def _left(seen: tuple) -> tuple:
    """What `shown` gives, then the group of buttons for framing and the button for what runs, which go."""
    return *seen, gr.update(visible=False), gr.update(visible=False)
