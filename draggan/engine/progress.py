"""Whether a drag still gets anywhere. Works with the steps of any engine."""

from draggan.engine.steps import DragStep

PATIENCE = 60  # steps in which no handle comes nearer, after which a drag is given up
PROGRESS = 0.5  # pixels by which a handle must come nearer


class Patience:
    """Tells when a drag is given up: when for `most` steps no handle came nearer to its target, by half a pixel, than
    it had ever been; whether it stands still, swings to and fro or drifts away.
    """

    def __init__(self, most: int = PATIENCE) -> None:
        self._most = most
        self._nearest: list[float] = []
        self._since = 0

    def lost(self, step: DragStep) -> bool:
        """Whether the drag is given up at this step, the next one of it."""
        if not self._nearest:
            self._nearest, self._since = list(step.distances), step.index
        pairs = list(zip(step.distances, self._nearest, strict=True))
        if any(distance < best - PROGRESS for distance, best in pairs):
            self._nearest, self._since = [min(pair) for pair in pairs], step.index
        return not step.last and step.index - self._since >= self._most
