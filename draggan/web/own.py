"""A picture of one's own on the page: framed on the canvas, reconstructed, and then edited as any other."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from weakref import WeakValueDictionary

import gradio as gr
import numpy as np
import torch

from draggan.faces import find_face
from draggan.geometry import Point
from draggan.invert import InversionConfig, psnr
from draggan.models import shows_faces
from draggan.perceptual import lpips
from draggan.photo import Photo
from draggan.picture import FACE, Crop, Picture, cut, read_picture, to_tensor, whole_crop
from draggan.reconstruct import reconstruct
from draggan.render import encode, side_by_side, thumbnail, to_picture, with_points
from draggan.session import Session, photo_session
from draggan.web import canvas, words
from draggan.web.answers import must_be_free, shown
from draggan.web.network import Network
from draggan.web.telling import told

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

    def __init__(self, network: Network) -> None:
        self._network = network
        self._enough: WeakValueDictionary[str, Event] = WeakValueDictionary()  # by tab; each goes with what runs

    @told
    def upload(self, session: Session, path: str) -> tuple:
        """A file that the user sends, read and deleted. -> framing, then what `_framed` gives"""
        must_be_free(session)
        try:
            picture = read_picture(Path(path))
        finally:
            Path(path).unlink(missing_ok=True)
        if picture.notes:
            gr.Info("; ".join(picture.notes))
        face = find_face(picture) if shows_faces(session.model) else None
        framing = Framing(picture, face or whole_crop(picture.size, session.image_size))
        return framing, *_framed(session, framing)

    def frame(self, session: Session, framing: Framing | None, event: gr.EventData) -> tuple:
        """The picture moved, enlarged or turned on the canvas; always answered. -> framing, canvas"""
        if framing is None:
            return framing, gr.update(answered=event.number)
        right, down, larger, turn = (float(v) for v in (event.right, event.down, event.larger, event.turn))
        moved = framing.moved(right, down, larger, turn, session.image_size)
        return moved, canvas.framing(session, _cut(session, moved), event.number)

    def cancel(self, session: Session) -> tuple:
        """Back to the picture of before. -> framing, then what `_left` gives"""
        return None, *_left(shown(session))

    @told
    def reconstruct(
        self, session: Session, framing: Framing | None, steps: float, tuning: bool, request: gr.Request
    ) -> Iterator[tuple]:
        """The latent that makes the framed picture, and with tuning the weights; then it is the tab's picture.

        -> framing, then what `_left` gives
        """
        must_be_free(session)
        if framing is None:
            raise ValueError("there is no picture to reconstruct: upload one first")
        wanted = cut(framing.picture, framing.crop, session.image_size)
        original, generator = to_picture(wanted), self._network.generator(session.model)
        busy = replace(session, phase="loading")
        self._enough[str(request.session_hash)] = enough = Event()
        best, config = None, InversionConfig(steps=int(steps))
        run = reconstruct(generator, wanted, config, self._network.surveys.get(generator), tuning)
        for best in self._network.each(run):
            if enough.is_set():
                break
            if best.step.index % EVERY == 0 or best.step.last:
                image, near = self._network.run(best.image), self._network.run(best.psnr)
                yield framing, *_watched(busy, original, image, words.reconstructing(best.step, near))
        assert best is not None, "a reconstruction yields at least one step"
        self._network.surveys[generator] = best.found.survey
        photo = Photo(framing.crop, original, best.delta(), framing.picture)
        session = session.redrawn(photo_session(generator, session.model, best.latent, photo))
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
        if session is None:
            return 8 * (gr.skip(),)
        stopped, view, *buttons = shown(session.stop())
        if framing is None:
            return _left((stopped, view, *buttons))
        view, *groups = _framed(stopped, framing)
        return stopped, view, *buttons, *groups


def _cut(session: Session, framing: Framing) -> bytes:
    """The framed part as a JPEG; for models of faces with marks where these have their eyes and mouth."""
    picture = to_picture(cut(framing.picture, framing.crop, session.image_size))
    if shows_faces(session.model):
        height, width = session.image_size
        places = [Point(x * width - 0.5, y * height - 0.5) for x, y in FACE]
        picture = with_points(picture, places, places)
    return encode(picture, lossless=False)


def _framed(session: Session, framing: Framing) -> tuple:
    """-> canvas, the group of buttons for framing, and the button for what runs"""
    return canvas.framing(session, _cut(session, framing)), gr.update(visible=True), gr.update(visible=False)


def _watched(busy: Session, original: np.ndarray, image: torch.Tensor, said: words.Said) -> tuple:
    """The picture wanted beside the one that there is by now. -> what `_left` gives"""
    both = side_by_side(original, to_picture(image))
    session, _, *buttons = shown(busy)
    view = canvas.beside(busy, encode(both, lossless=False), both.shape, said)
    return session, view, *buttons, gr.update(visible=False), gr.update(visible=True)


def _left(seen: tuple) -> tuple:
    """What `shown` gives, then the group of buttons for framing and the button for what runs, which go."""
    return *seen, gr.update(visible=False), gr.update(visible=False)
