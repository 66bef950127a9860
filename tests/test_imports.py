"""Imports run downwards only, and importing does nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import draggan

ROOT = Path(draggan.__file__).parent
FLOORS = [  # each may import those above it
    {
        "adam",
        "engines",
        "gradients",
        "memory",
        "table",
        "threads",
        "transfer",
        "writable",
        "stylegan2.convolution",
        "stylegan2.config",
        "stylegan2.device",
        "stylegan2.pickles",
        "stylegan2.recent",
        "stylegan2.recordings",
    },
    {"geometry", "imagefile"},
    {"download", "picture", "stylegan2.ops", "stylegan2.arrays"},
    {"arguments", "stylegan2.layers", "stylegan2.foreign", "paste", "faces"},
    {"stylegan2.strips"},
    {"stylegan2.generator"},
    {"stylegan2.windows", "stylegan2.checkpoint", "delta", "distribution", "perceptual"},
    {"stylegan2.converted", "features", "metric", "precision", "render", "survey", "photo"},
    {"mask", "models", "matching", "leastsquares", "kept", "views"},
    {"course", "fixed"},
    {"engine"},
    {"kinematics", "progress", "film", "cache", "invert"},
    {"session"},
    {"facts", "restore", "tuning"},
    {"project", "reconstruct"},
    {"web", "batches"},
    {"cli"},
    {"__main__", "web.__main__"},
]


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def floor(name):
    exact = [i for i, names in enumerate(FLOORS) if name in names]
    within = [i for i, names in enumerate(FLOORS) if any(name.startswith(f"{n}.") for n in names)]
    return (exact or within)[0]


def imported(path):
    """Every module that a file imports, also inside functions, but not for type checking only."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


KNOWN = [name for name, _ in modules() if name not in ("__init__", "", "stylegan2")]


@pytest.mark.parametrize(("name", "path"), [m for m in modules() if m[0] in KNOWN], ids=KNOWN)
def test_imports_run_downwards(name, path):
    for target in imported(path):
        inner = target.removeprefix("draggan.")
        if inner == target or inner not in KNOWN or inner.split(".")[0] == name.split(".")[0] == "web":
            continue
        assert floor(inner) < floor(name), f"{name} imports {inner}"


def test_only_the_page_imports_gradio_and_only_the_command_line_prints():
    for name, path in modules():
        if not name.startswith("web"):
            assert not any(target.split(".")[0] == "gradio" for target in imported(path)), name
        if name not in ("cli", "batches"):
            calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
            assert not any(isinstance(c.func, ast.Name) and c.func.id == "print" for c in calls), name


def test_importing_does_nothing(tmp_path):
    code = (
        "import os, threading, importlib\n"
        "before = dict(os.environ)\n"
        f"for name in {[n for n in KNOWN if '__main__' not in n]!r}: importlib.import_module('draggan.' + name)\n"
        "import torch\n"
        "assert not torch.cuda.is_initialized()\n"
        "assert {k: v for k, v in os.environ.items() if before.get(k) != v and 'GRADIO' not in k} == {}, os.environ\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert not list(tmp_path.iterdir())


def test_the_public_names():
    for name in draggan.__all__:
        assert callable(getattr(draggan, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        draggan.nothing  # noqa: B018
