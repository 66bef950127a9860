"""The measure of the drag: its detector, its drags, and a few of them run."""

import json
import math
import subprocess
import sys

import pytest
import torch

from benchmarks.detector import LANDMARKS, Detector
from benchmarks.landmarks import read_cases, run, table
from benchmarks.scene import landmarks
from draggan.engine.paper import DragConfig


def test_the_detector_finds_what_the_scene_says(plush):
    z = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    z = z / z.square().mean(dim=1, keepdim=True).sqrt()
    parameters = 0.5 * (1 + torch.erf(z[:, :33] / math.sqrt(2)))
    true = (landmarks(parameters) * torch.tensor([1, -1]) + 1) / 2 * 256 - 0.5  # (8, 8, 2), y down
    error = (Detector()(plush.render(plush.map(z))) - true).norm(dim=2).mean(dim=0)
    assert error[:3].max() < 4, "nose and eyes"
    assert error.max() < 12


def test_the_drags_are_possible(plush):
    cases = read_cases()
    assert len(cases) == 60
    assert {case.kind for case in cases} == {"pose", "mouth", "ears", "face5", "all8"}
    assert all(set(case.landmarks) <= set(LANDMARKS) for case in cases)
    assert all(p.inside((256, 256)) for case in cases for pair in case.pairs for p in (pair.handle, pair.target))


def test_a_short_run_brings_the_landmark_nearer(plush):
    cases = [case for case in read_cases() if case.kind == "mouth"][:1]
    (outcome,) = run(plush, cases, DragConfig(max_steps=60, tolerance=1.0))
    assert outcome.arrived
    assert outcome.floor < outcome.before + 1
    assert "| mouth | 1 |" in table([outcome])


@pytest.mark.parametrize("device", ["cpu"])
def test_the_command_prints_a_table(tmp_path, device):
    command = [sys.executable, "-m", "benchmarks.landmarks", "--kinds", "mouth", "--n", "2", "--max-steps", "1"]
    said = subprocess.run(
        [*command, "--device", device, "--json", str(tmp_path / "a.json")], check=True, capture_output=True, text=True
    ).stdout
    assert "| mouth | 2 |" in said
    assert len(json.loads((tmp_path / "a.json").read_text())) == 2
