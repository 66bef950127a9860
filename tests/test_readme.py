"""The README says what is so."""

import re
import shlex
from pathlib import Path

import pytest

from draggan.arguments import parser
from draggan.registry.table import MODELS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_every_model_is_in_the_table_with_its_licence(spec):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{spec.name}` |"))
    assert f"{spec.width} x {spec.height}" in row
    assert f" | {spec.memory_mb} MB | " in row
    assert f"[{spec.shows}]({spec.page})" in row
    assert spec.licence.name in row
    assert spec.licence.url in row


def test_the_tree_is_the_tree():
    told = re.search(r"## The tree\n+```\n(.*?)```", README, re.DOTALL)[1]
    names = {line.split()[0] for line in told.splitlines() if ".py " in line}
    assert names == {p.name for p in (ROOT / "draggan").rglob("*.py")} - {"__main__.py"}


def test_links_and_pictures_are_there():
    for target in re.findall(r"\]\(([^)#:]+)\)|src=\"([^\"]+)\"", README):
        assert (ROOT / "".join(target)).exists()


def test_the_commands_are_understood():
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("draggan ")]
    inline = re.findall(r"`(draggan (?:drag|invert|image|models)[^`]* [^`]*)`", README)
    assert len(lines) > 10
    for line in (*lines, *(each for each in inline if "--out" in each)):
        parser().parse_args(shlex.split(line, comments=True)[1:])


def test_each_benchmark_has_the_options_that_are_named():
    told = README + (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    commands = re.findall(r"`python -m benchmarks\.(\w+)([^`]*)`", told)
    assert len({name for name, _ in commands}) == 14
    for name, options in commands:
        source = (ROOT / "benchmarks" / f"{name}.py").read_text("utf-8")
        for option in re.findall(r"--[a-z-]+", options):
            assert f'"{option}"' in source, f"{name} {option}"
