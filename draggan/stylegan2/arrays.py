"""The arrays in a foreign file, found without reading them: numpy's in pickles, PyTorch's in both of its formats.

`open_document` gives the file's value with every array still in the file; `Document.array` says where one is, and
`Array.read` reads it. Only what is wanted is ever in memory. Knows nothing of networks.

A PyTorch storage lies in one of three places: an entry of a zip archive (`torch.save` from 1.6 on), the bytes after
the pickles of a legacy file (`torch.save` before), or a whole legacy file inside a byte string of a plain pickle.
"""

import io
import math
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import torch
from torch import Tensor

from draggan.stylegan2.pickles import Global, Record, Span, kind, unpickle

ZIP = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a legacy file, then its version and the machine
LEGACY_VERSION = 1001
MAX_DIRECTORY = 1 << 20  # bytes in the table of contents of a zip archive; a training checkpoint's has 0.1 MB

STORAGE_TYPES = {
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.BoolStorage": torch.bool,
    "torch.ByteStorage": torch.uint8,
    "torch.CharStorage": torch.int8,
    "torch.ShortStorage": torch.int16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
}
NUMPY_TYPES = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "b1": torch.bool,
    "u1": torch.uint8,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
}
NUMPY_MODULES = ("numpy.core", "numpy._core")  # numpy 1, numpy 2
TENSOR, PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"
INLINE_STORAGE = "torch.storage._load_from_bytes"
MAPPINGS = ("collections.OrderedDict", "dnnlib.util.EasyDict", "dnnlib.EasyDict")

ALLOWED = frozenset(
    [
        *STORAGE_TYPES,
        TENSOR,
        PARAMETER,
        INLINE_STORAGE,
        *MAPPINGS,
        *(f"{m}.multiarray.{name}" for m in NUMPY_MODULES for name in ("_reconstruct", "scalar")),
        *(f"{m}.numeric._frombuffer" for m in NUMPY_MODULES),
        "numpy.ndarray",
        "numpy.dtype",
        "builtins.set",  # how protocol 3 writes a set
    ]
)


@dataclass(frozen=True)
class Storage:
    """Numbers in a row in the file."""

    start: int  # byte
    length: int  # bytes
    dtype: torch.dtype


@dataclass(frozen=True)
class Array:
    """An array that is still in the file: dense, in any order of its axes."""

    start: int  # byte of the first element
    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, file: BinaryIO) -> Tensor:
        """The array in memory of its own, its axes in the order in which they lie in the file."""
        raw = torch.empty(self.nbytes, dtype=torch.uint8)
        file.seek(self.start)
        if file.readinto(raw.numpy()) != self.nbytes:  # type: ignore[attr-defined] (every buffered file has it)
            raise ValueError(f"cut off: {self.nbytes} bytes are declared at byte {self.start}")
        return raw.view(self.dtype).as_strided(self.shape, self.strides)


@dataclass(frozen=True, eq=False)
class Document:
    """An opened foreign file."""

    file: BinaryIO
    value: Any  # as `pickles.unpickle` gives it
    storages: Mapping[str, Storage] = field(default_factory=dict)  # by their persistent keys

    def array(self, value: Any) -> Array:
        """Where the array is that `value` describes. Raises ValueError where it is no array, or damaged."""
        match value:
            case Record(name=name, args=(inner, *_)) if name == PARAMETER:
                return self.array(inner)
            case Record(name=name, args=(storage, offset, shape, strides, *_)) if name == TENSOR:
                return _dense(self._storage(storage), offset, shape, strides)
            case Record(name=name, state=(_, shape, dtype, fortran, Span() as span)) if name.endswith("._reconstruct"):
                return _from_numpy(span, dtype, shape, fortran)
            case Record(name=name, args=(Span() as span, dtype, shape, order)) if name.endswith("._frombuffer"):
                return _from_numpy(span, dtype, shape, order == "F")
        raise ValueError(f"an array is expected where the file has a {kind(value)}")

    def number(self, value: Any) -> float:
        """The number that `value` is: a plain one, or numpy's."""
        if isinstance(value, int | float):
            return float(value)
        match value:
            case Record(name=name, args=(dtype, Span() as span)) if name.endswith(".scalar"):
                return _from_numpy(span, dtype, (), False).read(self.file).item()
        raise ValueError(f"a number is expected where the file has a {kind(value)}")

    def _storage(self, value: Any) -> Storage:
        match value:
            case Record(name=name, args=(Span() as span,)) if name == INLINE_STORAGE:
                inner = _open_legacy(self.file, span.start, span.start + span.length, ALLOWED)
                return inner._storage(inner.value)
            case Record(name="persistent id", args=(key,)):
                name, dtype = _persistent(key)
                if name not in self.storages or self.storages[name].dtype != dtype:
                    raise ValueError(f"the storage {name[:100]!r} is missing, or of two types")
                return self.storages[name]
        raise ValueError(f"a storage is expected where the file has a {kind(value)}")


