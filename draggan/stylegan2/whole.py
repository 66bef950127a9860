"""Files that are written whole or not at all."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A new file beside a path, to be written; it takes the place of what was there, which else stays as it was.

    A link stays one, and the same users may read it. Raises OSError, which names the path, where that cannot be done.
    """
    place = path.resolve()
    part = place.with_name(f"{uuid.uuid4().hex}.part")  # the name may be as long as one can be
    try:
        part.touch()
        if place.exists():
            shutil.copymode(place, part)
        yield part
        part.replace(place)
    except OSError as error:
        raise OSError(f"{path} cannot be written ({error.strerror or error}): name another place") from error
    finally:
        with suppress(OSError):  # it is in its place, or could not be made
            part.unlink()


def write(path: Path, raw: bytes) -> None:
    """Writes all of it or nothing. Raises as `whole` does."""
    with whole(path) as part:
        part.write_bytes(raw)
