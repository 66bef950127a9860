"""Checkpoints of every format: the generator that comes out is the one that went in."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout

from benchmarks import checkpoints
from draggan.stylegan2 import checkpoint, converted
from draggan.stylegan2.checkpoint import CheckpointError
from draggan.stylegan2.generator import Generator
from tests import foreign_files, slow_networks
from tests.foreign_files import write_nvidia_pytorch, write_nvidia_tensorflow, write_rosinality
from tests.networks import random_tensors, tiny_config

PSI = 0.7
SEED = 5


def picture(config, tensors) -> np.ndarray:
    generator = Generator(config, tensors)
    c = 0 if config.c_dim else None
    return generator.render(generator.latent(SEED, truncation_psi=PSI, class_index=c))[0].numpy()


def assert_same(path, config, tensors) -> None:
    """The file holds exactly this generator: config, names, values, and so the picture."""
    got_config, got = checkpoint.read(path)
    assert got_config == config
    assert got.keys() == tensors.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(got[name], tensor, msg=lambda m, name=name: f"{name}: {m}")
    np.testing.assert_allclose(picture(got_config, got), picture(config, tensors), atol=1e-4)


# NVIDIA, PyTorch -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("numpy", [1, 2])
@pytest.mark.parametrize(
    "facts", [{}, {"conv_clamp": 256.0}, {"c_dim": 3}, {"width": 2}], ids=["plain", "clamp", "conditional", "human"]
)
def test_nvidia_pytorch(tmp_path, protocol, numpy, facts):
    config = tiny_config(16, **facts)
    tensors = random_tensors(config)
    whole = "width" not in facts  # published networks of people are G_ema alone
    path = write_nvidia_pytorch(tmp_path / "a.pkl", config, tensors, protocol=protocol, numpy=numpy, whole=whole)
    assert_same(path, config, tensors)


def test_a_clamp_that_matters(tmp_path):
    config = tiny_config(16, conv_clamp=0.5)
    tensors = random_tensors(config)
    assert_same(write_nvidia_pytorch(tmp_path / "a.pkl", config, tensors), config, tensors)
    free = tiny_config(16)
    assert np.abs(picture(config, tensors) - picture(free, tensors)).max() > 0.1


def test_storages_of_an_accelerator_and_of_other_layouts(tmp_path, monkeypatch):
    """Where a tensor was, and in which order of axes it lies, does not matter."""
    config = tiny_config(16)
    tensors = random_tensors(config)
    original = torch.storage.TypedStorage.__reduce__

    def on_cuda(storage):
        function, (data,) = original(storage)
        return function, (foreign_files.relocated(data, "cuda:0"),)

    def channels_last(generator):
        conv = generator.synthesis.b8.conv1
        conv.weight.data = conv.weight.data.to(memory_format=torch.channels_last)
        assert not conv.weight.is_contiguous()

    monkeypatch.setattr(torch.storage.TypedStorage, "__reduce__", on_cuda)
    path = write_nvidia_pytorch(tmp_path / "a.pkl", config, tensors, change=channels_last)
    monkeypatch.undo()
    assert path.read_bytes().count(b"cuda:0") > 100
    assert_same(path, config, tensors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_of_floats(tmp_path, dtype):
    config = tiny_config(8)
    tensors = {name: t.to(torch.bfloat16).float() for name, t in random_tensors(config).items()}
    if dtype == torch.float16:
        tensors = {name: t.half().float() for name, t in tensors.items()}
    path = write_nvidia_pytorch(tmp_path / "a.pkl", config, tensors, change=lambda generator: generator.to(dtype))
    got_config, got = checkpoint.read(path)
    assert got_config == config
    assert all(got[name].dtype == torch.float32 and torch.equal(got[name], tensors[name]) for name in tensors)


def set_filter(generator):
    generator.synthesis.b8.conv0.resample_filter.copy_(torch.ones(4, 4) / 16)


def set_architecture(generator):
    generator.synthesis.b8.architecture = "resnet"


def set_activation(generator):
    generator.mapping.fc0.activation = "relu"


def set_clamp(generator):
    generator.synthesis.b8.conv0.conv_clamp = 3.0


def set_stylegan3(generator):
    generator.synthesis.input = generator.synthesis.b4
    del generator.synthesis.b4


def set_stylegan3_layer(generator):
    setattr(generator.synthesis, "L0_36_512", generator.synthesis.b4)  # noqa: B010 (as the networks name them)
    del generator.synthesis.b4


def drop_layer(generator):
    del generator.synthesis.b8.conv1


def drop_noise(generator):
    del generator.synthesis.b8.conv1.noise_const


def add_layer(generator):
    generator.mapping.fc9 = generator.mapping.fc1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_filter, r"b8\.conv0\.resample_filter is not the kernel \[1, 3, 3, 1\]"),
        (set_architecture, "another architecture than skip"),
        (set_activation, "another activation than lrelu"),
        (set_clamp, "2 different values of conv_clamp"),
        (set_stylegan3, "StyleGAN3 generator: choose a StyleGAN2 one"),
        (set_stylegan3_layer, "StyleGAN3 generator: choose a StyleGAN2 one"),
        (drop_layer, r"synthesis\.b8\.conv1\.weight"),
        (drop_noise, r"missing.*synthesis\.b8\.conv1\.noise_const"),
        (add_layer, "not a module of its own"),
    ],
)
def test_networks_that_cannot_be_run_are_refused(tmp_path, change, words):
    config = tiny_config(16)
    path = write_nvidia_pytorch(tmp_path / "a.pkl", config, random_tensors(config), change=change)
    with pytest.raises(CheckpointError, match=words):
        checkpoint.read(path)


# NVIDIA, TensorFlow --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("numpy", [1, 2])
def test_nvidia_tensorflow(tmp_path, protocol, numpy):
    config = tiny_config(32)
    tensors = random_tensors(config)
    path = write_nvidia_tensorflow(tmp_path / "a.pkl", config, tensors, protocol=protocol, numpy=numpy)
    assert_same(path, config, tensors)


def test_nvidia_tensorflow_facts(tmp_path):
    """What the tensors do not tell, and a conditional network."""
    config = tiny_config(8, c_dim=3, conv_clamp=256.0)
    tensors = random_tensors(config)
    kwargs = {"conv_clamp": np.float64(256), "resample_kernel": [1, 3, 3, 1], "architecture": "skip"}
    assert_same(write_nvidia_tensorflow(tmp_path / "a.pkl", config, tensors, **kwargs), config, tensors)


def test_nvidia_tensorflow_draws_what_its_definition_says(tmp_path):
    config = tiny_config(32)
    tensors = random_tensors(config)
    slow = slow_networks.from_tensorflow(foreign_files.tensorflow_variables(config, tensors))
    expected = slow.draw(np.random.RandomState(SEED).randn(config.z_dim), PSI)
    got = picture(*checkpoint.read(write_nvidia_tensorflow(tmp_path / "a.pkl", config, tensors)))
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"architecture": "resnet"}, "another architecture than skip"),
        ({"resample_kernel": [1, 4, 6, 4, 1]}, "another resample_kernel"),
        ({"mapping_nonlinearity": "relu"}, "another mapping_nonlinearity"),
    ],
)
def test_tensorflow_networks_that_cannot_be_run_are_refused(tmp_path, kwargs, words):
    config = tiny_config(8)
    path = write_nvidia_tensorflow(tmp_path / "a.pkl", config, random_tensors(config), **kwargs)
    with pytest.raises(CheckpointError, match=words):
        checkpoint.read(path)


# rosinality ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_rosinality(tmp_path, legacy):
    config = tiny_config(32)
    tensors = random_tensors(config)
    assert_same(write_rosinality(tmp_path / "a.pt", config, tensors, legacy=legacy), config, tensors)


def test_rosinality_draws_what_its_definition_says(tmp_path):
    config = tiny_config(32)
    tensors = random_tensors(config)
    slow = slow_networks.from_rosinality(
        foreign_files.rosinality_state(config, tensors), tensors["mapping.w_avg"].numpy()
    )
    expected = slow.draw(np.random.RandomState(SEED).randn(config.z_dim), PSI)
    got = picture(*checkpoint.read(write_rosinality(tmp_path / "a.pt", config, tensors)))
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_the_mean_of_w_is_found_where_a_training_of_rosinalitys_keeps_none(tmp_path, legacy):
    config = tiny_config(16)
    tensors = random_tensors(config)
    path = write_rosinality(tmp_path / "010000.pt", config, tensors, legacy=legacy, training=True)
    read, got = checkpoint.read(path)
    assert read == config
    assert all(torch.equal(got[name], t) for name, t in tensors.items() if name != "mapping.w_avg")
    w = Generator(config, tensors).mapping(torch.randn(20_000, config.z_dim), None)
    error = (got["mapping.w_avg"] - w.mean(dim=0)).abs() / w.std(dim=0)
    assert error.max() < 5 * (1 / checkpoint.SAMPLES + 1 / 20_000) ** 0.5, "of the standard error"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_that_is_not_of_finite_numbers_is_refused(tmp_path, value):
    config = tiny_config(8)
    tensors = random_tensors(config)
    tensors["synthesis.b8.conv1.weight"][1, 2, 0, 0] = value
    checkpoint.write(tmp_path / "a.safetensors", config, tensors)
    for path in (tmp_path / "a.safetensors", write_rosinality(tmp_path / "a.pt", config, tensors)):
        with pytest.raises(CheckpointError, match=r"synthesis\.b8\.conv1\.weight has numbers that are not finite"):
            checkpoint.read(path)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c["g_ema"].pop("conv1.activate.bias"), r"missing.*synthesis\.b4\.conv1\.bias"),
        (lambda c: c["g_ema"].update({"convs.0.skip.weight": torch.ones(3)}), "'convs.0.skip.weight'"),
        (lambda c: c["g_ema"].update({"convs.0.conv.blur.kernel": torch.ones(4, 4)}), "is not the kernel"),
        (lambda c: c.pop("g_ema"), "no StyleGAN2 generator"),
    ],
)
def test_rosinality_files_that_are_not_whole_are_refused(tmp_path, edit, words):
    config = tiny_config(8)
    path = write_rosinality(tmp_path / "a.pt", config, random_tensors(config))
    content = torch.load(path, weights_only=True)
    edit(content)
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=words):
        checkpoint.read(path)


# ours ----------------------------------------------------------------------------------------------------------------


def test_ours_in_and_out(tmp_path):
    config = tiny_config(16, c_dim=3, conv_clamp=256.0)
    tensors = random_tensors(config)
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, config, tensors, source="somewhere")
    assert_same(path, config, tensors)
    assert checkpoint.source(path) == "somewhere"
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode  # whoever may read files here may read this one


def test_grey_pictures_are_colour_pictures_that_are_grey(tmp_path):
    config = replace(tiny_config(16), img_channels=1)
    tensors = random_tensors(config)
    expected = Generator(config, tensors).render(ws := torch.randn(1, config.num_ws, config.w_dim))
    checkpoint.write(tmp_path / "grey.safetensors", config, tensors)
    found, colour = checkpoint.read(tmp_path / "grey.safetensors")
    torch.testing.assert_close(Generator(found, colour).render(ws), expected.expand(-1, 3, -1, -1))


def test_other_channels_are_refused(tmp_path):
    config = replace(tiny_config(16), img_channels=4)
    checkpoint.write(tmp_path / "rgba.safetensors", config, random_tensors(config))
    with pytest.raises(CheckpointError, match=r"its pictures have 4 channels: it must be 3 \(colour\) or 1 \(grey\)"):
        checkpoint.read(tmp_path / "rgba.safetensors")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    config = tiny_config(8)
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, config, random_tensors(config, seed=1))

    def full(*_args, **_kwargs):
        Path(_args[1]).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.write(path, config, random_tensors(config, seed=2))
    assert_same(path, config, random_tensors(config, seed=1))
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_name_of_a_file_does_not_matter(tmp_path):
    config = tiny_config(8)
    tensors = random_tensors(config)
    assert_same(write_nvidia_pytorch(tmp_path / "upload.safetensors", config, tensors), config, tensors)
    checkpoint.write(tmp_path / "upload.pkl", config, tensors)
    assert_same(tmp_path / "upload.pkl", config, tensors)


def test_no_file(tmp_path):
    for read in (checkpoint.read, converted.load):
        with pytest.raises(FileNotFoundError, match=r"no such file: .*a\.pkl"):
            read(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    "content", [b"", b"<!DOCTYPE html>", b"\x80", b"PK\x03\x04", bytes(8) + b"{", pickle.dumps({})]
)
def test_something_else_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.pkl is not a generator that can be read: \S"):
        checkpoint.read(path)


# converted -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def foreign(tmp_path) -> Path:
    config = tiny_config(16, conv_clamp=256.0)
    return write_nvidia_pytorch(tmp_path / "cat.pkl", config, random_tensors(config))


def test_the_second_load_reads_the_converted_form(foreign, monkeypatch):
    first = converted.load(foreign)
    assert first.path == foreign.with_name("cat.pkl.safetensors")
    monkeypatch.setattr(checkpoint, "_read_foreign", None)  # cannot be called
    second = converted.load(foreign)
    assert second.path == first.path
    assert second.config == first.config
    assert all(torch.equal(second.tensors[name], first.tensors[name]) for name in first.tensors)


def test_a_changed_original_is_converted_again(foreign):
    converted.load(foreign)
    config = tiny_config(16)
    tensors = random_tensors(config, seed=1)
    write_nvidia_pytorch(foreign, config, tensors)
    loaded = converted.load(foreign)
    assert loaded.config == config
    assert torch.equal(loaded.tensors["mapping.w_avg"], tensors["mapping.w_avg"])


def test_a_changed_original_of_the_same_size_is_noticed(foreign):
    converted.load(foreign)
    facts = foreign.stat()
    foreign.write_bytes(bytes(facts.st_size))
    os.utime(foreign, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1_000_000))
    with pytest.raises(CheckpointError):
        converted.load(foreign)


def test_a_damaged_converted_form_is_made_again(foreign):
    path = converted.load(foreign).path
    assert path is not None
    path.write_bytes(path.read_bytes()[:1000])
    assert converted.load(foreign).path == path
    checkpoint.read(path)


def test_a_folder_that_cannot_be_written(foreign, monkeypatch):
    """The generator is there all the same, and the caller can tell that it is not kept."""

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoint, "save_file", refuse)
    monkeypatch.setattr(FileLock, "acquire", refuse)
    loaded = converted.load(foreign)
    assert loaded.path is None
    assert loaded.config.conv_clamp == 256
    assert [p.name for p in foreign.parent.iterdir()] == ["cat.pkl"]


def test_a_folder_where_the_converted_form_would_be(foreign):
    (foreign.parent / "cat.pkl.safetensors").mkdir()
    loaded = converted.load(foreign)
    assert loaded.path is None
    assert loaded.config.conv_clamp == 256


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs another user, and a folder that is not theirs")
def test_a_folder_of_somebody_else(foreign):
    with tempfile.TemporaryDirectory() as name:
        path = Path(shutil.copy(foreign, name))
        path.parent.chmod(0o555)
        user = os.geteuid()
        os.seteuid(65534 if user == 0 else user)  # root could write
        try:
            loaded = converted.load(path)
            assert [p.name for p in path.parent.iterdir()] == ["cat.pkl"]
        finally:
            os.seteuid(user)
            path.parent.chmod(0o755)
    assert loaded.path is None
    assert loaded.config.conv_clamp == 256


def test_two_processes_convert_once(foreign, monkeypatch):
    """While another holds the lock this one waits, and then finds the work done."""
    path = converted.load(foreign).path
    done, lock = path.rename(foreign.with_name("done")), f"{path}.lock"
    script = (
        "import os, sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True), input(), os.rename(*sys.argv[2:])"
    )
    command = [sys.executable, "-c", script, lock, str(done), str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other, ThreadPoolExecutor() as here:
        assert other.stdout.readline() == "held\n"
        monkeypatch.setattr(checkpoint, "_read_foreign", None)  # cannot be called
        waiting = here.submit(converted.load, foreign)
        assert not wait([waiting], 0.3).done
        other.communicate("go on\n")
        assert waiting.result(60).path == path


def test_who_converts_holds_the_lock(foreign, monkeypatch):
    read = checkpoint._read_foreign

    def held(path):
        with pytest.raises(Timeout):
            FileLock(f"{converted.converted_path(foreign)}.lock", 0).acquire()
        return read(path)

    monkeypatch.setattr(checkpoint, "_read_foreign", held)
    assert converted.load(foreign).path


def test_ours_needs_no_conversion(tmp_path):
    config = tiny_config(8)
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, config, random_tensors(config))
    assert converted.load(path).path == path
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_stamp_names_the_converter(foreign):
    """A converter that works otherwise makes the file again."""
    path = converted.load(foreign).path
    assert path is not None
    assert json.loads(checkpoint.source(path))["converter"] == converted.CONVERTER


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak memory of a process is read from /proc")
def test_a_checkpoint_of_the_size_of_afhqcat():
    """With G_ema alone, so that nothing in the file can be left out. 30 M parameters, 124 MB."""
    with tempfile.TemporaryDirectory() as folder:
        (_, size, original), (_, _, again) = checkpoints.measure("PyTorch pickle: G_ema", Path(folder))
    assert size > 120e6
    assert original["bytes"] < 1.5 * size
    assert again["bytes"] < 1.5 * size
    assert again["ready seconds"] < 1.5


def test_its_benchmark_prints_the_table_of_its_readme(monkeypatch, capsys):
    figures = {"seconds": 0.3, "bytes": 1, "ready seconds": 0.4}
    monkeypatch.setattr(checkpoints, "measure", lambda *_: [("original", 1, figures), ("converted", 1, figures)])
    checkpoints.main([])
    told = Path(checkpoints.__file__).with_name("README.md").read_text("utf-8")
    head, _, *rows = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    assert f"\n{head}\n" in told
    assert all(f"\n{row.split(' | ')[0]} | " in told for row in rows)


def test_whole_numbers_are_refused(tmp_path):
    config = tiny_config(8)
    tensors = random_tensors(config)
    checkpoint.write(tmp_path / "a.safetensors", config, tensors)
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        metadata = file.metadata()
    save_file(tensors | {"synthesis.b8.conv1.bias": torch.zeros(8, dtype=torch.int32)}, tmp_path / "b", metadata)
    with pytest.raises(CheckpointError, match=r"synthesis\.b8\.conv1\.bias is of type torch\.int32, not of floats"):
        checkpoint.read(tmp_path / "b")


@pytest.mark.parametrize("facts", [{"conv_clamp": -1.0}, {"conv_clamp": 0.0}, {"mapping_lr_multiplier": -0.01}])
def test_facts_that_are_not_positive_are_refused(tmp_path, facts):
    """With a clamp of -1 every feature is -1, and every picture grey."""
    config = replace(tiny_config(8), **facts)
    checkpoint.write(tmp_path / "a.safetensors", config, random_tensors(tiny_config(8)))
    with pytest.raises(CheckpointError, match=f"{next(iter(facts))} must be a positive number"):
        checkpoint.read(tmp_path / "a.safetensors")


def test_what_a_file_says_is_told_in_short_and_printable(tmp_path):
    """A message may quote the file, and goes to terminals, logs and the page."""
    config = tiny_config(8)
    name = "synthesis.\x1b[2J\n" + "x" * 5000
    checkpoint.write(tmp_path / "a.safetensors", config, random_tensors(config) | {name: torch.zeros(1)})
    with pytest.raises(CheckpointError, match="unknown tensors") as refused:
        checkpoint.read(tmp_path / "a.safetensors")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1500
