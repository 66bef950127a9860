"""The generators in memory: each loaded once, the most recently used kept. Knows nothing of pages."""

import gc
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from draggan.precision import Precision
from draggan.registry import models
from draggan.registry.download import hash_file
from draggan.registry.transfer import Progress
from draggan.stylegan2.generator import Generator
from draggan.stylegan2.recent import Recent
from draggan.stylegan2.said import Said

DIGESTS = 100  # that are known at once: users may send any number of models


class ModelGoneError(FileNotFoundError):
    """The file of a model of the table is not here, and a download is not for whoever wants it now."""

    def __init__(self, name: str) -> None:
        said = "the file of {name} is not here: choose the model again, which downloads it"
        super().__init__(Said(said, {"name": name}))


class ModelCache:
    """Loads models and keeps the last `keep`. Safe to use from many threads: two that want one model load it once."""

    def __init__(self, keep: int = 2, folder: Path | None = None, precision: Precision = "fp32") -> None:
        if keep < 1:
            raise ValueError(f"keep is {keep}: at least 1 model must be kept")
        self._keep = keep
        self._folder = folder
        self._precision: Precision = precision
        self._lock = threading.Lock()
        self._models: OrderedDict[tuple, Future[Generator]] = OrderedDict()  # the least recently used first
        self._last: dict[tuple[str, str], tuple] = {}  # by what was asked for, and the device: which of them it was
        self._digests = Recent(DIGESTS)  # of files, as they were last changed

    def download(self, name_or_path: str | Path) -> Iterator[Progress]:
        """As `models.download`; nothing for a file, or for a model that is here."""
        if str(name_or_path) in models.available_models():
            yield from models.download(str(name_or_path), self._folder)

    def sha256(self, name_or_path: str | Path) -> str:
        """The SHA-256 of a model's file; empty where that is not here."""
        path = models.find(name_or_path, self._folder)
        if not path.exists():
            return ""
        return self._digests.get((path, path.stat().st_mtime_ns), partial(hash_file, path))

    def load(self, name_or_path: str | Path, device: str = "auto") -> Generator:
        """As `models.load`, but downloads nothing. A file that has changed since it was loaded is loaded again; one
        that is not here any more is used as long as it is in memory."""
        name, target = str(name_or_path), str(models.pick_device(device))
        path = models.find(name_or_path, self._folder)
        with self._lock:
            key = (path, path.stat().st_mtime_ns, target) if path.exists() else self._last.get((name, target))
            if key is None:
                if name in models.available_models():
                    raise ModelGoneError(name)
                raise FileNotFoundError(Said("no such file: {file}", {"file": path}))
            mine = key not in self._models
            future = self._models.setdefault(key, Future())
            self._models.move_to_end(key)
            full = len(self._models) > self._keep
            if full:
                self._models.popitem(last=False)
            self._last[name, target] = key
            self._last = {asked: found for asked, found in self._last.items() if found in self._models}
        if full:
            gc.collect()  # networks that were dragged with a mask or in another precision hold themselves
        if mine:
            try:
                future.set_result(models.load(key[0], target, self._folder, self._precision))
            except BaseException as error:
                with self._lock:
                    if self._models.get(key) is future:  # and not that of a later call, after this one was put away
                        del self._models[key]  # the next call tries again
                future.set_exception(error)
        return future.result()
