"""The measure of inversions: its parts in small, and what it keeps."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import draggan
from benchmarks import invert as figures
from benchmarks import make_renders
from benchmarks.cases import read_cases
from benchmarks.detector import Detector
from draggan.inversion.invert import InversionConfig, invert
from draggan.inversion.likeness import psnr
from draggan.inversion.tuning import TuningConfig, tune

FEW = InversionConfig(samples=32, candidates=1, refinements=1, steps=2)


@pytest.fixture(scope="module", autouse=True)
def quick(plush):
    """Inversions and tunings of a few steps, of the model that is here."""
    short = TuningConfig(steps=2, anchors=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(draggan, "load", lambda *_: plush)
        patched.setattr(figures, "InversionConfig", lambda **_: FEW)
        patched.setattr(figures, "invert", lambda g, picture, config=FEW: invert(g, picture, FEW))
        patched.setattr(figures, "tune", lambda g, latent, picture: tune(g, latent, picture, short))
        yield


@pytest.fixture(scope="module")
def bench(plush):
    return figures.Bench(plush, Detector())


@pytest.fixture(scope="module")
def render(tmp_path_factory):
    """A picture of the scene, in a file."""
    path = tmp_path_factory.mktemp("renders") / "a.webp"
    Image.fromarray(make_renders.render(make_renders.code(1))).save(path, lossless=True)
    return path


@pytest.fixture(scope="module")
def without(bench, quick, render):
    """The figures of that picture, where LPIPS cannot be measured."""
    return figures.rendered(bench, render)


def test_each_picture_has_its_figures(bench, without):
    row = figures.jittered(bench, 1)
    assert row["PSNR"] > 5
    assert row["seconds"] > 0
    assert without["PSNR of others"] > 20
    assert without["gain"] == pytest.approx(without["PSNR tuned"] - without["PSNR"])
    assert without["delta MB"] > 0


def test_lpips_is_measured_where_it_can_be(bench, without, render, monkeypatch):
    monkeypatch.setattr(figures, "lpips", psnr)
    row = figures.rendered(bench, render)
    assert set(row) - set(without) == {"LPIPS", "LPIPS tuned"}
    assert row["LPIPS"] == pytest.approx(row["PSNR"])
    assert row["LPIPS tuned"] == pytest.approx(row["PSNR tuned"])
    kept = {("renders", "invert", "a"): without, ("renders", "invert", "b"): row}
    assert "| LPIPS tuned | 1 |" in figures.table("renders", ["a", "b"], kept)


def test_a_drag_is_compared_with_the_same_on_the_models_own_picture(bench, monkeypatch):
    monkeypatch.setattr(figures, "MAX_STEPS", 2)
    case = next(case for case in read_cases() if case.kind == "mouth")
    row = figures.dragged(bench, case)
    for engine in ("draggan", "kinematics"):
        assert row[f"own, {engine}"] == pytest.approx(6, abs=6)
        assert row[f"PSNR there and back, {engine}"] == pytest.approx(row["PSNR tuned"], abs=8)


def test_a_run_goes_on_where_it_was_cut_off(bench, tmp_path, capsys, monkeypatch):
    kept = tmp_path / "figures.jsonl"
    command = ["--parts", "jittered", "--n", "2", "--device", "cpu", "--json", str(kept)]
    monkeypatch.setattr(figures, "jittered", lambda bench, seed: {"PSNR": float(seed)})
    figures.main(command)
    first = capsys.readouterr().out.partition("##")[2]
    assert "| PSNR | 2 | 90000.50 | 90000.50 | 90000.00 | 90001.00 |" in first
    assert [json.loads(line)["name"] for line in kept.read_text().splitlines()] == ["90000", "90001"]
    monkeypatch.setattr(figures, "jittered", lambda bench, seed: pytest.fail("measured again"))
    figures.main(command)
    assert capsys.readouterr().out.partition("##")[2] == first


def test_renders_are_of_the_scene_that_the_model_knows(plush):
    """The model was fitted to such pictures: its own of the same code is near."""
    picture = make_renders.render(make_renders.code(5))
    own = plush.render(plush.map(make_renders.code(5)))
    assert picture.shape == (256, 256, 3)
    far = (torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1 - own[0]).square().mean()
    other = (torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1 - plush.render(plush.latent(6))[0]).square().mean()
    assert far < 0.1 * other


def test_the_committed_renders_are_of_the_models_size():
    paths = sorted(figures.RENDERS.glob("*.webp"))
    assert paths
    assert all(np.asarray(Image.open(path)).shape == (256, 256, 3) for path in paths)
