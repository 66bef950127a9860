"""Foreign checkpoints kept in our format beside the original, so that they load fast from the second time on."""

import json
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from torch import Tensor

from draggan.stylegan2 import checkpoint
from draggan.stylegan2.checkpoint import CheckpointError
from draggan.stylegan2.config import GeneratorConfig

CONVERTER = 1  # raised when a file of the same original would come out otherwise
PATIENCE = 120  # seconds to wait for another process that converts the same file


@dataclass(frozen=True, eq=False)
class Loaded:
    """A generator as read, and where its converted form is."""

    config: GeneratorConfig
    tensors: dict[str, Tensor]  # by their StyleGAN2-ADA names
    path: Path | None  # the file in our format; None: the folder cannot be written, so the next time is slow too
    why: BaseException | None = None  # that is so


def load(path: Path) -> Loaded:
    """The generator in a file of any format that `checkpoint.read` knows; a foreign file is converted once.

    The converted form of `ffhq.pkl` is `ffhq.pkl.safetensors` in the same folder. It is made again when the original
    has changed, and when it is damaged. Raises FileNotFoundError or CheckpointError, as `checkpoint.read` does.
    """
    if checkpoint.is_ours(path):
        return Loaded(*checkpoint.read(path), path)
    target = converted_path(path)
    loaded = _read_converted(path, target)
    if loaded is not None:
        return loaded
    with ExitStack() as stack:
        with suppress(OSError):  # without the lock two processes may both convert, and one file is kept
            stack.enter_context(FileLock(target.with_name(f"{target.name}.lock"), PATIENCE, mode=0o666))
        return _read_converted(path, target) or _convert(path, target)


def converted_path(path: Path) -> Path:
    """Where the converted form of a foreign file is, or would be."""
    return path.with_name(f"{path.name}.safetensors")


def _read_converted(path: Path, target: Path) -> Loaded | None:
    try:
        if checkpoint.source(target) == _stamp(path):
            return Loaded(*checkpoint.read(target), target)
    except (OSError, CheckpointError):
        pass  # there is none yet, or it is damaged, or cannot be had
    return None


def _convert(path: Path, target: Path) -> Loaded:
    stamp = _stamp(path)
    config, tensors = checkpoint.read(path)
    try:
        checkpoint.write(target, config, tensors, source=stamp)
    except OSError as error:
        return Loaded(config, tensors, None, error.__cause__)
    return Loaded(config, tensors, target)


def _stamp(path: Path) -> str:
    """What tells that the original is still the one that was converted."""
    facts = path.stat()
    return json.dumps({"converter": CONVERTER, "bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns})
