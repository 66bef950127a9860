"""Models by their names: where their files are, getting them, loading them. Knows nothing of drags or pages.

The folder of the files is `DRAGGAN_CHECKPOINTS`, else checkpoints/ in a checkout of the repository, else a folder of
the user's. `DRAGGAN_MIRROR` is the address of a folder that is asked for a file before the addresses of the table.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from draggan.precision import Precision, in_precision
from draggan.registry import download as downloads
from draggan.registry.download import DownloadError, Record
from draggan.registry.table import MODELS, ModelSpec, Source
from draggan.registry.transfer import Patience, Progress
from draggan.require import require_choice
from draggan.stylegan2 import checkpoint, converted
from draggan.stylegan2.generator import Generator

EMBEDDED = Path(__file__).parents[1] / "embedded"  # in an installed wheel
CHECKOUT = Path(__file__).parents[2] / "checkpoints"  # in a checkout of the repository
METRICS = "metrics"  # the folder of what is worked out of models, beside them; the embedded one's comes with it
LR = 1e-3  # step size of a drag for a file that the table does not have


@dataclass(frozen=True)
class ModelState:
    """A row of the table, and what of it is on this machine."""

    spec: ModelSpec
    path: Path | None  # the file that `load` would read; None: not here
    record: Record | None  # where it came from; None: it came with draggan, was put there by hand, or is not here
    unfinished: int  # bytes that an interrupted download has left

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size if self.path else 0


@dataclass(frozen=True)
class Verdict:
    """What `verify` found."""

    path: Path
    sha256: str
    expected: str | None  # None: nothing is known of what it should be
    recorded: bool  # whether that is the one of its first download: the table has none
    problem: str  # empty: the file is good, as far as can be known


def available_models() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(spec.name for spec in MODELS)


def spec_of(name: str) -> ModelSpec:
    """The row of a name. Raises ValueError, with all names, for another."""
    for spec in MODELS:
        if spec.name == name:
            return spec
    raise ValueError(f"no model {name!r}: choose one of {', '.join(available_models())}")


def step_size(name_or_path: str | Path) -> float:
    """The step size to start a drag with: the model's own, or the careful one for a file."""
    return next((spec.lr for spec in MODELS if spec.name == str(name_or_path)), LR)


def shows_faces(name_or_path: str | Path) -> bool:
    """Whether a model's pictures are of faces, framed as those of FFHQ: by the table, or a file by its name."""
    spec = next((spec for spec in MODELS if spec.name == str(name_or_path)), None)
    return spec.shows.startswith("faces") if spec else "ffhq" in Path(name_or_path).name.lower()


