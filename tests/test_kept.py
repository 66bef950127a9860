"""What takes long to work out of a model is worked out once, and no file can spoil it."""

from collections import deque
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import draggan
from draggan import cli
from draggan.engine.kept import fingerprint, metric_in_pieces
from draggan.engine.kinematics import prepare
from draggan.engine.metric import PIECES, metric_of, seen_of
from draggan.geometry import DragPair, Point
from draggan.registry import models
from draggan.stylegan2 import checkpoint
from draggan.stylegan2.generator import Generator
from tests.networks import random_tensors, tiny_config, tiny_generator

LAYERS = 4


def kept_in(*folders):
    """A small model that looks there for what was worked out of it, and keeps it in the last."""
    config = tiny_config(64)
    return Generator(config, random_tensors(config), keeps_in=folders)


def worked_out(generator):
    """The metric's rows, and whether pictures of the model had to be looked at for them."""
    looked = []
    with pytest.MonkeyPatch.context() as patched:
        preview = Generator.preview
        patched.setattr(Generator, "preview", lambda *args: looked.append(args) or preview(*args))
        pieces = len(list(metric_in_pieces(generator, LAYERS)))
        assert (pieces > 1) == bool(looked)
        before = len(looked)
        seen = metric_of(generator, LAYERS).seen
        assert len(looked) == before, "all is known by then"
    return seen, bool(looked)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def expected():
    return metric_of(tiny_generator(64), LAYERS).seen


def test_in_pieces_a_network_is_looked_at_as_in_one_go(expected):
    seen, looked = worked_out(tiny_generator(64))
    assert looked
    assert torch.equal(seen, expected)


def test_the_next_run_takes_it_from_disk_bit_for_bit(expected, tmp_path):
    folder = tmp_path / "not yet" / "there"
    assert worked_out(kept_in(folder))[1]
    kept = files(folder)
    seen, looked = worked_out(kept_in(folder))
    assert not looked
    assert torch.equal(seen, expected)
    assert files(folder) == kept, "and nothing else lies there"
    assert len(kept) == 1


def test_it_is_looked_for_in_every_folder_and_kept_in_the_last(tmp_path):
    first, last = tmp_path / "first", tmp_path / "last"
    for folders, looked in (((first, last), True), ((last, first), False)):
        assert worked_out(kept_in(*folders))[1] == looked
        assert files(tmp_path) == ["last"]


def test_each_model_and_each_number_of_layers_has_its_own(tmp_path):
    generator, other = kept_in(tmp_path), kept_in(tmp_path)
    deque(metric_in_pieces(generator, LAYERS), maxlen=0)
    deque(metric_in_pieces(generator, LAYERS + 1), maxlen=0)
    other.synthesis.blocks()[0].conv1.bias[0] += 1e-6
    assert fingerprint(other) != fingerprint(generator)
    assert worked_out(other)[1]
    assert len(files(tmp_path)) == 3


def test_every_type_of_weights_can_be_told_apart():
    generator = tiny_generator(64)
    found = {fingerprint(generator.to(dtype)) for dtype in (torch.float32, torch.float16, torch.bfloat16)}
    assert len(found) == 3


def test_a_changed_form_takes_that_of_its_model(expected, tmp_path):
    deque(metric_in_pieces(kept_in(tmp_path), LAYERS), maxlen=0)
    generator = kept_in(tmp_path)
    name = "synthesis.b4.conv1.weight"
    changed = generator.changed({name: torch.ones_like(generator.get_buffer(name))})
    seen, looked = worked_out(changed)
    assert not looked
    assert torch.equal(seen, expected)


def emptied(path):
    path.write_bytes(b"")


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def without_a_piece(path):
    save_file({name: t for name, t in load_file(path).items() if name != "3"}, path)


def of_another_shape(path):
    save_file({name: t[:, :1].contiguous() for name, t in load_file(path).items()}, path)


def with_a_number_that_is_none(path):
    pieces = load_file(path)
    pieces["7"][0, 0, 0] = torch.nan
    save_file(pieces, path)


