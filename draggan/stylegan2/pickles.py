"""A pickle read as data: its opcodes build plain values, and records of what the file would have called.

Python's own unpickler calls what a file names; this one calls nothing, whatever the file says. Long byte strings stay
in the file, as the places where they are. The work and the memory are bounded by limits, not by what the file
declares. Knows nothing of tensors or networks. Opcodes: the module `pickletools` of the standard library.
"""

import pickle
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, BinaryIO

MAX_OPCODES = 500_000  # a training snapshot of a 1024 pixel network has about 100,000
MAX_TEXT = 16 << 20  # bytes in all text of a pickle; the source text in a training snapshot is about 1 MB
MAX_NAME = 200  # bytes in one line of a global's name
MAX_KEY = 1 << 48  # of the numbers that dictionaries may have as keys: addresses, in old files


@dataclass(frozen=True)
class Span:
    """A byte string that was left in the file."""

    start: int
    length: int


@dataclass(frozen=True)
class Global:
    """A class or function that the file names: only its name."""

    name: str


class Record:
    """What would have been `name(*args)` in the program that wrote the file, then given items and a state."""

    __slots__ = ("args", "items", "name", "state")

    def __init__(self, name: str, args: tuple) -> None:
        self.name = name
        self.args = args
        self.items: dict[Any, Any] = {}
        self.state: Any = None


@dataclass(frozen=True, eq=False)
class Unpickled:
    value: Any  # None, bool, int, float, str, tuple, list (sets too), dict, Span, Global, Record
    end: int  # the byte after the pickle
    storages: tuple[Any, ...]  # the persistent ids in it, in order


def unpickle(file: BinaryIO, start: int, end: int, allowed: Collection[str]) -> Unpickled:
    """The pickle that begins at byte `start` and does not reach past byte `end`.

    Raises ValueError for damage, for a limit passed, and for every name that is not in `allowed`.
    """
    machine = _Machine(file, start, end, allowed)
    try:
        machine.run()
    except IndexError:
        raise ValueError(f"damaged at byte {machine.at}: nothing is there to take") from None
    return Unpickled(machine.stack[-1], machine.at, tuple(machine.persistent))


def kind(value: Any) -> str:
    """A value in words, short whatever it is."""
    return value.name if isinstance(value, Global | Record) else type(value).__name__


