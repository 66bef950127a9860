"""What the page says: where a session stands, and what an error means."""

import os
from pathlib import Path
from typing import Any

from gradio.i18n import I18nData

from draggan.engine.steps import Stuck
from draggan.inversion.invert import InversionStep
from draggan.inversion.tuning import TuningStep
from draggan.registry.download import DownloadError
from draggan.registry.table import ModelSpec
from draggan.registry.transfer import Progress
from draggan.session import Session
from draggan.stylegan2.said import Said
from draggan.stylegan2.shortage import out_of_memory

CLOSE, VERY_CLOSE = 28, 34  # dB
ADVICE: dict[Stuck, str] = {
    "lost": "It no longer looks like itself: take it elsewhere, or choose a nearer target.",
    "mask": "What lies outside the mask may hold it: paint more, or lower the mask weight.",
    "other handles": "The points may pull against each other: move or remove one.",
    "limit": "This model may go no further that way: choose a nearer target.",
}


def say(text: str) -> Any:
    """A text that the browser shows in its own language, for components of the page."""
    return I18nData(text)


def status(session: Session, others: int = 0) -> Said:
    """One line about where a session stands and what to do next. others: drags that run beside it."""
    if session.framing:
        return Said(
            "Move your picture, enlarge it with the wheel, turn it with Shift and the wheel; then press Reconstruct."
        )
    if session.pending is not None:
        return Said("Now click the place where that point should go.")
    if not session.pairs:
        return Said("Click a point of the picture, then the place where it should go.")
    farthest, point = max((distance, number) for number, distance in enumerate(session.distances, start=1))
    values = {"step": session.steps, "far": f"{farthest:.1f}"}
    match session.phase:
        case "dragging":
            going = "Step {step}: {far} px to go"
            if others == 1:
                return Said(going + ". 1 other drag too: each waits its turn.", values)
            return Said(
                going + ". {others} others drag too: each waits its turn." if others else going,
                values | {"others": others},
            )
        case "arrived":
            return Said("Arrived after {step} steps. To go on, move a target or add a point.", values)
        case "limit":
            return Said("Step {step}, {far} px to go: the steps are used up. Continue goes on.", values)
        case "stuck":
            nearer = "Step {step}: point {point} comes no nearer than {far} px. "
            return Said(f"{nearer}{_advice(session)} Continue tries again.", values | {"point": point})
        case "stopped":
            return Said("Stopped at step {step}, {far} px to go. Continue goes on.", values)
    points = "1 point" if len(session.pairs) == 1 else "{points} points"
    values = {"points": len(session.pairs), "far": f"{farthest:.0f}"}
    return Said(points + ", {far} px to go. Add more, or press Drag it.", values)


def _advice(session: Session) -> str:
    """What may hold a drag that was given up, as far as one can say, and what to do."""
    guessed: Stuck = "mask" if session.mask is not None else "other handles" if len(session.pairs) > 1 else "limit"
    return ADVICE[session.why or guessed]


def reconstructing(step: InversionStep | TuningStep, near: float) -> Said:
    """How far a reconstruction is. near: PSNR in dB."""
    does = "Bringing back details" if isinstance(step, TuningStep) else "Reconstructing"
    values = {"step": step.index, "steps": step.total, "near": f"{near:.1f}"}
    return Said(does + ", step {step} of {steps}: {near} dB", values)


def reconstructed(near: float, perceived: float | None) -> Said:
    """How like its original a reconstruction is, in words. near: PSNR in dB; perceived: LPIPS, where it is known."""
    like = "Only roughly like your picture ({near}): expect a drag to change more than you ask for."
    if near >= CLOSE:
        like = "Close to your picture ({near})."
    if near >= VERY_CLOSE:
        like = "Nearly the same as your picture ({near})."
    figures = f"{near:.1f} dB" if perceived is None else f"{near:.1f} dB, LPIPS {perceived:.3f}"
    return Said(f"{like} Now click a point, then where it should go.", {"near": figures})


def waiting(before: int, most: int) -> Said:
    """What a tab reads that has no place yet. before: how many tabs have to go first; most: places that there are."""
    text = (
        "No place is free. Places: {most}; waiting before you: {before}. Leave this tab open: it goes on by itself as "
        "soon as there is one."
    )
    return Said(text, {"most": most, "before": before - 1})


def explain(error: BaseException) -> Said:
    """An error in words, with what to do about it."""
    if out_of_memory(error):
        return Said("Out of memory. Nothing is lost: choose a smaller model, or start again with --device cpu.")
    if error.args and isinstance(error.args[0], Said):
        return error.args[0]
    if isinstance(error, DownloadError):
        folder = str(error.folder.absolute())
        tried = error.reasons().replace(folder + os.sep, "").replace(folder, "the folder of its models")
        text = (
            "This server could not download {file}:{tried}\n"
            "Try again later, or have {files} put into the folder of its models by hand."
        )
        return Said(text, {"file": error.names[0], "tried": tried, "files": " / ".join(error.names)})
    return Said(str(error).replace("{", "{{").replace("}", "}}"))


def refused(why: str) -> Said:
    """That what the browser kept of a session could not be opened."""
    text = "What this tab kept could not be opened: {why}. It is kept until you make something new or open a session."
    return Said(text, {"why": why})


def label(spec: ModelSpec) -> Said:
    """A model of the table, in one line of the menu."""
    terms = "" if spec.licence.commercial else ", non-commercial use only"
    values = {"name": spec.name, "shows": spec.shows, "width": spec.width, "height": spec.height}
    values |= {"size": spec.size_mb, "memory": spec.memory_mb}
    return Said("{name}: {shows}, {width} x {height}, {size} MB, {memory} MB in memory" + terms, values)


def preparing(model: str) -> Said:
    """What the first drag with a model waits for."""
    return Said("Preparing {model}, once ...", {"model": Path(model).name})


def loading(model: str, progress: Progress, stops: bool = True) -> Said:
    """How far the download of a model is. stops: whether Stop ends it."""
    values = {"model": model, "note": f" ({progress.note})" if progress.note else ""}
    if progress.phase == "waiting":
        return Said("Waiting for {model}{note}", values)
    if progress.phase == "checking":
        return Said("Checking {model} ...", values)
    come = f"{progress.received / 1e6:.0f} MB"
    if progress.total:
        come = f"{100 * progress.received // progress.total} % / {progress.total / 1e6:.0f} MB"
    text = "Downloading {model}: {come}{note}"
    return Said(text + ". Stop keeps what has come." if stops else text, values | {"come": come})