@pytest.mark.parametrize("damage", [emptied, cut_off, without_a_piece, of_another_shape, with_a_number_that_is_none])
def test_a_damaged_file_is_worked_out_again_and_mended(damage, expected, tmp_path):
    deque(metric_in_pieces(kept_in(tmp_path), LAYERS), maxlen=0)
    (path,) = tmp_path.iterdir()
    damage(path)
    seen, looked = worked_out(kept_in(tmp_path))
    assert looked
    assert torch.equal(seen, expected)
    assert not worked_out(kept_in(tmp_path))[1]


def test_a_folder_that_cannot_be_written_costs_only_the_time(expected, tmp_path):
    folder = tmp_path / "file"
    folder.write_bytes(b"")
    seen, looked = worked_out(kept_in(folder))
    assert looked
    assert torch.equal(seen, expected)


def test_a_folder_that_cannot_be_read_costs_only_the_time(expected, tmp_path, monkeypatch):
    def closed(path):  # what a folder of another account says
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.is_dir", closed)
    seen, looked = worked_out(kept_in(tmp_path))
    assert looked
    assert torch.equal(seen, expected)


def test_a_drag_of_the_command_line_keeps_it(tmp_path):
    checkpoint.write(tmp_path / "small.safetensors", config := tiny_config(64), random_tensors(config))
    command = ["drag", "--model", str(tmp_path / "small.safetensors"), "--pair", "45,36:40,36", "--max-steps", "1"]
    command += ["--device", "cpu", "--out", str(tmp_path / "a.png"), "--checkpoints", str(tmp_path)]
    assert cli.main([*command, "--engine", "draggan"]) == 0
    assert not models.metrics_folder(tmp_path).exists(), "the engine of the paper needs none"
    assert cli.main(command) == 0
    (path,) = models.metrics_folder(tmp_path).iterdir()
    written = path.stat().st_mtime_ns
    first = np.asarray(Image.open(tmp_path / "a.png"), np.int16)
    assert cli.main(command) == 0
    assert path.stat().st_mtime_ns == written
    again = np.asarray(Image.open(tmp_path / "a.png"), np.int16)
    assert abs(again - first).max() <= 1, "several threads add up in another order where memory lies otherwise"


def test_a_drag_from_python_keeps_it(tmp_path, monkeypatch):
    checkpoint.write(tmp_path / "small.safetensors", config := tiny_config(64), random_tensors(config))
    pairs = [DragPair(Point(45, 36), Point(40, 36))]

    def dragged():
        generator = draggan.load(tmp_path / "small.safetensors", "cpu", tmp_path)
        latent = generator.latent(0)
        *_, last = draggan.drag(generator, latent, pairs, config=draggan.KinematicConfig(max_steps=2))
        again = draggan.drag(generator, latent, pairs, config=draggan.KinematicConfig(max_steps=2))
        assert all(step.latent.isfinite().all() for step in again)
        return last.latent

    first = dragged()
    assert len(files(models.metrics_folder(tmp_path))) == 1
    monkeypatch.setattr(Generator, "preview", lambda *_: pytest.fail("it is looked at again"))
    monkeypatch.setattr("draggan.engine.kept.fingerprint", counted := Mock(wraps=fingerprint))
    with torch.inference_mode():  # what is read there serves later drags too
        assert torch.equal(dragged(), first)
    assert counted.call_count == 1, "once a model, not once a drag"


def test_that_of_the_embedded_model_comes_with_it(tmp_path):
    generator = draggan.load("plush-256", "cpu", tmp_path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Generator, "preview", lambda *_: pytest.fail("pictures of it are looked at"))
        deque(prepare(generator), maxlen=0)
    assert not any(tmp_path.iterdir())
    layers = draggan.KinematicConfig().moving_layers
    for piece in (0, 17, PIECES - 1):
        torch.testing.assert_close(generator.known(seen_of, layers, piece), seen_of(generator, layers, piece))
