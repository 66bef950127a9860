"""What handlers answer: a session, what the canvas shows of it, and its buttons."""

import gradio as gr

from draggan.render import encode, thumbnail
from draggan.session import Session
from draggan.web import canvas, words
from draggan.web.network import Network
from draggan.web.telling import must_be_here


def shown(
    session: Session,
    frame: bytes | None = None,
    status: words.Said | None = None,
    progress: float | None = None,
    repaint: bool = False,
    answered: int | None = None,
    strip: bool = False,
) -> tuple:
    """-> session, canvas, then the buttons to drag, stop, undo and redo"""
    marks = canvas.update(session, status or words.status(session), frame, progress, repaint, answered, strip)
    label = "Continue" if session.phase in ("stopped", "limit", "stuck") else "Drag it"
    return (
        session,
        marks,
        gr.update(value=words.say(label), interactive=not session.busy),
        gr.update(interactive=session.busy),
        gr.update(interactive=bool(session.past) and not session.busy),
        gr.update(interactive=bool(session.future) and not session.busy),
    )


def kept(network: Network, session: Session) -> tuple:
    """A session whose picture is drawn, and kept to go back to. -> what `shown` gives"""
    picture = network.picture(session)
    return shown(session.keep(thumbnail(picture)), encode(picture, lossless=False), strip=True)


def must_be_free(session: Session | None) -> None:
    """Raises ValueError where a tab has no picture, or something runs in it."""
    must_be_here(session)
    if session is not None and session.busy:
        raise ValueError("something is running: press Stop first")
