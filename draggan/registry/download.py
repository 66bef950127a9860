"""One file from the first of several addresses that works: verified, then moved into place.

Knows nothing of models. `download` is an iterator: it works while it is asked, and a caller cancels by asking no more.
Beside FILE lie, while it comes, FILE.part and FILE.part.json, and from then on FILE.json: where it came from.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import filelock
import requests

from draggan.registry import transfer
from draggan.registry.transfer import Patience, Progress, Refused, beside, without_password

UNLOCKABLE = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # what folders say that know no locks


@dataclass(frozen=True)
class Record:
    """Where a file came from, and what it was then."""

    url: str
    sha256: str
    size: int  # bytes
    etag: str  # the server's ETag or Last-Modified; may be empty
    date: str  # of the download: ISO 8601, UTC


class DownloadError(OSError):
    """No address worked. The message names the files, every address with its error, and the folder for them."""

    def __init__(self, names: Sequence[str], folder: Path, tried: Sequence[tuple[str, str]]) -> None:
        self.names, self.folder = tuple(names), folder
        self.tried = tuple((without_password(url), without_password(error)) for url, error in tried)  # addresses
        super().__init__(
            f"could not download {names[0]}:{self.reasons()}\n"
            f"Try again later, or put {' or '.join(names)} into {folder} by hand."
        )

    def reasons(self) -> str:
        """Every address with its error, one a line."""
        return "".join(f"\n  {url}: {error}" for url, error in self.tried)


def download(
    urls: Sequence[str],
    path: Path,
    *,
    sha256: str | None = None,
    check: Callable[[Path], object] | None = None,
    patience: Patience | None = None,
) -> Iterator[Progress]:
    """Brings `path` into being from the first of `urls` that works, or finds it there.

    A download of the same file in another process or thread is waited for. What an earlier run left is gone on from
    where the server still has that file. The whole must have the SHA-256 that is given, the one that the server tells
    and the one of an earlier `Record`, as far as they are known; then `check` reads it (under its .part name) and
    raises ValueError where it is not what it should be.

    Raises DownloadError when no address works.
    """
    tried: list[tuple[str, str]] = []
    lock = filelock.FileLock(f"{path}.lock", mode=0o666, thread_local=False)  # a page asks from changing threads
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield from _acquire(lock)
    except OSError as error:
        raise DownloadError([path.name], path.parent, [(str(path.parent), error.strerror or str(error))]) from error
    try:
        with transfer.open_session() as session:
            for url in dict.fromkeys(urls):
                try:
                    yield from _from(session, url, path, sha256, check, patience or Patience())
                    break
                except Refused as error:
                    tried.append((url, str(error)))
                except OSError as error:
                    tried.append((url, f"cannot write: {error.strerror or error}"))
                    break  # nor from another address, which would begin anew
            with suppress(OSError):  # it may be another account's
                transfer.keep_resumable(beside(path, ".part"))
    finally:
        lock.release()
    if not path.exists():
        raise DownloadError([path.name], path.parent, tried)


def _from(
    session: requests.Session,
    url: str,
    path: Path,
    sha256: str | None,
    check: Callable[[Path], object] | None,
    patience: Patience,
) -> Iterator[Progress]:
    """The file from one address, unless it is here. Raises Refused."""
    part = beside(path, ".part")
    if path.exists():
        return
    for last in (False, True):
        joint = yield from transfer.fetch(session, url, part, sha256, patience)
        size = part.stat().st_size
        yield Progress("checking", url, size, size)
        try:
            record = _verify(path, part, sha256)
            if check:
                check(part)
        except ValueError as error:
            transfer.discard(part)
            if last or not joint:  # a joint may be at fault: once more, if possible in one piece
                raise Refused(str(error)) from error
        else:
            transfer.write_json(beside(path, ".json"), record)
            part.replace(path)
            transfer.discard(part)
            return


def _verify(path: Path, part: Path, sha256: str | None) -> Record:
    """The record of `part`. Raises ValueError where its SHA-256 is not the one that is known, OSError without it."""
    origin, earlier, digest = transfer.read_origin(part), read_record(path), hash_file(part)
    if origin is None:  # it was deleted meanwhile, as `part` itself may be
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for who, expected in (("the table", sha256), ("the server", origin.sha256)):
        if expected and digest != expected:
            raise ValueError(f"its SHA-256 is {digest}, {who} says {expected}")
    if earlier and digest != earlier.sha256:
        raise ValueError(
            f"its SHA-256 is {digest}, but was {earlier.sha256} on {earlier.date}, from {earlier.url}; "
            f"delete {beside(path, '.json')} to accept the new file"
        )
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Record(origin.url, digest, part.stat().st_size, origin.etag, date)


def _acquire(lock: filelock.BaseFileLock) -> Iterator[Progress]:
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except filelock.Timeout:
            pass
        except OSError as error:
            if error.errno not in UNLOCKABLE:
                raise
            return
        yield from transfer.wait(0.2, Progress("waiting", note="it is already being downloaded"))


def read_record(path: Path) -> Record | None:
    """The record of a downloaded file; None where there is none, as for a file put there by hand."""
    return transfer.read_json(Record, beside(path, ".json"))


def received(path: Path) -> int:
    """The bytes that an unfinished download of `path` has left."""
    part = beside(path, ".part")
    return part.stat().st_size if part.exists() else 0


def remove(path: Path) -> None:
    """Deletes a file, its record, and what an unfinished download left."""
    transfer.discard(beside(path, ".part"))
    path.unlink(missing_ok=True)
    beside(path, ".json").unlink(missing_ok=True)


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(transfer.BLOCK):
            digest.update(block)
    return digest.hexdigest()
