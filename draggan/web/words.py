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
        case "stuck":
            return f"Step {session.steps}: {_stuck(session)}"
        case "stopped":
            return f"Stopped at step {session.steps}, {far:.1f} px to go. Continue goes on."
    points = "1 point" if len(session.pairs) == 1 else f"{len(session.pairs)} points"
    return f"{points}, {far:.0f} px to go. Add more, or press Drag it."


def _stuck(session: Session) -> str:
    """Why a drag was given up, as far as one can say."""
    far = [(distance, index) for index, distance in enumerate(session.distances, start=1)]
    distance, index = max(far)
    which = "the point" if len(far) == 1 else f"point {index}"
    if session.mask is not None:
        why = "what lies outside the mask may hold it: paint more, or lower the mask weight"
    elif len(far) > 1:
        why = "the points may pull against each other: move or remove one"
    else:
        why = "this model may go no further that way: choose a nearer target, or more moving layers"
    return f"{which} comes no nearer than {distance:.1f} px; {why}. Continue tries again."


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
