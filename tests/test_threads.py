"""How many threads compute, and how they wait."""

import os
import subprocess
import sys

import pytest

from draggan.threads import free_cores


@pytest.fixture
def cores(monkeypatch):
    """Eight cores that the process may run on."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def machine(root, groups, files):
    """A folder like the root of a machine with these control groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "1000 100000\n"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, 4),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "200000 100000\n"}, 2),
        ("0::/unknown/here\n", {"cpu.max": "200000 100000\n"}, 2),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "200000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 2),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 8),
        ("3:memory:/a\n", {"cpu/a/cpu.cfs_quota_us": "200000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_control_groups_limit(groups, files, expected, tmp_path, cores):
    assert free_cores(machine(tmp_path, groups, files)) == expected


def test_without_control_groups_it_is_the_cores_allowed(tmp_path, cores):
    assert free_cores(tmp_path) == 8


def test_never_more_than_the_cores_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert free_cores(machine(tmp_path, "0::/\n", {"cpu.max": "400000 100000\n"})) == 1


@pytest.mark.parametrize(("chosen", "expected"), [({}, None), ({"OMP_NUM_THREADS": "1"}, 1)])
def test_torch_takes_that_many_and_the_users_choice_stays(chosen, expected):
    code = (
        "from draggan.threads import free_cores, use_free_cores; use_free_cores()\n"
        "import os, torch; print(torch.get_num_threads(), free_cores(), os.environ['OMP_WAIT_POLICY'])"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")} | chosen
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    threads, free, policy = run.stdout.split()
    assert int(threads) == (expected or int(free))
    assert policy == "passive"
