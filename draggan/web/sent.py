"""What users send, pictures, sessions and models: kept in a folder of this server's own, as long as it is used."""

import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradio.utils import get_upload_folder

FOLDER = "GRADIO_TEMP_DIR"  # the variable that says where gradio keeps what is sent


@contextmanager
def kept_while_serving() -> Iterator[Path]:
    """The folder, inside the one that `GRADIO_TEMP_DIR` names where it does. It goes with the server, also where the
    system ends that by SIGTERM."""
    told, handler = os.environ.get(FOLDER), signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if told:
        Path(told).mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="draggan-", dir=told, ignore_cleanup_errors=True) as folder:
            os.environ[FOLDER] = folder
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, handler)
        os.environ.pop(FOLDER, None)
        if told:
            os.environ[FOLDER] = told


def was_sent(file: str) -> bool:
    """Whether users sent a file, and it is still here. Its folder has a name that only those know who sent it."""
    path = Path(file).resolve()
    return path.is_relative_to(Path(get_upload_folder()).resolve()) and path.is_file()


def use(file: str) -> None:
    """A file is in use: if users sent it, it is new from now on to who puts away what is old."""
    path = Path(file)
    if path.is_relative_to(get_upload_folder()) and path.exists():
        there = path.stat()
        os.utime(path, ns=(there.st_atime_ns, there.st_mtime_ns))  # which sets the time of its last change of state


def as_sent(text: str) -> str:
    """A text in which files that users sent have the names that users know, without the folders of this server."""
    return re.sub(rf"{re.escape(get_upload_folder())}[\\/]\w+[\\/]", "", text)
