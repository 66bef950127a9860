"""Many users at once: `python -m benchmarks.users --users 50 --minutes 5`.

Starts `python -m draggan.web` and lets users work on it over real HTTP: each draws a seed, sets a pair, drags, stops,
goes on, undoes, leaves and comes back, with pauses. Whatever a user sees that is not its own, or that is an error, is
counted and printed. The server's memory is read from /proc, so this needs Linux.
"""

import argparse
import asyncio
import bisect
import itertools
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

from benchmarks.visitor import Visitor, client

ROW_SECONDS = 15
PORT = 7960


@dataclass
class Log:
    """What the users did and saw. Times are seconds since the start."""

    until: float  # when all shall end
    began: float = field(default_factory=time.monotonic)
    errors: Counter[str] = field(default_factory=Counter)
    turns: list[tuple[float, int]] = field(default_factory=list)  # (when, turns that an answer tells of), of all users
    crowd: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])  # (since when, how many drag)
    waits: list[tuple[float, float, int]] = field(default_factory=list)  # (from, to, turns got in that time)
    steps: Counter[int] = field(default_factory=Counter)  # by user
    done: Counter[str] = field(default_factory=Counter)
    here: int = 0  # users whose tab is open

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    @contextmanager
    def dragging(self) -> Iterator[None]:
        self.crowd.append((self.now, self.crowd[-1][1] + 1))
        try:
            yield
        finally:
            self.crowd.append((self.now, self.crowd[-1][1] - 1))


@dataclass(frozen=True)
class Wait:
    """A turn that a user waited for, beside the fair share of the same time."""

    seconds: float
    fair: float

    @property
    def times(self) -> float:
        return self.seconds / self.fair


@dataclass(frozen=True)
class Reading:
    """The state of the server at one moment."""

    seconds: float
    megabytes: float  # resident
    here: int  # users whose tab is open
    dragging: int
    steps: int  # since the start, of all users


def waits(log: Log) -> list[Wait]:
    """Each wait of a dragging user for its next turn.

    With D users that drag and T turns of all of them within a wait, a user's fair share is T / D turns; one that got
    only t turns waited T / D / t times its fair share.
    """
    turns = sorted(log.turns)
    moments = [when for when, _ in turns]
    total = [0]
    for _, count in turns:
        total.append(total[-1] + count)
    since = [when for when, _ in log.crowd]

    def crowd(begin: float, end: float) -> float:
        """How many dragged, on average."""
        first, last = bisect.bisect_right(since, begin) - 1, bisect.bisect_right(since, end) - 1
        edges = [begin, *since[first + 1 : last + 1], end]
        area = sum((b - a) * log.crowd[first + i][1] for i, (a, b) in enumerate(itertools.pairwise(edges)))
        return area / (end - begin)

    found = []
    for begin, end, got in log.waits:
        others = total[bisect.bisect_right(moments, end)] - total[bisect.bisect_right(moments, begin)]
        share = others / crowd(begin, end)
        found.append(Wait((end - begin) / got, (end - begin) / share))
    return found


async def work(http, address: str, user: int, log: Log, pause: float) -> None:
    """One user, tab after tab, until the time is over."""
    dice = random.Random(user)
    while log.now < log.until:
        try:
            async with Visitor(http, address) as tab:
                log.here += 1
                try:
                    await tab.until("ready")
                    for _ in range(dice.randint(1, 3)):
                        await edit(tab, dice, user, log, pause)
                        if log.now > log.until:
                            break
                    if problem := tab.failure():
                        raise problem
                    log.done["tabs left"] += 1
                finally:
                    log.here -= 1
        except Exception as error:
            log.errors[f"{type(error).__name__}: {error}"[:300] or traceback.format_exc()[-300:]] += 1
        await asyncio.sleep(dice.uniform(0, 2 * pause))


async def edit(tab: Visitor, dice: random.Random, user: int, log: Log, pause: float) -> None:
    """One picture: drawn, dragged, stopped, dragged on, undone."""
    tab.set("seed", dice.randrange(2**31))
    await tab.fire("draw", "click")
    log.done["pictures drawn"] += 1
    handle = [dice.randrange(40, 216), dice.randrange(40, 216)]
    target = [handle[0] + dice.choice((-1, 1)) * dice.randrange(20, 38), handle[1]]
    await tab.edit("pair", at=handle, to=target)
    mine(tab, handles=[handle], targets=[target])
    before = tab.marks
    for _ in range(2):
        await asyncio.sleep(dice.uniform(0, pause))
        await drag(tab, dice.randint(3, 20), user, log)
        mine(tab, targets=[target])
    for _ in range(2):
        await tab.edit("undo")
        if tab.marks["view"] == before["view"]:
            break
    mine(tab, handles=[handle], targets=[target], view=before["view"])
    log.done["drags undone"] += 1
    await asyncio.sleep(dice.uniform(0, pause))


