"""Files made to run code, to exhaust the machine, or to crash whoever reads them."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from tests import foreign_files
from tests.foreign_files import EasyDict, Pickler, TensorFlowNetwork, legacy_bytes
from tests.networks import random_tensors, tiny_config

HUGE = 1 << 60
MANY = 450_000  # just under the number of opcodes that are read at all


class Calls:
    """Reduces to a call."""

    def __init__(self, function: Callable, *args: Any) -> None:
        self.reduced = (function, args)

    def __reduce__(self) -> tuple:
        return self.reduced


def dumps(value: Any, protocol: int = 4) -> bytes:
    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()


def named(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(value.encode())) + value.encode()


def program(*opcodes: bytes) -> bytes:
    return pickle.PROTO + b"\x04" + b"".join(opcodes) + pickle.STOP


def hostile_pickles() -> Iterator[tuple[str, bytes, str]]:
    """(what it tries, the file, a pattern that the refusal has to match)"""
    yield "os.system", dumps(Calls(os.system, "touch hacked"), 3), r"names (posix|nt)\.system"
    yield "os.system by its other name", program(named("os", "system"), text("id"), b"\x85R"), r"names os\.system"
    yield "eval", dumps(Calls(eval, "1 + 1"), 4), r"names builtins\.eval"
    yield "exec, from Python 2", program(named("__builtin__", "exec"), text("1"), b"\x85R"), r"names __builtin__\.exec"
    yield "an import", dumps(Calls(__import__, "antigravity"), 4), r"names builtins\.__import__"
    yield "getattr", dumps(Calls(getattr, {}, "clear"), 4), r"names builtins\.getattr"
    yield "torch.load", program(named("torch", "load"), text("a.pt"), b"\x85R"), r"names torch\.load"
    yield "numpy's test runner", program(named("numpy.testing._private.utils", "runstring")), r"names numpy\.testing"
    yield "within a name that is allowed", program(named("collections", "OrderedDict.fromkeys.__self__")), "names coll"
    yield (
        "a name that moves the cursor",
        program(text("os\x1b[2J"), text("x"), pickle.STACK_GLOBAL),
        r"names os\?\[2J\.x",
    )
    yield "a name that is a number", program(b"K\x01K\x02", pickle.STACK_GLOBAL), "not text"
    yield "in the options of a training", dumps({"training_set_kwargs": EasyDict(a=Calls(os.system, "id"))}), "system"
    yield "in a discriminator", dumps((None, TensorFlowNetwork("D", {}, {}, [Calls(os.system, "id")]), 1)), "system"
    yield "in a storage", program(named("torch.storage", "_load_from_bytes"), b"C\x01x\x85R"), "no StyleGAN2"

    ordered = named("collections", "OrderedDict")
    yield "the result of a call is called", program(ordered, b")R)R"), r"a call .* but collections\.OrderedDict"
    yield "text is called", program(text("os.system"), b")R"), "a call .* but str"
    yield "a class is called with no tuple", program(ordered, b"]R"), "a call"
    yield "a state for a dictionary", program(b"}", text("x"), b"b"), "a state is set .* but dict"
    yield "a state for a class", program(ordered, b"}b"), "a state is set"
    network = named("dnnlib.tflib.network", "Network") + b")\x81"
    yield "a state that is the object itself", program(network, b"q\x00h\x00b"), "no StyleGAN2"
    itself = program(b"NN", network, b"q\x00h\x00b\x87")
    yield "a network whose state is itself", itself, "a dictionary is expected"
    parts = network + b"q\x00}(" + text("static_kwargs") + b"}" + text("variables") + b"]"
    circle = parts + text("components") + b"}(" + text("mapping") + b"h\x00" + text("synthesis") + b"h\x00uub"
    yield "a network that is part of itself", program(b"NN", circle, b"\x87"), "tensor|missing"
    yield "states in states", program(network * 1000, b"b" * 999), "no StyleGAN2"

    for opcode in (b"i", b"o", b"2", b"P", b"\x82", b"\x83", b"\x84", b"\x92", b"\x97", b"\x98", b"I", b"L", b"\x8b"):
        yield f"opcode {opcode!r}", program(opcode), "opcode 0x"
    yield "items without a list", program(b"(e"), "damaged"
    yield "a mark too few", program(b"e"), "damaged"
    yield "an empty stack", program(b"0"), "damaged"
    yield "nothing on the stack", program(), "damaged"
    yield "a mark too many", program(b"(N"), "in the middle"
    yield "an unknown memo", program(b"h\x07"), "refers to"
    yield "odd items", program(b"}(Nu"), "keys are given"
    yield "a key that is no key", program(b"}NNs"), "key of type NoneType"
    yield "a key that hashes slowly", program(b"}))s"), "key of type tuple"
    yield "protocol 200", b"\x80\xc8N.", "protocol 200"

    yield "bytes of an exabyte", program(pickle.BINBYTES8, struct.pack("<Q", HUGE)), "cut off"
    yield "a bytearray of an exabyte", program(pickle.BYTEARRAY8, struct.pack("<Q", HUGE)), "cut off"
    yield "text of an exabyte", program(pickle.BINUNICODE8, struct.pack("<Q", HUGE)), "cut off|text"
    yield "text of 4 GB", program(pickle.BINUNICODE, b"\xff" * 4), "cut off|text"
    yield "a frame of an exabyte", program(pickle.FRAME, struct.pack("<Q", HUGE), b"N"), "cut off"
    yield "a number of 2 GB", program(pickle.LONG4, struct.pack("<i", 2**31 - 1)), "opcode 0x8b"
    yield "a memo of 4 billion", program(b"N", pickle.LONG_BINPUT, b"\xff" * 4), "no StyleGAN2"
    yield "text that is not text", program(text("x")[:-1], b"\xff"), "utf-8"
    yield "a name of 5 MB", program(pickle.GLOBAL, b"a" * 5_000_000), "a name without an end"
    wide = "a" * (15 << 20) + "\U0001f600"  # one such character makes every other take 4 bytes
    yield "text that grows", program(text(wide), b"0N"), "no StyleGAN2"
    yield "twice that", program(text(wide), b"0", text(wide)), "MB of text"

    yield "tuples in tuples", program(b")", b"\x85" * MANY), "no StyleGAN2"
    calls = b"h\x00" * (MANY // 4) + b")R" + b"\x85R" * (MANY // 4 - 1)
    yield "calls in calls", program(ordered, b"q\x000", calls), "no StyleGAN2"
    yield "lists in lists", program(b"]" * (MANY // 2), b"a" * (MANY // 2 - 1)), "no StyleGAN2"
    yield "marks in marks", program(b"(" * MANY), "in the middle"
    key = text("x") + b"q\x00"
    yield (
        "dictionaries in dictionaries",
        program(key, b"0", b"}h\x00" * (MANY // 3), b"}", b"s" * (MANY // 3)),
        "no Style",
    )
    yield "half a million sets", program(b"\x8f" * MANY), "no StyleGAN2"
    yield "half a million objects", program(ordered, b"q\x000", b"h\x00)R" * (MANY // 3)), "no StyleGAN2"
    yield "half a million memos", program(b"]\x94" * (MANY // 2)), "no StyleGAN2"
    yield "too many opcodes", program(b"N" * 5_000_000), "more than 500000 opcodes"


def hostile_modules() -> Iterator[tuple[str, bytes, str]]:
    """Snapshots of NVIDIA's whose modules or arrays are traps."""
    reconstruct = named("torch_utils.persistence", "_reconstruct_persistent_obj")

    def module(children: bytes, parameters: bytes = b"}") -> bytes:
        """A module; both arguments are the opcodes of a dictionary."""
        parts = text("_parameters") + parameters + text("_buffers") + b"}" + text("_modules") + children
        return reconstruct + b"}" + text("state") + b"}(" + parts + b"us\x85R"

    def snapshot(generator: bytes) -> bytes:
        return program(b"}", text("G_ema"), generator, b"s")

    in_itself = reconstruct + b"}q\x00\x85Rq\x01h\x00" + text("state") + b"}("
    in_itself += text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules") + b"}" + text("a") + b"h\x01s"
    yield "a module in itself", snapshot(in_itself + b"us0"), "not a module of its own"
    shared = module(b"}")
    for _ in range(50):
        shared = shared + b"q\x000" + module(b"}(" + text("a") + b"h\x00" + text("b") + b"h\x00u")
    yield "2**50 modules", snapshot(shared), "not a module of its own"
    head, tail = module(b"}" + text("a") + b"MIDDLE" + b"s").split(b"MIDDLE")
    yield "modules in modules", snapshot(head * 2000 + module(b"}") + tail * 2000), "more than 1000 modules"

    storage = torch.zeros(1000).untyped_storage()
    storage = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)

    def tensor(size: tuple, stride: tuple, offset: int = 0, of: Any = storage) -> bytes:
        call = Calls(torch._utils._rebuild_tensor_v2, of, offset, size, stride, False, OrderedDict())
        return dumps(call, 3)[2:-1]

    def holding(*tensors: bytes) -> bytes:
        items = b"".join(text(f"w{i}") + opcodes for i, opcodes in enumerate(tensors))
        return snapshot(module(b"}", b"}(" + items + b"u"))

    yield "a tensor of an exabyte", holding(tensor((1 << 30, 1 << 30), (1 << 30, 1))), "end of its storage"
    yield "one number as an exabyte", holding(tensor((1 << 30, 1 << 30), (0, 0))), "not dense"
    yield "a size beyond all numbers", holding(tensor((1 << 70,), (1,))), "impossible shape"
    yield "a negative size", holding(tensor((-1, -1000), (1, 1))), "impossible shape"
    yield "a negative offset", holding(tensor((10,), (1,), -5)), "impossible shape"
    yield "an offset past the end", holding(tensor((10,), (1,), 995)), "end of its storage"
    yield "an axis without a stride", holding(tensor((10, 10), (1,))), "impossible shape"
    yield "a hundred axes", holding(tensor((1,) * 100, (1,) * 100)), "impossible shape"
    yield "sizes that are no numbers", holding(tensor(("a",), (1,))), "impossible shape"
    yield "a tensor of a tensor", holding(tensor((1,), (1,), of=torch.zeros(3))), "a storage is expected"
    yield "no tensor at all", holding(b"}"), "an array is expected"
    yield "5000 tensors", holding(tensor((1,), (1,)) + b"q\x63", *[b"h\x63"] * 5000), "more than 1000"

    for what, old, new in (
        ("an exabyte of numbers", (1000).to_bytes(8, "little"), HUGE.to_bytes(8, "little")),
        ("another magic", b"l\xfc\x9cF", b"l\xfc\x9cG"),
        ("os.system for a class", b"ctorch\nFloatStorage\n", b"cos\nsystem\nXXXXXXXXXX"),
        ("a device of a megabyte", b"\x03\x00\x00\x00cpu", b"\x00\x00\x10\x00cpu"),
    ):
        inner = legacy_bytes(storage)
        assert inner.count(old) == 1
        broken = Calls(torch.storage._load_from_bytes, inner.replace(old, new))
        yield f"a storage with {what}", holding(tensor((10,), (1,), of=broken)), r"cut off|version|names os\.system"

    array = np.zeros(10, np.float32)
    for what, shape, dtype in (
        ("an exabyte", (1 << 30, 1 << 30), array.dtype),
        ("a shape beyond all numbers", (1 << 70,), array.dtype),
        ("a negative shape", (-1,), array.dtype),
        ("objects", (10,), np.dtype("O")),
        ("big-endian numbers", (10,), np.dtype(">f4")),
        ("no type", (10,), "f4"),
    ):
        reconstruct_array, args, _ = array.__reduce__()
        made = Reduced(reconstruct_array, args, (1, shape, dtype, False, array.tobytes()))
        yield f"numpy: {what}", dumps(tensorflow([("dlatent_avg", made)])), "cut off|impossible|numpy array of a type"
    yield "variables that are no list", dumps(tensorflow(7)), "TypeError"
    yield "variables without a name", dumps(tensorflow([3])), "without a name"
    yield "an array of too few axes", dumps(tensorflow([("synthesis/noise0", array)])), "IndexError"
    yield "a block beyond all numbers", dumps(tensorflow([("synthesis/noise99", array[None, None])])), "is missing"
    yield (
        "a block of many digits",
        dumps(tensorflow([(f"{'9' * 9999}x{'9' * 9999}/Conv1/bias", array)])),
        "no StyleGAN2",
    )


