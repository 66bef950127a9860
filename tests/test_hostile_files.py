"""Whatever a file holds, reading it runs nothing, ends soon, takes little memory, and raises CheckpointError if at all.

DRAGGAN_MUTATIONS sets the number of mutated files, DRAGGAN_TRUNCATIONS that of truncated ones (0: at every byte).
"""

import json
import os
import pickle
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from draggan.stylegan2 import checkpoint
from tests import hostile_files
from tests.foreign_files import write_nvidia_pytorch, write_nvidia_tensorflow, write_rosinality
from tests.networks import random_tensors, tiny_config
from tests.watched import Watch

SECONDS = 2
MEGABYTES = 200
MUTATIONS = int(os.environ.get("DRAGGAN_MUTATIONS", "1500"))
TRUNCATIONS = int(os.environ.get("DRAGGAN_TRUNCATIONS", "600"))

OPCODES = bytes(value[0] for name, value in vars(pickle).items() if name.isupper() and isinstance(value, bytes))
NUMBERS = [n.to_bytes(8, "little") for n in (0, 1, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**60, 2**63, 2**64 - 1)]


def good_files(folder: Path) -> list[Path]:
    """A small file of every layout."""
    config = tiny_config(8, conv_clamp=256.0)
    free, human = tiny_config(8), tiny_config(8, width=2)
    tensors = random_tensors(config)
    ours = folder / "ours.safetensors"
    checkpoint.write(ours, config, tensors)
    return [
        write_nvidia_pytorch(folder / "ada.pkl", config, tensors, protocol=3, numpy=1),
        write_nvidia_pytorch(folder / "ada-new.pkl", config, tensors, protocol=4, numpy=2, whole=False),
        write_nvidia_pytorch(folder / "human.pkl", human, random_tensors(human), whole=False),
        write_nvidia_tensorflow(folder / "tf.pkl", free, tensors, protocol=4, numpy=1),
        write_nvidia_tensorflow(folder / "tf-new.pkl", free, tensors, protocol=5, numpy=2),
        write_rosinality(folder / "zip.pt", free, tensors),
        write_rosinality(folder / "legacy.pt", free, tensors, legacy=True, training=True),
        ours,
    ]


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> list[Path]:
    return good_files(tmp_path_factory.mktemp("originals"))


@pytest.fixture(scope="module")
def watch(originals) -> Watch:
    for path in originals:
        checkpoint.read(path)  # so that nothing is imported for the first time under watch
    return Watch()


def test_the_watch_sees_code(watch):
    with watch.watching() as events:
        exec("1 + 1")
    assert "exec" in events


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak memory of a process is read from /proc")
def test_hostile_files_are_refused(originals):
    """In a process of their own, which a crash would end."""
    kinds = (
        hostile_files.hostile_pickles(),
        hostile_files.hostile_modules(),
        hostile_files.hostile_archives(),
        hostile_files.hostile_safetensors(),
    )
    with tempfile.TemporaryDirectory() as folder:
        paths, cases = [], []
        for i, (what, content, pattern) in enumerate(chain(*kinds)):
            paths.append(Path(folder) / f"{i}.pkl")
            paths[-1].write_bytes(content)
            cases.append((what, pattern))
        reader = subprocess.run(
            [sys.executable, "-m", "tests.watched"],
            input="\n".join(map(str, [*originals, "", *paths])),
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        assert reader.returncode == 0, reader.stderr
        report = json.loads(reader.stdout)
    assert report["bytes"] < MEGABYTES << 20
    for (what, pattern), outcome in zip(cases, report["outcomes"], strict=True):
        assert outcome["message"] is not None, f"{what}: it was read"
        assert re.search(pattern, outcome["message"]), f"{what}: {outcome['message']}"
        assert len(outcome["message"]) < 1500, what
        assert not outcome["events"], f"{what}: {outcome['events']}"
        assert outcome["seconds"] < SECONDS, f"{what}: {outcome['seconds']:.1f} s"


def test_files_that_are_cut_off(originals, watch, tmp_path):
    """At any byte: whatever is missing is noticed."""
    rng = random.Random(0)
    path = tmp_path / "cut.pkl"
    for original in originals:
        content = original.read_bytes()
        count = TRUNCATIONS // len(originals)
        ends = sorted({len(content) - 1, *rng.choices(range(len(content)), k=count)}) if count else range(len(content))
        for end in ends:
            path.write_bytes(content[:end])
            outcome = watch.read(path)
            assert outcome.message is not None, f"{original.name} was read without its end from byte {end} on"
            assert not outcome.events
            assert outcome.seconds < SECONDS


# mutations -----------------------------------------------------------------------------------------------------------


def flip(content: bytearray, rng: random.Random) -> None:
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def overwrite(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content))
    content[at : at + 1] = rng.randbytes(1)


def other_opcode(content: bytearray, rng: random.Random) -> None:
    content[rng.randrange(len(content))] = rng.choice(OPCODES)


def other_number(content: bytearray, rng: random.Random) -> None:
    width = rng.choice((1, 2, 4, 8))
    at = rng.randrange(len(content))
    content[at : at + width] = rng.choice(NUMBERS)[:width]


def other_length(content: bytearray, rng: random.Random) -> None:
    """Where a length of text or bytes probably is."""
    found = [m.start() for m in re.finditer(rb"[XBCU\x8c\x8e\x8d][\x00-\x40]", content)]
    if found:
        at = rng.choice(found) + 1
        content[at : at + 4] = rng.choice(NUMBERS)[:4]


def remove(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content))
    del content[at : at + rng.randrange(1, 100)]


def repeat(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content))
    content[at:at] = content[at : at + rng.randrange(1, 100)] * rng.randrange(1, 20)


def move(content: bytearray, rng: random.Random) -> None:
    at, length = rng.randrange(len(content)), rng.randrange(1, 100)
    piece = content[at : at + length]
    to = rng.randrange(len(content))
    content[to : to + len(piece)] = piece


CHANGES: list[Callable[[bytearray, random.Random], None]] = [
    flip,
    overwrite,
    other_opcode,
    other_number,
    other_length,
    remove,
    repeat,
    move,
]


def test_mutations(originals, watch, tmp_path):
    """Files that were changed in a few places are read or refused, and nothing else happens."""
    contents = [path.read_bytes() for path in originals]
    path = tmp_path / "mutated.pkl"
    refused, slowest = 0, 0.0
    for seed in range(MUTATIONS):
        rng = random.Random(seed)
        content = bytearray(contents[seed % len(contents)])
        for _ in range(rng.randrange(1, 6)):
            rng.choice(CHANGES)(content, rng)
        path.write_bytes(content)
        try:
            outcome = watch.read(path)
        except BaseException as error:
            raise AssertionError(f"mutation {seed} of {originals[seed % len(contents)].name}") from error
        assert not outcome.events, seed
        assert outcome.seconds < SECONDS, seed
        refused += outcome.message is not None
        slowest = max(slowest, outcome.seconds)
    print(f"{MUTATIONS} mutations: {refused} refused, {MUTATIONS - refused} read, slowest {slowest:.2f} s")  # noqa: T201
    assert 0 < refused < MUTATIONS
