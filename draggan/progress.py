"""Whether a drag still gets anywhere. Works with the steps of any engine."""

from collections.abc import Iterable, Iterator

from draggan.engine import DragStep

PATIENCE = 60  # steps in which no handle comes nearer, after which a drag is given up
PROGRESS = 0.5  # pixels by which a handle must come nearer


def until_stuck(steps: Iterable[DragStep], patience: int = PATIENCE) -> Iterator[tuple[DragStep, bool]]:
    """The steps of a drag, each with whether it is given up there, which ends it.

    It is given up when for `patience` steps no handle came nearer to its target, by half a pixel, than it had ever
    been: whether it stands still, swings to and fro or drifts away.
    """
    nearest: list[float] = []
    since = 0
    for step in steps:
        nearest = nearest or [distance + 2 * PROGRESS for distance in step.distances]
        gains = [distance < best - PROGRESS for distance, best in zip(step.distances, nearest, strict=True)]
        if any(gains):
            nearest = [min(distance, best) for distance, best in zip(step.distances, nearest, strict=True)]
            since = step.index
        stuck = not step.last and step.index - since >= patience
        yield step, stuck
        if stuck:
            return