class Reduced(Calls):
    """Reduces to a call and a state."""

    def __init__(self, function: Callable, args: tuple, state: Any) -> None:
        self.reduced = (function, args, state)


def tensorflow(variables: Any) -> tuple:
    parts = {name: TensorFlowNetwork(name, {}, {}, []) for name in ("mapping", "synthesis")}
    return None, None, TensorFlowNetwork("Gs", {}, parts, variables)


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def hostile_archives() -> Iterator[tuple[str, bytes, str]]:
    bomb = zipped({"a/data.pkl": bytes(300_000_000)}, zipfile.ZIP_DEFLATED)
    yield "a zip bomb", bomb, "compressed"
    yield "a zip of something else", zipped({"a/readme": b"x"}), r"no data\.pkl"
    yield "a zip of 30,000 files", zipped({f"a/data/{i}": b"" for i in range(30_000)}), "table of contents"
    yield "code in a zip", zipped({"a/data.pkl": dumps(Calls(os.system, "id"), 2)}), r"names (posix|nt)\.system"
    yield (
        "an entry longer than the file",
        zipped({"a/data.pkl": b"\x80\x02N."}).replace(struct.pack("<II", 4, 4), struct.pack("<II", 1 << 30, 1 << 30)),
        "cut off|BadZip",
    )
    good = zipped({"a/data.pkl": b"\x80\x02N."})
    start = good.index(b"PK\x05\x06")
    yield "contents of 4 GB", good[: start + 12] + b"\xff" * 4 + good[start + 16 :], "zip|Zip"
    yield "big-endian", zipped({"a/data.pkl": b"\x80\x02N.", "a/byteorder": b"big"}), "big-endian"

    config = tiny_config(8)
    tensors = random_tensors(config)
    state = foreign_files.rosinality_state(config, tensors)
    one = torch.zeros(100_000)
    state["style.1.weight"] = one[:90_000].view(300, 300)
    for i in range(2, 200):
        state[f"style.{i}.weight"], state[f"style.{i}.bias"] = one[:90_000].view(300, 300), one[:300]
    for name in state:
        if name.endswith("modulation.weight"):
            state[name] = torch.zeros(8, 300)
    state["style.1.bias"] = one[:300]
    for legacy in (False, True):
        file = io.BytesIO()
        content = {"g_ema": state, "latent_avg": one[:300]}
        torch.save(content, file, _use_new_zipfile_serialization=not legacy)
        yield f"a storage used 400 times, legacy {legacy}", file.getvalue(), "more bytes than the file"
    data = legacy_bytes({"g_ema": {}, "latent_avg": torch.zeros(1000)})
    count = (1000).to_bytes(8, "little")
    assert data.count(count) == 1
    yield "a legacy storage of an exabyte", data.replace(count, HUGE.to_bytes(8, "little")), "cut off"
    yield "a legacy file without its storages", data[: data.index(count)], "cut off"


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(encoded) if length is None else length).to_bytes(8, "little") + encoded + data