class _Machine:
    """The stack machine that pickles are programs of: what `OPCODES` are made of."""

    def __init__(self, file: BinaryIO, start: int, end: int, allowed: Collection[str]) -> None:
        self.file, self.at, self.end, self.allowed = file, start, end, allowed
        self.text_left = MAX_TEXT
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks below the marks
        self.memo: dict[int, Any] = {}
        self.persistent: list[Any] = []
        file.seek(start)

    def run(self) -> None:
        for _ in range(MAX_OPCODES):
            code = self.take(1)
            if code == pickle.STOP:
                if self.outer or not self.stack:
                    raise ValueError(f"damaged: it stops in the middle of a value, at byte {self.at}")
                return
            act = OPCODES.get(code[0])
            if act is None:
                raise ValueError(f"opcode 0x{code[0]:02x} at byte {self.at - 1} is not one that may be read")
            act(self)
        raise ValueError(f"it has more than {MAX_OPCODES} opcodes")

    def require(self, length: int) -> None:
        if length > self.end - self.at:
            raise ValueError(f"cut off: {length} bytes are declared at byte {self.at}, {self.end - self.at} are left")

    def take(self, length: int) -> bytes:
        self.require(length)
        data = self.file.read(length)
        if len(data) != length:
            raise ValueError(f"cut off at byte {self.at}")
        self.at += length
        return data

    def size(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, count: int) -> list[Any]:
        """The last values, the last one last."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.outer.pop()
        return items

    def named(self, name: str) -> Global:
        if name not in self.allowed:
            raise ValueError(f"it names {name[:MAX_NAME]}, which is not on the list of what may be read")
        return Global(name)

    # values ----------------------------------------------------------------------------------------------------------

    def integer(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little", signed=True)

    def floating(self) -> float:
        return struct.unpack(">d", self.take(8))[0]

    def text(self, width: int) -> str:
        length = self.size(width)
        self.text_left -= length
        if self.text_left < 0:
            raise ValueError(f"it has more than {MAX_TEXT >> 20} MB of text")
        return self.take(length).decode()

    def span(self, width: int) -> Span:
        span = Span(self.at + width, self.size(width))
        self.require(span.length)
        self.at += span.length
        self.file.seek(self.at)
        return span

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError(f"damaged at byte {self.at}: items are given to what is not a list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Record):
            target = target.items
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError(f"damaged at byte {self.at}: keys are given to what is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str) and not (isinstance(key, int) and 0 <= key < MAX_KEY):
                raise ValueError(f"a dictionary key of type {type(key).__name__} at byte {self.at}")
            target[key] = value

    # names and objects -----------------------------------------------------------------------------------------------

    def global_lines(self) -> None:
        lines = []
        for _ in range(2):
            line = self.file.readline(min(MAX_NAME, self.end - self.at))
            self.at += len(line)
            if not line.endswith(b"\n"):
                raise ValueError(f"damaged at byte {self.at}: a name without an end")
            lines.append(line[:-1].decode())
        self.push(self.named(".".join(lines)))

    def global_stack(self) -> None:
        module, name = self.pop(2)
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError(f"damaged at byte {self.at}: a name that is not text")
        self.push(self.named(f"{module}.{name}"))

    def call(self) -> None:
        function, args = self.pop(2)
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise ValueError(f"a call at byte {self.at} of what is not a name on the list, but {kind(function)}")
        self.push(Record(function.name, args))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, Record):
            raise ValueError(f"a state is set at byte {self.at} on what is not an object, but {kind(target)}")
        target.state = state

    def persistent_id(self) -> None:
        key = self.stack.pop()
        self.persistent.append(key)
        self.push(Record("persistent id", (key,)))

    # stack and memo --------------------------------------------------------------------------------------------------

    def protocol(self) -> None:
        version = self.size(1)
        if not 2 <= version <= 5:
            raise ValueError(f"a pickle of protocol {version}; 2 to 5 can be read")

    def frame(self) -> None:
        self.require(self.size(8))

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError(f"damaged at byte {self.at}: it refers to a value that it does not have")
        self.push(self.memo[index])


OPCODES: dict[int, Callable[[_Machine], Any]] = {
    code[0]: act
    for code, act in (
        (pickle.BINGET, lambda m: m.get(m.size(1))),
        (pickle.LONG_BINGET, lambda m: m.get(m.size(4))),
        (pickle.BINPUT, lambda m: m.put(m.size(1))),
        (pickle.LONG_BINPUT, lambda m: m.put(m.size(4))),
        (pickle.MEMOIZE, lambda m: m.put(len(m.memo))),
        (pickle.NONE, lambda m: m.push(None)),
        (pickle.NEWTRUE, lambda m: m.push(True)),
        (pickle.NEWFALSE, lambda m: m.push(False)),
        (pickle.BININT, lambda m: m.push(m.integer(4))),
        (pickle.BININT1, lambda m: m.push(m.size(1))),
        (pickle.BININT2, lambda m: m.push(m.size(2))),
        (pickle.LONG1, lambda m: m.push(m.integer(m.size(1)))),
        (pickle.BINFLOAT, lambda m: m.push(m.floating())),
        (pickle.SHORT_BINUNICODE, lambda m: m.push(m.text(1))),
        (pickle.BINUNICODE, lambda m: m.push(m.text(4))),
        (pickle.BINUNICODE8, lambda m: m.push(m.text(8))),
        (pickle.SHORT_BINBYTES, lambda m: m.push(m.span(1))),
        (pickle.BINBYTES, lambda m: m.push(m.span(4))),
        (pickle.BINBYTES8, lambda m: m.push(m.span(8))),
        (pickle.BYTEARRAY8, lambda m: m.push(m.span(8))),
        (pickle.EMPTY_TUPLE, lambda m: m.push(())),
        (pickle.TUPLE1, lambda m: m.push(tuple(m.pop(1)))),
        (pickle.TUPLE2, lambda m: m.push(tuple(m.pop(2)))),
        (pickle.TUPLE3, lambda m: m.push(tuple(m.pop(3)))),
        (pickle.TUPLE, lambda m: m.push(tuple(m.pop_mark()))),
        (pickle.EMPTY_LIST, lambda m: m.push([])),
        (pickle.APPEND, lambda m: m.extend(m.pop(1))),
        (pickle.APPENDS, lambda m: m.extend(m.pop_mark())),
        (pickle.EMPTY_SET, lambda m: m.push([])),
        (pickle.ADDITEMS, lambda m: m.extend(m.pop_mark())),
        (pickle.FROZENSET, lambda m: m.push(m.pop_mark())),
        (pickle.EMPTY_DICT, lambda m: m.push({})),
        (pickle.SETITEM, lambda m: m.set_items(m.pop(2))),
        (pickle.SETITEMS, lambda m: m.set_items(m.pop_mark())),
        (pickle.GLOBAL, _Machine.global_lines),
        (pickle.STACK_GLOBAL, _Machine.global_stack),
        (pickle.REDUCE, _Machine.call),
        (pickle.NEWOBJ, _Machine.call),
        (pickle.BUILD, _Machine.build),
        (pickle.BINPERSID, _Machine.persistent_id),
        (pickle.PROTO, _Machine.protocol),
        (pickle.FRAME, _Machine.frame),
        (pickle.MARK, _Machine.mark),
        (pickle.POP, lambda m: m.pop(1)),
        (pickle.POP_MARK, _Machine.pop_mark),
    )
}