async def drag(tab: Visitor, answers: int, user: int, log: Log) -> None:
    """A drag that is stopped after some answers, if it has not ended by then."""
    start = reached = tab.steps
    seen, came, stopped = 0, log.now, False
    with log.dragging():
        async for step in tab.drag():
            now = log.now
            got = max(1, step - reached)
            log.turns.append((now, got))
            log.waits.append((came, now, got))
            reached, came, seen = max(step, reached), now, seen + 1
            if tab.marks["phase"] == "dragging" and not stopped and (seen >= answers or now > log.until):
                stopped = True
                await tab.stop()
    log.steps[user] += reached - start
    log.done["drags"] += 1
    if tab.marks["phase"] not in ("stopped", "arrived", "limit", "stuck"):
        raise AssertionError(f"a drag ended in phase {tab.marks['phase']}")


def mine(tab: Visitor, **expected: object) -> None:
    """Raises AssertionError where the canvas shows something else than what this user did."""
    for name, value in expected.items():
        shown = tab.marks[name]
        if name == "handles":  # a drag that has not moved yet finds them there, but for rounding
            shown = [[round(v, 3) for v in place] for place in shown]
        if shown != value:
            raise AssertionError(f"{name}: {shown}, expected {value}")


async def watch(process: int, log: Log, every: float) -> list[Reading]:
    """The server's memory as time goes on, printed row by row."""
    readings = []
    print("| seconds | resident MB | tabs | dragging | steps/s |\n|---|---|---|---|---|")
    while log.now < log.until:
        await asyncio.sleep(every)
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
        assert found, "the server has ended"
        steps = sum(count for _, count in log.turns)
        reading = Reading(log.now, int(found[1]) / 1e3, log.here, log.crowd[-1][1], steps)
        last = readings[-1] if readings else Reading(0, 0, 0, 0, 0)
        rate = (reading.steps - last.steps) / (reading.seconds - last.seconds)
        print(
            f"| {reading.seconds:.0f} | {reading.megabytes:.0f} | {reading.here} | {reading.dragging} | {rate:.1f} |",
            flush=True,
        )
        readings.append(reading)
    return readings


def growth(readings: list[Reading]) -> float:
    """Megabytes a minute, by a straight line through the second half."""
    half = readings[len(readings) // 2 :]
    if len(half) < 2:
        return 0.0
    at, size = mean(r.seconds for r in half), mean(r.megabytes for r in half)
    slope = sum((r.seconds - at) * (r.megabytes - size) for r in half) / sum((r.seconds - at) ** 2 for r in half)
    return 60 * slope


@contextmanager
def server(port: int, arguments: list[str]) -> Iterator[tuple[str, int]]:
    """`python -m draggan.web` in an empty folder. -> its address and its process"""
    command = [sys.executable, "-m", "draggan.web", "--port", str(port), *arguments]
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout
        try:
            said = ""
            for line in process.stdout:
                said += line
                if found := re.search(r"http://\S+", line):
                    yield found[0], process.pid
                    return
            raise RuntimeError(said)
        finally:
            process.terminate()


async def simulate(
    address: str, process: int, users: int, seconds: float, pause: float, every: float = ROW_SECONDS
) -> tuple[Log, list[Reading]]:
    """All users at work on a server for some time. pause: seconds that a user thinks, at most."""
    log = Log(until=seconds)
    async with client() as http:
        working = [work(http, address, user, log, pause) for user in range(users)]
        readings, *_ = await asyncio.gather(watch(process, log, every), *working)
    return log, readings


def report(log: Log, readings: list[Reading], users: int) -> None:
    steps = [log.steps[user] for user in range(users)]
    print(f"\nerrors: {log.errors.total()}")
    for error, count in log.errors.most_common():
        print(f"  {count} x {error}")
    print(", ".join(f"{count} {what}" for what, count in log.done.items()))
    print(f"steps per user: {min(steps)} / {median(steps):.0f} / {max(steps)} (min / median / max)")
    waited = waits(log)
    if waited:
        longest, worst = max(waited, key=lambda wait: wait.seconds), max(waited, key=lambda wait: wait.times)
        print(
            f"longest wait for a turn: {longest.seconds:.2f} s, {longest.times:.2f} times the fair share of that time"
        )
        print(f"worst: {worst.times:.2f} times the fair share ({worst.seconds:.2f} s)")
        late = sum(wait.times > 2 for wait in waited)
        print(f"waits of more than twice the fair share: {late} of {len(waited)}")
    print(f"resident memory over the second half: {growth(readings):+.1f} MB a minute")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--pause", type=float, default=5, help="seconds that a user thinks, at most (default: 5)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="plush-256")
    parser.add_argument("--port", type=int, default=PORT)
    args = parser.parse_args()
    with server(args.port, ["--device", args.device, "--model", args.model]) as (address, process):
        log, readings = asyncio.run(simulate(address, process, args.users, 60 * args.minutes, args.pause))
    report(log, readings, args.users)
    sys.exit(bool(log.errors))


if __name__ == "__main__":
    main()
