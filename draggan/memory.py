"""The process keeps the memory that it has freed, for the next step.

glibc gives large buffers back to the system at once, and the next step pays again for each of their pages: with whole
feature maps that was measured to cost as much as the arithmetic.
"""

import ctypes
import platform
import sys

ARENA_MAX, MMAP_MAX, TRIM_THRESHOLD = -8, -4, -1  # names of mallopt(3)
KEPT = 2_000_000_000  # bytes at the heap's end beyond which memory is given back after all


def keep_freed_memory() -> bool:
    """Tells malloc so, for the whole process; to be called before other threads are started.

    -> whether this system's malloc can be told: glibc's. Elsewhere nothing is changed.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":  # who reads Python's file, if that may be read
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(name, value) for name, value in ((ARENA_MAX, 1), (MMAP_MAX, 0), (TRIM_THRESHOLD, KEPT)))
