"""Whether results can be written, asked before the work that they are of. Leaves nothing behind but an empty folder."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

READ_BY_NAME = (".draggan", ".safetensors")  # by a library that takes names in UTF-8 alone


def check_file(path: Path, endings: tuple[str, ...]) -> None:
    """Raises ValueError for another ending, OSError where the file cannot be written."""
    if path.suffix.lower() not in endings:
        raise ValueError(f"{path}: the name must end in {' or '.join(endings)}")
    if path.suffix.lower() in READ_BY_NAME and not _is_text(path):
        raise ValueError(
            f"{str(path)!a}: the name is not UTF-8, and the file could not be opened again: choose another"
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name the file to write in it")
    _check_parent(path)
    with _writing(path):
        _try_out(path)


def check_folder(path: Path, names: Sequence[str]) -> None:
    """A folder for files of these names, made where there is none. Raises OSError where they cannot be written."""
    _check_parent(path)
    with _writing(path):
        path.mkdir(exist_ok=True)
        _try_out(path / max(names, key=lambda name: len(os.fsencode(name))))


def _is_text(path: Path) -> bool:
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False


def _check_parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.absolute().parent}")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What goes wrong at a place names it and says what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{path} cannot be written ({error.strerror}): name another place") from error


def _try_out(path: Path) -> None:
    """Makes a file beside a path, and opens the path itself where there is a file."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}."):
        pass
    if path.exists():
        path.open("ab").close()
