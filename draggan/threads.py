"""How many threads compute, and how they wait. Both must be said before torch is imported.

By default a thread that waits for work keeps its core busy. Where another process wants that core, each of the many
short parallel parts of a step then waits for a thread that is not running: measured with two processes on two cores,
two seconds a step instead of a fifth.
"""

import math
import os
from pathlib import Path


def use_free_cores() -> None:
    """As many threads as this process may use cores, which sleep while they wait; what the user has set stays so."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("OMP_NUM_THREADS", str(free_cores()))


def free_cores(root: Path = Path("/")) -> int:
    """The cores that this process may use: those it may run on, or fewer where its control groups limit its time."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, _limit(root))))


def _limit(root: Path) -> float:
    """Seconds of processor time a second that the control groups of this process allow (version 2, then 1)."""
    limits = [math.inf]
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return math.inf
    for group in groups:
        number, controllers, path = group.split(":", 2)
        base = root / "sys/fs/cgroup" / ("" if number == "0" else "cpu")
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        folder = base / path.lstrip("/")
        for place in (folder, *folder.parents):  # every group above limits too; in a container the path may be unknown
            if place == base.parent:
                break
            limits += _limits_of(place)
    return min(limits)


def _limits_of(group: Path) -> list[float]:
    try:
        quota, period = (group / "cpu.max").read_text().split()  # version 2
    except (OSError, ValueError):
        try:
            quota, period = ((group / f"cpu.cfs_{what}_us").read_text().strip() for what in ("quota", "period"))
        except OSError:
            return []
    return [] if quota in ("max", "-1") else [int(quota) / int(period)]
