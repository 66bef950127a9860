"""Freed memory is kept for the next step."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys, threading
from draggan.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
import torch  # it starts threads

def faults():
    for _ in range(6):  # at first the pages are new either way
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            torch.ones(64, 1 << 18)  # 64 MB, mapped and unmapped each time by default
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

worker = threading.Thread(target=faults)
worker.start()
worker.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told")
def test_pages_are_not_paid_for_again():
    def faults(how):
        run = subprocess.run([sys.executable, "-c", CODE, how], check=True, capture_output=True, text=True)
        return int(run.stdout)

    assert faults("keep") < faults("default") / 5


def test_other_systems_are_left_alone(monkeypatch):
    from draggan import memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert memory.keep_freed_memory() is False


def test_a_python_that_cannot_be_read_is_not_looked_into(monkeypatch):
    """As that of the Microsoft Store."""
    from draggan import memory

    def refused():
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(platform, "libc_ver", refused)
    assert memory.keep_freed_memory() is False
