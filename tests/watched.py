"""Reads checkpoints under watch: how long it took, what it took in memory, and whether anything else was done.

`python -m tests.watched` reads the files named on its input, a line each, in a process of its own.
"""

import codecs
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from draggan.stylegan2 import checkpoint
from draggan.stylegan2.checkpoint import CheckpointError

EVENTS = (
    "exec",
    "compile",
    "import",
    "code.__new__",
    "marshal.",
    "pickle.",
    "os.",
    "subprocess.",
    "socket.",
    "ctypes.",
)


@dataclass(frozen=True)
class Outcome:
    message: str | None  # of the CheckpointError; None: the file was read
    seconds: float
    events: tuple[str, ...]  # of Python's audit, among them every way to run code


class Watch:
    """Notes the audit events while it is on. Python keeps such a hook for the rest of the process."""

    def __init__(self) -> None:
        self.on = False
        self.events: list[str] = []
        codecs.lookup("cp437")  # Python imports it at the first zip archive with names in it
        sys.addaudithook(self.note)

    def note(self, event: str, args: tuple) -> None:
        if self.on and event.startswith(EVENTS):
            self.events.append(f"{event} {args[0]}" if event == "import" else event)

    @contextlib.contextmanager
    def watching(self) -> Iterator[list[str]]:
        self.events, self.on = [], True
        try:
            yield self.events
        finally:
            self.on = False

    def read(self, path: Path) -> Outcome:
        """Raises whatever reading raises beside CheckpointError."""
        message = None
        start = time.process_time()  # others may use the processor too
        with self.watching() as events:
            try:
                config, tensors = checkpoint.read(path)
                config.check({name: tuple(t.shape) for name, t in tensors.items()})
                del tensors
            except CheckpointError as error:
                message = str(error)
        return Outcome(message, time.process_time() - start, tuple(events))


def memory(field: str) -> int:
    """VmRSS (now) or VmHWM (at most so far) of this process, in bytes. Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) << 10


def main() -> None:
    """The files before an empty line are good ones, read before the watch: what is imported late is there then."""
    good, hostile = sys.stdin.read().split("\n\n")
    for path in good.splitlines():
        checkpoint.read(Path(path))
    before = memory("VmRSS")
    watch = Watch()
    outcomes = [asdict(watch.read(Path(path))) for path in hostile.splitlines()]
    json.dump({"outcomes": outcomes, "bytes": memory("VmHWM") - before}, sys.stdout)


if __name__ == "__main__":
    main()
