"""What handlers answer: a session, what the canvas shows of it, and its buttons."""

from collections.abc import Callable
from dataclasses import replace

import gradio as gr

from draggan.render import encode, thumbnail
from draggan.session import Session
from draggan.web import canvas, words
from draggan.web.network import Network
from draggan.web.presence import Line
from draggan.web.telling import EXPECTED, must_be_here, warn


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
    idle = not session.busy and not session.framing
    return (
        session,
        marks,
        gr.update(value=words.say(label), interactive=idle),
        gr.update(interactive=session.busy),
        gr.update(interactive=bool(session.past) and idle),
        gr.update(interactive=bool(session.future) and idle),
    )


def kept(network: Network, session: Session) -> tuple:
    """A session whose picture is drawn, and kept to go back to. -> what `shown` gives"""
    picture = network.picture(session)
    return shown(session.keep(thumbnail(picture)), encode(picture, lossless=False), strip=True)


def shortly(session: Session, status: words.Said) -> tuple:
    """While something short is done to a session: nothing else begins, but the buttons stay as they are.

    -> what `shown` gives
    """
    busy = replace(session, loading=True)
    return busy, canvas.update(busy, status), *4 * [gr.skip()]


def counted(answer: tuple, line: Line) -> tuple:
    """What `shown` gives, as the next answer on a line: the tab tells when it is seen."""
    session, view, *buttons = answer
    return session, canvas.numbered(view, line.name, line.next()), *buttons


def must_be_idle(session: Session | None) -> None:
    """Raises ValueError where a tab has no picture, or something runs in it."""
    must_be_here(session)
    if session is not None and session.loading:  # of what loads or draws, not all can be stopped
        raise ValueError("something is running: wait for its end")
    if session is not None and session.busy:
        raise ValueError("something is running: wait for its end, or press Stop")


def must_be_free(session: Session | None) -> None:
    """Raises ValueError also where a picture of one's own is being framed."""
    must_be_idle(session)
    if session is not None and session.framing:
        raise ValueError("your picture is being framed: press Reconstruct or Cancel first")


def free(session: Session | None, must: Callable[[Session | None], None] = must_be_free) -> bool:
    """Whether something may begin in a tab; where not, the tab is told why.

    For what is stopped where it fails: what was not begun has not failed, and something else may run.
    """
    try:
        must(session)
    except EXPECTED as error:
        warn(error)
        return False
    return True