def mapping(value: Any) -> dict[Any, Any]:
    """The items of a dictionary, plain or of a kind of its own. Raises ValueError where it is none."""
    if isinstance(value, dict):
        return value
    if isinstance(value, Record) and value.name in MAPPINGS:
        return value.items
    raise ValueError(f"a dictionary is expected where the file has a {kind(value)}")


def open_document(file: BinaryIO, allowed: Collection[str]) -> Document:
    """A pickle or PyTorch file, whose pickles may name ALLOWED and `allowed`. Raises ValueError for anything else."""
    allowed = ALLOWED.union(allowed)
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(4)
    if head == ZIP:
        return _open_zip(file, end, allowed)
    if head[:1] != b"\x80":
        raise ValueError(f"it begins with {head!r}, which none of the formats does that can be read")
    first = unpickle(file, 0, end, allowed)
    if first.value == LEGACY_MAGIC:
        return _open_legacy(file, 0, end, allowed)
    return Document(file, first.value)


def _open_legacy(file: BinaryIO, start: int, end: int, allowed: Collection[str]) -> Document:
    """Pickles of magic, version, machine, value and storage keys; then each storage: a count (8 bytes), its data."""
    magic = unpickle(file, start, end, allowed)
    version = unpickle(file, magic.end, end, allowed)
    machine = unpickle(file, version.end, end, allowed)
    if magic.value != LEGACY_MAGIC or version.value != LEGACY_VERSION:
        raise ValueError("a PyTorch file of an unknown version")
    if mapping(machine.value).get("little_endian") is not True:
        raise ValueError("it was written on a big-endian machine: save it again on a little-endian one")
    body = unpickle(file, machine.end, end, allowed)
    keys = unpickle(file, body.end, end, allowed)
    types = dict(map(_persistent, body.storages))
    storages = {}
    at = keys.end
    for key in keys.value if isinstance(keys.value, list) else ():
        if not isinstance(key, str) or key not in types:
            raise ValueError("damaged: it has a storage that nothing refers to")
        file.seek(at)
        length = int.from_bytes(file.read(8), "little") * types[key].itemsize
        if at + 8 + length > end:
            raise ValueError(f"cut off: {length} bytes are declared at byte {at}, {max(end - at - 8, 0)} are left")
        storages[key] = Storage(at + 8, length, types[key])
        at += 8 + length
    return Document(file, body.value, storages)


