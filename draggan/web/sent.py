"""What users send, pictures, sessions and models: kept in a folder of this server's own, as long as it is used.

A model is read again and again; all else once, as soon as it is here. It is not deleted by who has read it: equal files
that several users send have one path.
"""

import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gradio.utils import get_upload_folder

from draggan.stylegan2.converted import converted_path

FOLDER = "GRADIO_TEMP_DIR"  # the variable that says where gradio keeps what is sent
FORMATS = [".pkl", ".pt", ".pth", ".safetensors"]  # of models
IDLE_SECONDS = 24 * 3600  # after which a model that was sent and is not used is put away
SOON_SECONDS = 300  # likewise all else, and what of an upload has come that does not go on
SWEEP_SECONDS = 60  # from one look for that to the next


@contextmanager
def kept_while_serving() -> Iterator[Path]:
    """The folder, inside the one that `GRADIO_TEMP_DIR` names where it does. It goes with the server, also where the
    system or a terminal that is closed ends that."""
    told = os.environ.get(FOLDER)
    if told:
        try:
            Path(told).mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=told).close()
        except OSError as error:
            raise OSError(f"{told} cannot be written ({error.strerror}): name another place in {FOLDER}") from error
    hangup = getattr(signal, "SIGHUP", signal.SIGTERM)  # which Windows does not have
    ends = [each for each in {signal.SIGTERM, hangup} if signal.getsignal(each) is not signal.SIG_IGN]  # as by nohup
    handlers = {each: signal.signal(each, lambda *_: sys.exit(0)) for each in ends}
    ended = threading.Event()
    try:
        with tempfile.TemporaryDirectory(prefix="draggan-", dir=told, ignore_cleanup_errors=True) as folder:
            os.environ[FOLDER] = folder
            threading.Thread(target=_sweep_until, args=(ended, Path(folder)), daemon=True).start()
            yield Path(folder)
    finally:
        ended.set()
        for each, handler in handlers.items():
            signal.signal(each, handler)
        os.environ.pop(FOLDER, None)
        if told:
            os.environ[FOLDER] = told


def _sweep_until(ended: threading.Event, folder: Path) -> None:
    while not ended.wait(SWEEP_SECONDS):
        with suppress(OSError):  # the next time may be better
            sweep(folder)


def sweep(folder: Path) -> None:
    """Deletes what users sent and nobody needs any more, its folders, and what uploads left that broke off."""
    for path in (*folder.glob("tmp*"), *folder.glob("*/*")):
        with suppress(OSError):
            most = IDLE_SECONDS if path.suffix.lower() in FORMATS else SOON_SECONDS
            there = path.stat()
            if time.time() - max(there.st_atime, there.st_ctime) > most and path.is_file():
                path.unlink()
    for path in folder.iterdir():
        with suppress(OSError):  # what is no folder, or not empty
            if time.time() - path.stat().st_mtime > SOON_SECONDS:
                path.rmdir()


def was_sent(file: str) -> bool:
    """Whether users sent a file, and it is still here. Its folder has a name that only those know who sent it."""
    path = Path(file).resolve()
    return path.is_relative_to(Path(get_upload_folder()).resolve()) and path.is_file()


def use(file: str) -> None:
    """A file is in use: if users sent it, it is new from now on to who puts away what is old."""
    if not Path(file).is_relative_to(get_upload_folder()):
        return
    for path in (Path(file), converted_path(Path(file))):
        with suppress(FileNotFoundError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))  # what is converted is known by the latter


def as_sent(text: str) -> str:
    """A text in which files that users sent have the names that users know, without the folders of this server."""
    return re.sub(rf"{re.escape(get_upload_folder())}[\\/]\w+[\\/]", "", text)