def pick_device(device: str) -> torch.device:
    """The device a user named: auto, cpu, cuda, cuda:1, mps. Auto takes an accelerator where there is one.

    Raises ValueError where the machine has no such device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r} is not one of auto, cpu, cuda, cuda:0, .., mps") from None
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (chosen.index or 0) >= count.get(chosen.type, 0):
        raise ValueError(f"this machine has no device {device!r}; use auto or cpu")
    return chosen


def load(
    name_or_path: str | Path, device: str = "auto", folder: Path | None = None, precision: Precision = "fp32"
) -> Generator:
    """The generator of a name of the table, downloaded where needed, or in a file, on a device (see `pick_device`).

    `folder` is that of the downloaded models, see `default_folder`; `precision` that of drags, see `in_precision`.
    Raises ValueError for an unknown name, device or precision, DownloadError, FileNotFoundError, or CheckpointError
    for a bad file.
    """
    target = pick_device(device)
    require_choice("precision", precision, Precision)
    with torch.inference_mode(False):  # wherever it is loaded, drags want gradients
        path = fetch(name_or_path, folder)
        read, places = converted.load(path), (path.parent / METRICS, metrics_folder(folder))
        generator = Generator(read.config, read.tensors, keeps_in=[place for place in places if place])
        return in_precision(generator.to(target), precision)


def find(name_or_path: str | Path, folder: Path | None = None) -> Path:
    """The file of a model, or, before its download, where it will be. Raises ValueError for an unknown name."""
    if str(name_or_path) in available_models():
        spec = spec_of(str(name_or_path))
        here = _files(spec, folder)
        return next((path for path in here if path.exists()), here[0])
    path = Path(name_or_path).expanduser()
    if path.suffix or path.exists():
        return path
    raise ValueError(f"no model {str(name_or_path)!r}: choose one of {', '.join(available_models())}, or name a file")


def fetch(name_or_path: str | Path, folder: Path | None = None) -> Path:
    """The file of a model, downloaded where needed, with a bar in the terminal. Raises as `find` and `download` do."""
    path, name = find(name_or_path, folder), str(name_or_path)
    if path.exists() or name not in available_models():
        return path
    with tqdm(desc=name, unit="B", unit_scale=True, disable=None) as bar:
        for step in download(name, folder):
            bar.total = step.total
            bar.set_postfix_str(f"{step.phase} {step.note}", refresh=False)
            bar.update(step.received - bar.n)
    return find(name, folder)


def download(name: str, folder: Path | None = None, patience: Patience | None = None) -> Iterator[Progress]:
    """Brings the file of a model here, from the first source that works; ends at once where there is one.

    Works while it is iterated. To cancel, iterate no further: the next call goes on from there. Raises ValueError for
    an unknown name, DownloadError when no source works.
    """
    spec = spec_of(name)
    home = _home(spec, folder)
    tried: list[tuple[str, str]] = []
    for source in spec.sources:
        if find(name, folder).exists():
            return
        path = home / source.filename
        try:
            yield from downloads.download(
                _urls(source), path, sha256=source.sha256, check=partial(_check, spec), patience=patience
            )
        except DownloadError as error:
            tried += error.tried
    if not find(name, folder).exists():
        raise DownloadError([source.filename for source in spec.sources], home, tried)


def states(folder: Path | None = None) -> tuple[ModelState, ...]:
    """The table, and what of it is on this machine."""
    return tuple(state(spec.name, folder) for spec in MODELS)


def state(name: str, folder: Path | None = None) -> ModelState:
    """A row of the table, and what of it is on this machine."""
    spec = spec_of(name)
    path = find(name, folder)
    origin = next((s for s in spec.sources if path.name.startswith(s.filename)), spec.sources[0])
    record = downloads.read_record(path.with_name(origin.filename)) if path.exists() else None
    unfinished = sum(downloads.received(_home(spec, folder) / source.filename) for source in spec.sources)
    return ModelState(spec, path if path.exists() else None, record, unfinished)


def verify(name: str, folder: Path | None = None) -> Verdict:
    """Reads the file of a model again: its SHA-256, against the table's or its first download's, and its structure.

    Raises ValueError for an unknown name, FileNotFoundError where the model is not here.
    """
    found = state(name, folder)
    if found.path is None:
        raise FileNotFoundError(f"{name} is not here: fetch it first")
    expected, recorded = None, False
    for source in found.spec.sources:
        if source.filename == found.path.name:  # and not its converted form
            expected = source.sha256 or (found.record.sha256 if found.record else None)
            recorded = source.sha256 is None
    digest, problem = downloads.hash_file(found.path), ""
    if expected and digest != expected:
        problem = f"its SHA-256 is {digest}, expected {expected}: remove it and fetch it again"
    else:
        try:
            _check(found.spec, found.path)
        except ValueError as error:
            problem = str(error)
    return Verdict(found.path, digest, expected, recorded, problem)


def _check(spec: ModelSpec, path: Path) -> None:
    """Raises ValueError where a file is no generator, or one of pictures of another size than the table says."""
    config, _ = checkpoint.read(path)
    if (config.height, config.width) != (spec.height, spec.width):
        sizes = f"{config.width} x {config.height} pixels, those of {spec.name} {spec.width} x {spec.height}"
        raise ValueError(f"it is another model: its pictures have {sizes}")


def remove(name: str, folder: Path | None = None) -> tuple[Path, ...]:
    """Deletes the files of a model, also what an unfinished download left. Returns the models' files deleted.

    Raises ValueError for an unknown name, or for a model that comes with draggan.
    """
    spec = spec_of(name)
    if not spec.urls:
        raise ValueError(f"{name} comes with draggan and stays")
    gone = tuple(path for path in _files(spec, folder) if path.exists())
    for path in _files(spec, folder):
        downloads.remove(path)
    return gone


def convert(path: Path) -> Path:
    """Writes a foreign file in our format beside it, where that is not done. Returns the file in our format.

    Raises FileNotFoundError, CheckpointError, or OSError where the folder cannot be written.
    """
    loaded = converted.load(path.expanduser())
    if loaded.path is None:
        why = getattr(loaded.why, "strerror", None) or loaded.why
        raise OSError(f"{path.parent} cannot be written ({why}): copy {path.name} to a folder that can")
    return loaded.path


def default_folder() -> Path:
    """Where downloaded models lie, where no other folder is given. It need not exist yet.

    Raises FileNotFoundError where it would be in the home of a user who has none.
    """
    try:
        if chosen := os.environ.get("DRAGGAN_CHECKPOINTS"):
            return Path(chosen).expanduser()
        if not EMBEDDED.is_dir():
            return CHECKOUT
        cache = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
        return Path(cache or "~/.cache").expanduser() / "draggan"
    except RuntimeError as error:
        said = "this user has no home: name a folder for models with --checkpoints, or in DRAGGAN_CHECKPOINTS"
        raise FileNotFoundError(said) from error


def metrics_folder(folder: Path | None = None) -> Path | None:
    """Where the metrics of models are kept, beside the models; it need not exist yet. None: there is no place."""
    try:
        return _folder(folder) / METRICS
    except FileNotFoundError:
        return None


def _home(spec: ModelSpec, folder: Path | None) -> Path:
    """The folder of a model's files."""
    if not spec.urls:
        return EMBEDDED if EMBEDDED.is_dir() else CHECKOUT
    return _folder(folder)


def _folder(folder: Path | None) -> Path:
    """The folder of the downloaded models."""
    return folder.expanduser() if folder else default_folder()


def _files(spec: ModelSpec, folder: Path | None) -> list[Path]:
    """Every file that may hold a model, in the order of preference: of each source the original, then the converted."""
    originals = [_home(spec, folder) / source.filename for source in spec.sources]
    return [path for file in originals for path in (file, converted.converted_path(file))]


def _urls(source: Source) -> list[str]:
    mirror = os.environ.get("DRAGGAN_MIRROR")
    return [*([f"{mirror.rstrip('/')}/{source.filename}"] if mirror else []), *source.urls]
