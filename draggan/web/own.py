"""A picture of one's own on the page: framed on the canvas, reconstructed, and then edited as any other."""

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import gradio as gr
import numpy as np
import torch

from draggan.delta import Delta
from draggan.geometry import Point
from draggan.invert import InversionConfig, invert, psnr
from draggan.photo import Photo
from draggan.picture import FACE, Crop, Picture, cut, read_picture, to_tensor, whole_crop
from draggan.render import encode, side_by_side, thumbnail, to_picture, with_points
from draggan.session import Session, photo_session
from draggan.tuning import tune
from draggan.web import canvas, words
from draggan.web.answers import must_be_free, shown
from draggan.web.network import Network
from draggan.web.telling import tell, told

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
        framing = Framing(picture, whole_crop(picture.size, session.image_size))
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

    def reconstruct(self, session: Session, framing: Framing | None, steps: float, tuning: bool) -> Iterator[tuple]:
        """The latent that makes the framed picture, and with tuning the weights; then it is the tab's picture.

        -> framing, then what `_left` gives
        """
        try:
            must_be_free(session)
            if framing is None:
                raise ValueError("there is no picture to reconstruct: upload one first")
            wanted = cut(framing.picture, framing.crop, session.image_size)
            original, generator = to_picture(wanted), self._network.generator(session.model)
            busy = replace(session, phase="loading")
            step, delta = None, None
            config = InversionConfig(steps=int(steps))
            for step in self._network.each(invert(generator, wanted, config, self._network.surveys.get(generator))):
                if step.index % EVERY == 0 or step.last:
                    image, near = self._network.run(step.image), self._network.run(step.psnr)
                    yield framing, *_watched(busy, original, image, words.reconstructing(step.index, step.total, near))
            assert step is not None, "an inversion yields at least one step"
            self._network.surveys[generator] = step.survey
            if tuning:
                delta = yield from self._tuned(busy, framing, original, wanted, step.latent)
            photo = Photo(framing.crop, original, delta, framing.picture)
            fresh = photo_session(generator, session.model, step.latent, photo)
            session = session.redrawn(fresh)
            picture = self._network.picture(session)
            near = psnr(to_tensor(picture), wanted)
            seen = shown(
                session.keep(thumbnail(picture)),
                encode(picture, lossless=False),
                words.reconstructed(near),
                strip=True,
                repaint=True,
            )
            yield None, *_left(seen)
        except Exception as error:
            yield framing, *_left(shown(session))
            tell(error)

    def _tuned(
        self, busy: Session, framing: Framing, original: np.ndarray, wanted: torch.Tensor, latent: torch.Tensor
    ) -> Generator[tuple, None, Delta]:
        """The changes of the weights that bring back what no latent makes: returned after the last yield."""
        tuned = None
        for tuned in self._network.each(tune(self._network.generator(busy.model), latent, wanted)):
            if tuned.index % EVERY == 0 or tuned.last:
                said = words.tuning(tuned.index, tuned.total, tuned.psnr)
                yield framing, *_watched(busy, original, tuned.image(), said)
        assert tuned is not None, "a tuning yields at least one step"
        return tuned.delta()


def _cut(session: Session, framing: Framing) -> bytes:
    """The framed part as a JPEG; for models of faces with marks where these have their eyes and mouth."""
    picture = to_picture(cut(framing.picture, framing.crop, session.image_size))
    if "ffhq" in session.model.lower():
        height, width = session.image_size
        places = [Point(x * width - 0.5, y * height - 0.5) for x, y in FACE]
        picture = with_points(picture, places, places)
    return encode(picture, lossless=False)


def _framed(session: Session, framing: Framing) -> tuple:
    """-> canvas, then the group of buttons for framing"""
    return canvas.framing(session, _cut(session, framing)), gr.update(visible=True)


def _watched(busy: Session, original: np.ndarray, image: torch.Tensor, said: words.Said) -> tuple:
    """The picture wanted beside the one that there is by now. -> what `_left` gives"""
    both = side_by_side(original, to_picture(image))
    session, _, *buttons = shown(busy)
    return (
        session,
        canvas.beside(busy, encode(both, lossless=False), both.shape, said),
        *buttons,
        gr.update(visible=True),
    )


def _left(seen: tuple) -> tuple:
    """What `shown` gives, then the group of buttons for framing, which goes."""
    return *seen, gr.update(visible=False)