def _open_zip(file: BinaryIO, end: int, allowed: Collection[str]) -> Document:
    """Entries `<folder>/data.pkl` and, for each storage, `<folder>/data/<key>`: stored, not compressed."""
    entries = {}
    for info in zipfile.ZipFile(_Bounded(file)).infolist():  # type: ignore[arg-type]
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise ValueError(f"its entry {info.filename[:100]!r} is compressed or encrypted, as PyTorch writes none")
        file.seek(info.header_offset)
        header = file.read(30)  # ends with the lengths of the name and of the extra field, which come before the data
        before = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        start = info.header_offset + 30 + before
        if header[:4] != ZIP or start + info.file_size > end:
            raise ValueError(f"damaged or cut off in its entry {info.filename[:100]!r}")
        entries[info.filename.partition("/")[2]] = Span(start, info.file_size)
    if "data.pkl" not in entries:
        raise ValueError("a zip archive, but not a PyTorch file: it has no data.pkl")
    if order := entries.get("byteorder"):
        file.seek(order.start)
        if file.read(min(order.length, 10)) != b"little":
            raise ValueError("it was written on a big-endian machine: save it again on a little-endian one")
    body = entries["data.pkl"]
    content = unpickle(file, body.start, body.start + body.length, allowed)
    storages = {}
    for name, dtype in map(_persistent, content.storages):
        if data := entries.get(f"data/{name}"):
            storages[name] = Storage(data.start, data.length, dtype)
    return Document(file, content.value, storages)


class _Bounded:
    """A file for `zipfile`, which reads a table of contents of any size at once: refuses one of more than 1 MB."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(MAX_DIRECTORY + 1 if size < 0 else min(size, MAX_DIRECTORY + 1))
        if len(data) > MAX_DIRECTORY:
            raise ValueError(f"its table of contents has more than {MAX_DIRECTORY >> 20} MB")
        return data


def _persistent(key: Any) -> tuple[str, torch.dtype]:
    """Key and type of a storage, from its persistent id: ('storage', type, key, device, elements, in old files None).

    How many elements there are is seen from the data.
    """
    match key:
        case ("storage", Global(name=dtype), str(name), str(), int()) if dtype in STORAGE_TYPES:
            return name, STORAGE_TYPES[dtype]
        case ("storage", Global(name=dtype), str(name), str(), int(), None) if dtype in STORAGE_TYPES:
            return name, STORAGE_TYPES[dtype]
    raise ValueError("damaged: a storage is described in an unknown way")


def _from_numpy(span: Span, dtype: Any, shape: Any, fortran: Any) -> Array:
    """dtype is `numpy.dtype('f4', ..)` with the state (version, byte order, ..)."""
    match dtype:
        case Record(name="numpy.dtype", args=(str(code), *_), state=(_, "<" | "|" | "=", *_)) if code in NUMPY_TYPES:
            storage = Storage(span.start, span.length, NUMPY_TYPES[code])
        case _:
            raise ValueError("a numpy array of a type that cannot be read: only little-endian numbers can")
    if not _is_shape(shape):
        raise ValueError("damaged: an array with an impossible shape")
    order = shape if not fortran else shape[::-1]
    strides = tuple(math.prod(order[i + 1 :]) for i in range(len(order)))
    return _dense(storage, 0, shape, strides[::-1] if fortran else strides)


def _dense(storage: Storage, offset: Any, shape: Any, strides: Any) -> Array:
    """The array within its storage. Raises ValueError where it reaches out of it, or has elements in common places."""
    if not (_is_shape(shape) and isinstance(strides, tuple) and len(strides) == len(shape) and _counts((offset,))):
        raise ValueError("damaged: an array with an impossible shape")
    axes = sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size > 1)
    expected = 1
    for stride, size in axes:
        if stride != expected:
            raise ValueError(f"an array of shape {shape} that is not dense: save it again as a contiguous one")
        expected *= size
    array = Array(storage.start + offset * storage.dtype.itemsize, storage.dtype, shape, strides)
    if array.start + array.nbytes > storage.start + storage.length:
        raise ValueError(f"cut off: an array of shape {shape} reaches over the end of its storage")
    return array


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple) and len(shape) <= 8 and _counts(shape) and 0 not in shape


def _counts(numbers: tuple) -> bool:
    """Whether these are whole numbers that a file on a disk can have."""
    return all(type(n) is int and 0 <= n < 1 << 48 for n in numbers)
