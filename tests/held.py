"""`python -m draggan.web`, of which a test holds what runs: `python tests/held.py GATE OPTION ..`

As long as there is a file GATE, a drag or a reconstruction takes as many steps as stand in it, and stays there until it
is stopped or the file says otherwise. So what a test does in the middle of one, it does there on any machine.
"""

import math
import runpy
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from draggan.engine.steps import DragStep
from draggan.session import Session
from draggan.web.network import Network

LOOK_SECONDS = 0.2  # between two looks at the gate: each is an answer, and a busy browser shows no more


class HeldNetwork(Network):
    """Looks at the gate at each step. Who waits there is answered all the time: as ever by what there is."""

    gate: Path

    def steps(self, session: Session) -> Iterator[tuple[DragStep, float]]:
        for taken, step in enumerate(super().steps(session)):  # the first is where the drag begins
            yield step
            while self._held(taken):
                yield step

    def each(self, steps: Iterator[Any]) -> Iterator[Any]:
        taken = 0
        for step in super().each(steps):
            while self._held(taken):
                yield None
            yield step
            taken += step is not None

    def _held(self, taken: int) -> bool:
        """Whether what has taken so many steps may take no more now; where so, after a while."""
        try:
            most = int(self.gate.read_text() or 0)  # empty: about to be written
        except FileNotFoundError:
            most = math.inf
        if taken >= most:
            time.sleep(LOOK_SECONDS)
        return taken >= most


if __name__ == "__main__":
    HeldNetwork.gate = Path(sys.argv.pop(1))
    with patch("draggan.web.app.Network", HeldNetwork):
        runpy.run_module("draggan.web", run_name="__main__")
