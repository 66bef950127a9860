"""Imports never run in a circle, each module does without what it need not know, and importing does nothing."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import draggan

ROOT = Path(draggan.__file__).parent
FILES = ("registry", "project", "restore")
SCREENS = ("render", "web", "cli", "batches")
APART = {  # what modules must do without, also behind what they import
    "engine": (*FILES, *SCREENS, "session", "inversion"),
    "inversion": (*FILES, *SCREENS, "session", "engine"),
    "session": (*FILES, *SCREENS),
    "registry": (*SCREENS, "session", "engine", "inversion"),
    "render": (*FILES, "web", "cli", "session", "engine"),
    "project": ("web", "cli"),
    "batches": ("web", "cli"),
}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


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


KNOWN = {name: path for name, path in modules() if path.name != "__init__.py"}
IMPORTS = {  # of each module those of draggan
    name: {target.removeprefix("draggan.") for target in imported(path)} & KNOWN.keys() - {name}
    for name, path in KNOWN.items()
}


def within(name, package):
    return name == package or name.startswith(f"{package}.")


def reached(name):
    """What a module imports, and what that imports, and so on."""
    found, new = set(), {name}
    while new:
        found |= new
        new = set().union(*(IMPORTS[each] for each in new)) - found
    return found - {name}


def test_no_imports_run_in_a_circle():
    TopologicalSorter(IMPORTS).prepare()  # raises CycleError, which names them


def test_the_network_knows_only_itself():
    for name in KNOWN:
        if within(name, "stylegan2"):
            assert all(within(other, "stylegan2") for other in IMPORTS[name]), name


@pytest.mark.parametrize("name", APART)
def test_what_is_apart_stays_apart(name):
    for each in (known for known in KNOWN if within(known, name)):
        assert not {other for other in reached(each) if any(within(other, banned) for banned in APART[name])}, each


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
        "import sys, torch\n"
        "assert 'skimage' not in sys.modules, 'it is imported only when a face is looked for'\n"
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
    assert dir(draggan) == sorted(draggan.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        draggan.nothing  # noqa: B018
