"""What the page says: where a session stands, and what an error means."""

import torch

from draggan.session import Session
from draggan.transfer import Progress


def status(session: Session, others: int = 0) -> str:
    """One line about where a session stands and what to do next. others: drags that run beside it."""
    if session.pending is not None:
        return "Now click the place where that point should go."
    if not session.pairs:
        return "Click a point of the picture, then the place where it should go."
    far = max(session.distances)
    match session.phase:
        case "dragging":
            return f"Step {session.steps}: {far:.1f} px to go{_turns(others)}"
        case "arrived":
            return f"Arrived after {session.steps} steps."
        case "limit":
            return f"Step {session.steps}, {far:.1f} px to go: the steps are used up. Continue goes on."
        case "stopped":
            return f"Stopped at step {session.steps}, {far:.1f} px to go. Continue goes on."
    points = "1 point" if len(session.pairs) == 1 else f"{len(session.pairs)} points"
    return f"{points}, {far:.0f} px to go. Add more, or press Drag it."


def waiting(before: int, most: int) -> str:
    """What a tab reads that has no place yet. before: how many tabs have to go first; most: places that there are."""
    places = "The only place is" if most == 1 else f"All {most} places are"
    line = "You are next" if before == 1 else f"{before - 1} before you wait too"
    return f"{places} taken. {line}: leave this tab open, it goes on by itself as soon as there is a place."


def _turns(others: int) -> str:
    if not others:
        return ""
    return f". {others} {'other drags' if others == 1 else 'others drag'} too: each waits its turn."


def explain(error: BaseException) -> str:
    """An error in words, with what to do about it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "Out of memory. Nothing is lost: choose a smaller model, or start again with --device cpu."
    return str(error)


def loading(model: str, progress: Progress) -> str:
    """How far the download of a model is."""
    note = f" ({progress.note})" if progress.note else ""
    if progress.phase == "waiting":
        return f"Waiting for {model}{note}"
    if progress.phase == "checking":
        return f"Checking {model} ..."
    come = f"{progress.received / 1e6:.0f} MB"
    if progress.total:
        come = f"{100 * progress.received // progress.total} % of {progress.total / 1e6:.0f} MB"
    return f"Downloading {model}: {come}{note}. Stop keeps what has come."
