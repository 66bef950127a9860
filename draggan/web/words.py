"""What the page says: where a session stands, and what an error means."""

import torch

from draggan.session import Session
from draggan.transfer import Progress


def status(session: Session) -> str:
    """One line about where a session stands and what to do next."""
    if session.pending is not None:
        return "Now click the place where that point should go."
    if not session.pairs:
        return "Click a point of the picture, then the place where it should go."
    far = max(session.distances)
    match session.phase:
        case "dragging":
            return f"Step {session.steps}: {far:.1f} px to go"
        case "arrived":
            return f"Arrived after {session.steps} steps."
        case "limit":
            return f"Step {session.steps}, {far:.1f} px to go: the steps are used up. Continue goes on."
        case "stopped":
            return f"Stopped at step {session.steps}, {far:.1f} px to go. Continue goes on."
    points = "1 point" if len(session.pairs) == 1 else f"{len(session.pairs)} points"
    return f"{points}, {far:.0f} px to go. Add more, or press Drag it."


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