def hostile_safetensors() -> Iterator[tuple[str, bytes, str]]:
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    yield "a header of an exabyte", safetensors({}, length=HUGE), "its header says"
    yield "a header past the end", safetensors({}, length=1000), "\\S"
    yield "a header of 5 MB", safetensors(b"{" + b" " * 5_000_000 + b"}"), "its header says"
    yield "a deep header", safetensors(b'{"a":' + b"[" * 400_000 + b"]" * 400_000 + b"}"), "\\S"
    yield "no metadata", safetensors({"a": one}, bytes(8)), "no config"
    yield "a tensor past the end", safetensors({"a": one}, bytes(4)), "\\S"
    yield "tensors over each other", safetensors({"a": one, "b": one}, bytes(8)), "\\S"
    huge = one | {"shape": [1 << 40, 1 << 40]}
    yield "a shape of an exabyte", safetensors({"a": huge}, bytes(8)), "\\S"
    for what, config in {
        "deep": "[" * 400_000 + "]" * 400_000,
        "no object": "[]",
        "no JSON": "{",
        "empty": "{}",
        "no number": '{"mapping_lr_multiplier": NaN}',
        "a text": '{"mapping_lr_multiplier": "0.01"}',
        "a huge number": '{"mapping_lr_multiplier": 1' + "0" * 400 + "}",
        "a huge clamp": '{"mapping_lr_multiplier": 1, "conv_clamp": 1e999}',
        "a longer number": '{"mapping_lr_multiplier": 1' + "0" * 100_000 + "}",
    }.items():
        yield f"a config that is {what}", safetensors({"__metadata__": {"config": config}, "a": one}, bytes(8)), "\\S"


def hostile_files() -> Iterator[tuple[str, bytes, str]]:
    yield from hostile_pickles()
    yield from hostile_modules()
    yield from hostile_archives()
    yield from hostile_safetensors()
