"""A wheel built from the repository and put elsewhere works without it."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.request import urlopen

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of a wheel's content, outside the repository."""
    dist, site = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = dist.glob("draggan-*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    return site


def elsewhere(installed):
    return os.environ | {"PYTHONPATH": str(installed), "PYTHONUNBUFFERED": "1"}


def test_the_wheel_holds_the_model_and_nothing_of_the_benchmarks(installed):
    names = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert "draggan/embedded/plush-256.safetensors" in names
    assert any(name.startswith("draggan/embedded/metrics/") for name in names), "its first drag would take seconds"
    assert "draggan/web/canvas.js" in names
    assert "draggan/py.typed" in names, "without it, type checkers know nothing of what a user calls"
    assert not any("benchmarks" in name or "landmarks" in name or name.startswith("tests") for name in names)


def test_the_installed_wheel_drags(installed, tmp_path):
    code = "import draggan, sys; assert draggan.__file__.startswith(sys.argv[1]), draggan.__file__"
    subprocess.run([sys.executable, "-c", code, str(installed)], cwd=tmp_path, env=elsewhere(installed), check=True)
    command = [sys.executable, "-m", "draggan", "drag", "--pair", "155,148:150,148", "--max-steps", "2"]
    subprocess.run(
        [*command, "--device", "cpu", "--out", "a.png"],
        cwd=tmp_path,
        env=elsewhere(installed),
        check=True,
        capture_output=True,
    )
    assert Image.open(tmp_path / "a.png").size == (256, 256)


def test_the_installed_wheel_starts_the_page(installed, tmp_path):
    command = [sys.executable, "-m", "draggan.web", "--device", "cpu", "--port", "17960"]
    with subprocess.Popen(command, cwd=tmp_path, env=elsewhere(installed), stdout=subprocess.PIPE, text=True) as server:
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found
        assert b"draggan" in urlopen(found[0], timeout=20).read()
        server.terminate()
