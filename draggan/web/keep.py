"""Files that a user takes away: the picture, before and after, a video of the way, the latent."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import safetensors.torch
from PIL import Image
from torch import Tensor

from draggan.facts import facts
from draggan.film import Film, Frame
from draggan.inversion.paste import paste
from draggan.project import Project, pack, pack_details
from draggan.render import encode, encode_video, side_by_side, with_points
from draggan.session import Session
from draggan.web import canvas
from draggan.web.network import Network
from draggan.web.telling import must_be_here, told
from draggan.web.words import Said

SAFE_FRAMES = 16  # of the way that a browser keeps: it has 5 MB for all of a session
GIF_SIDE = 512  # pixels; a GIF of a larger picture would take hundreds of megabytes
SAFE_BYTES = 48 << 20  # of a whole picture that a browser keeps: 16 million pixels
RESTING_BYTES, RUNNING_BYTES = 2 << 20, 256 << 10  # of a session with its history: what it keeps, and while a drag runs
KINDS = {"mp4": "video/mp4", "gif": "image/gif"}


class Keep:
    """The handlers of the page's buttons for saving. Each yields what the canvas shows, the last time the file."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @told
    def picture(self, session: Session, points: bool) -> dict[str, Any]:
        """The picture as a PNG, without points unless they are asked for."""
        must_be_here(session)
        picture = self._dotted(session, self._network.picture(session), points)
        return canvas.file(_name(session, "png"), "image/png", encode(picture, facts(session), lossless=True))

    @told
    def copied(self, session: Session, event: gr.EventData) -> dict[str, Any]:
        """The picture as the canvas shows it, as it is or what it is compared to, for the clipboard."""
        must_be_here(session)
        if event.original and session.photo:
            return canvas.copied(encode(session.photo.shown, lossless=True))
        shown = replace(session, latent=session.start) if event.original else session
        return canvas.copied(encode(self._network.picture(shown), facts(shown), lossless=True))

    @told
    def both(self, session: Session, points: bool) -> dict[str, Any]:
        """The picture as it was drawn, or one's own, and as it is now, side by side."""
        must_be_here(session)
        before = self._network.original(session)
        if points:
            before = with_points(before, session.set_at, session.targets)
        pair = side_by_side(before, self._dotted(session, self._network.picture(session), points))
        return canvas.file(
            _name(session, "png", "before-after"), "image/png", encode(pair, facts(session), lossless=True)
        )

    @told
    def latent(self, session: Session) -> dict[str, Any]:
        """The latent now and as drawn, as safetensors with what they belong to."""
        must_be_here(session)
        tensors = {"latent": session.latent.clone(), "start": session.start.clone()}
        raw = safetensors.torch.save(tensors, metadata=facts(session))
        return canvas.file(_name(session, "safetensors"), "application/octet-stream", raw)

    @told
    def pasted(self, session: Session) -> dict[str, Any]:
        """The whole picture of one's own with the edit in it, as a PNG; where nothing changed its own pixels."""
        must_be_here(session)
        photo = session.photo
        if photo is None:
            raise ValueError("there is no picture to paste into: upload one under Your picture first")
        if photo.picture is None:
            raise ValueError(
                "this session does not have the whole picture: press Session, then use draggan drag --session FILE "
                "--paste-into PICTURE"
            )
        render = self._network.generator_of(session).render
        pictures = (self._network.run(render, latent) for latent in (session.start, session.latent))
        before, after = (self._network.beside(Tensor.cpu, picture) for picture in pictures)
        whole = paste(photo.picture, photo.crop, photo.shown, before, after)
        return canvas.file(_name(session, "png", "pasted"), "image/png", encode(whole, facts(session), lossless=True))

    @told
    def session(self, session: Session) -> dict[str, Any]:
        """All of it as a file that `Open a session` and `draggan drag --session` read."""
        must_be_here(session)
        raw = pack(Project(session, self._network.sha256(session.model)))
        return canvas.file(_name(session, "draggan"), "application/octet-stream", raw)

    def safe(self, session: Session, event: gr.EventData) -> dict[str, Any]:
        """What the browser keeps of a session, in case that the page is loaded or the server started again.

        The details of a picture of one's own and the whole picture, many megabytes, apart: where `event.details` is not
        what they are called. A picture of more than SAFE_BYTES is not kept, nor, in the history, others of one's own
        and ways. While a drag runs, which is kept again every few seconds, a long history waits for its end.
        """
        if session is None:
            return gr.skip()
        own = photo = session.photo
        if photo and photo.picture and photo.picture.pixels.nbytes > SAFE_BYTES:
            photo = replace(photo, picture=None)
        light = photo and replace(photo, picture=None, delta=None)
        small = session.stop().throughout(
            lambda s: replace(s, film=Film(), photo=s.photo and light), lambda s: s.photo in (None, own)
        )
        small, digest = replace(small, film=session.film.thinned(SAFE_FRAMES)), self._network.sha256(session.model)
        raw = pack(Project(small, digest))
        if len(raw) > (RUNNING_BYTES if session.busy else RESTING_BYTES):
            raw = pack(Project(replace(small, past=(), future=(), shots=()), digest))
        if photo is None or photo.details is None:
            return canvas.safe(raw)
        return canvas.safe(raw, photo.details, None if photo.details == event.details else pack_details(photo))

    @told
    def video(self, session: Session, points: bool) -> Iterator[dict[str, Any]]:
        """The way from the start to the picture now as MP4."""
        yield from self._film(session, points, "mp4", lambda picture: picture)

    @told
    def gif(self, session: Session, points: bool) -> Iterator[dict[str, Any]]:
        """The same as GIF, at most 512 pixels large."""
        yield from self._film(session, points, "gif", _small)

    def _film(
        self, session: Session, points: bool, kind: str, fit: Callable[[np.ndarray], np.ndarray]
    ) -> Iterator[dict[str, Any]]:
        must_be_here(session)
        if session.film.seen < 2:
            raise ValueError("there is no way to show yet: drag the picture first")
        end = Frame(session.latent, session.handles, session.targets)
        frames, pictures = session.film.way(session.start, end), []
        for index, frame in enumerate(frames):
            picture = self._network.picture(session, frame.latent(session.start))
            pictures.append(fit(with_points(picture, frame.handles, frame.targets) if points else picture))
            said = Said("Drawing frame {number} of {all} ...", {"number": index + 1, "all": len(frames)})
            yield canvas.task(said, (index + 1) / len(frames))
        raw = encode_video(pictures, f".{kind}", facts(session)["Comment"])
        yield canvas.task(None) | canvas.file(_name(session, kind), KINDS[kind], raw)

    def _dotted(self, session: Session, picture: np.ndarray, points: bool) -> np.ndarray:
        return with_points(picture, session.handles, session.targets) if points else picture


def _small(picture: np.ndarray) -> np.ndarray:
    small = Image.fromarray(picture)
    small.thumbnail((GIF_SIDE, GIF_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(small)


def _name(session: Session, kind: str, what: str = "") -> str:
    stem = f"{Path(session.model).stem}-seed{session.seed}-step{session.steps}"
    return f"{stem}{what and '-'}{what}.{kind}"
