"""The command line: what it writes, what it says, how it ends."""

import builtins
import functools
import io
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from draggan import project
from draggan.arguments import pair_of
from draggan.batches import _of_folder
from draggan.cli import main
from draggan.engine.paper import DragConfig
from draggan.inversion.faces import find_face
from draggan.inversion.invert import InversionConfig
from draggan.inversion.picture import Picture
from draggan.inversion.reconstruct import reconstruct
from draggan.inversion.tuning import TuningConfig, tune
from draggan.registry import models
from draggan.registry.download import Record, hash_file
from draggan.registry.transfer import write_json
from draggan.render import HOLD, to_picture
from draggan.session import Session, new_session
from draggan.stylegan2 import checkpoint
from tests.networks import random_tensors, tiny_config

PAIR = "183,145:178,145"
NEAR = "45,36:40,36"  # in a small picture


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> str:
    """A model in a file, whose pictures of 64 x 64 are drawn quickly."""
    path, config = tmp_path_factory.mktemp("models") / "small.safetensors", tiny_config(64)
    checkpoint.write(path, config, random_tensors(config))
    return str(path)


def test_image_writes_the_picture_of_the_seed(tmp_path, plush):
    out = tmp_path / "a.png"
    assert main(["image", "--seed", "3", "--psi", "0.7", "--device", "cpu", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert np.array_equal(np.asarray(picture), to_picture(plush.render(plush.latent(3, 0.7))))
        assert picture.text["Comment"] == "AI-generated: a StyleGAN2 picture", "that nobody has edited"


def test_drag_writes_picture_and_video(tmp_path, small, capsys):
    out, video = tmp_path / "a.png", tmp_path / "file:a.mp4"  # no address
    command = ["drag", "--seed", "3", "--pair", NEAR, "--engine", "draggan", "--max-steps", "3", "--device", "cpu"]
    assert main([*command, "--model", small, "--out", str(out), "--video", str(video), "--points"]) == 0
    said = capsys.readouterr()
    assert "after 3 steps" in said.out
    with Image.open(out) as picture:
        assert picture.size == (64, 64)
        assert picture.text["Comment"].endswith("edited by dragging points")
    with av.open(video.open("rb")) as file:
        assert file.metadata["comment"].endswith("edited by dragging points")
        assert sum(1 for _ in file.decode(video=0)) == 3 * 15 + 1 + HOLD, "three steps, smoothly"


def test_what_cannot_be_written_leaves_what_there_was_and_keeps_nothing_else_away(tmp_path, small, capsys):
    resource = pytest.importorskip("resource")
    out, saved, video = (tmp_path / name for name in ("a.png", "a.draggan", "a.mp4"))
    for path in (out, saved, video):
        path.write_text("of before")
    command = ["drag", "--pair", NEAR, "--max-steps", "3", "--device", "cpu", "--model", small]
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (7000, usual[1]))  # bytes of a file: room for the session alone
    try:
        assert main([*command, "--out", str(out), "--save-session", str(saved), "--video", str(video)]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    said = capsys.readouterr().err
    for path in (out, video):
        assert path.read_text() == "of before"
        assert f"{path} cannot be written (File too large): name another place" in said
    assert project.load(saved).session.steps == 3
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.draggan", "a.mp4"}


def test_drag_takes_an_engine(tmp_path, capsys):
    out = tmp_path / "a.png"
    command = ["drag", "--seed", "3", "--pair", PAIR, "--device", "cpu", "--out", str(out)]
    assert main(command) == 0
    assert "arrived after" in capsys.readouterr().out
    assert main([*command, "--lr", "1e-3"]) == 2
    assert "lr is not a setting of this engine" in capsys.readouterr().err
    assert main([*command, "--engine", "draggan", "--lr", "1e-3", "--max-steps", "2"]) == 0
    assert "not there yet after 2 steps" in capsys.readouterr().out


def test_a_drag_that_gets_nowhere_is_given_up(tmp_path, small, capsys):
    command = ["drag", "--pair", NEAR, "--engine", "draggan", "--lr", "1e-9", "--device", "cpu", "--model", small]
    assert main([*command, "--out", str(tmp_path / "a.png"), "--save-session", str(tmp_path / "a.draggan")]) == 0
    assert "given up after 60 steps, farthest handle 5.0 px" in capsys.readouterr().out
    assert project.load(tmp_path / "a.draggan").session.phase == "stuck"


def test_a_terminal_shows_how_far_the_drag_is(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := io.StringIO())
    terminal.isatty = lambda: True
    command = ["drag", "--seed", "3", "--pair", PAIR, "--engine", "draggan", "--max-steps", "2", "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "a.png")]) == 0
    first, *_, last = re.findall(r"(\S+)% ?\|.* (\d)/2 \[", terminal.getvalue().replace("\r", "\n"))
    assert (first, last) == (("0", "0"), ("100", "2"))


def test_drag_takes_a_mask(tmp_path, capsys):
    Image.fromarray(np.full((256, 256), 255, dtype=np.uint8)).save(tmp_path / "m.png")
    out = ["--out", str(tmp_path / "a.png"), "--max-steps", "1", "--device", "cpu"]
    assert main(["drag", "--pair", PAIR, "--mask", str(tmp_path / "m.png"), *out]) == 0
    Image.fromarray(np.full((64, 64), 255, dtype=np.uint8)).save(tmp_path / "m.png")
    assert main(["drag", "--pair", PAIR, "--mask", str(tmp_path / "m.png"), *out]) == 2
    assert "64 x 64 pixels, the picture 256 x 256" in capsys.readouterr().err


@pytest.fixture
def photo(tmp_path, small):
    """A picture file that the model nearly made, with something around it."""
    pixels = np.full((108, 128, 3), 90, dtype=np.uint8)
    generator = models.load(small, "cpu")
    pixels[20:84, 30:94] = to_picture(generator.render(generator.latent(3, 0.7)))
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def short(monkeypatch):
    """A reconstruction of few steps."""
    few = InversionConfig(samples=32, candidates=2, refinements=2, steps=3)
    monkeypatch.setattr("draggan.inversion.invert.InversionConfig", lambda: few)
    monkeypatch.setattr(
        "draggan.inversion.reconstruct.tune", functools.partial(tune, config=TuningConfig(steps=2, anchors=1))
    )


def test_invert_then_drag_then_paste(tmp_path, photo, short, capsys, small):
    file, out = tmp_path / "photo.draggan", tmp_path / "edited.png"
    crop = ["--crop", "61.5,51.5,64", "--device", "cpu"]
    assert main(["invert", str(photo), *crop, "--model", small, "--out", str(file)]) == 0
    said = capsys.readouterr().out
    assert re.match(r"photo.png: \d+\.\d dB, tuned \d+\.\d dB; compared by pyramid and squares$", said.strip())
    saved = project.load(file)
    assert saved.model_sha256 == hash_file(models.find(small))
    assert saved.session.photo.delta.nbytes > 0
    drag = ["drag", "--session", str(file), "--pair", NEAR, "--max-steps", "2", "--device", "cpu", "--out", str(out)]
    assert main(drag) == 0
    with Image.open(out) as picture:
        assert picture.size == (64, 64)
        assert picture.text["Comment"].startswith("AI-edited")
        assert "Seed" not in picture.text
    assert main([*drag, "--paste-into", str(photo)]) == 0
    with Image.open(out) as picture:
        assert picture.size == (128, 108)
        assert picture.text["Comment"].startswith("AI-edited")
        before = np.asarray(Image.open(photo))
        assert np.array_equal(np.asarray(picture)[:20], before[:20])
    otherwise = saved.session.photo.shown.copy()
    otherwise[::50, ::50] ^= 1  # rounded by another processor
    own = replace(saved.session, photo=replace(saved.session.photo, shown=otherwise))
    project.save(file, replace(saved, session=own))
    assert main([*drag, "--paste-into", str(photo)]) == 0
    Image.fromarray(before[::-1]).save(photo)
    assert main([*drag, "--paste-into", str(photo)]) == 2
    assert "is not the picture that the session was made from" in capsys.readouterr().err


def test_a_drag_is_saved_as_a_session_and_gone_on_with(tmp_path, small):
    file, out, generator = tmp_path / "edit.draggan", tmp_path / "edited.png", models.load(small, "cpu")
    drag = ["drag", "--seed", "4", "--engine", "draggan", "--max-steps", "2", "--device", "cpu", "--precision", "fp32"]
    assert main([*drag, "--model", small, "--pair", NEAR, "--out", str(out), "--save-session", str(file)]) == 0
    saved = project.load(file)
    assert saved.model_sha256 == hash_file(models.find(small))
    assert (saved.session.steps, saved.session.phase, len(saved.session.film.frames)) == (2, "limit", 3)
    assert np.array_equal(Image.open(out), to_picture(generator.render(saved.session.latent)))
    go_on = ["drag", "--session", str(file), "--device", "cpu", "--precision", "fp32", "--out", str(out)]
    assert main([*go_on, "--save-session", str(file)]) == 0
    assert project.load(file).session.steps == 4
    more = ["--pair", NEAR, "--pair", "20,15:15,15", "--video", str(tmp_path / "way.gif"), "--points"]
    assert main([*go_on, "--max-steps", "1", *more]) == 0, "the way has fewer points at first"


def test_ctrl_c_keeps_what_there_is(tmp_path, small, monkeypatch, capsys):
    out, file, advance = tmp_path / "edited.png", tmp_path / "edit.draggan", Session.advance

    def interrupted(session, step, stuck=False):
        if step.index == 2:
            raise KeyboardInterrupt
        return advance(session, step, stuck)

    monkeypatch.setattr(Session, "advance", interrupted)
    drag = ["drag", "--seed", "4", "--pair", NEAR, "--engine", "draggan", "--device", "cpu", "--out", str(out)]
    drag += ["--model", small, "--save-session", str(file), "--video", str(tmp_path / "way.gif")]
    assert main(drag) == 130
    assert "stopped after 2 steps" in capsys.readouterr().out
    session = project.load(file).session
    assert (session.steps, session.phase) == (1, "stopped")
    assert Image.open(out).size == Image.open(tmp_path / "way.gif").size == (64, 64)


def test_the_paper_s_engine_goes_on_with_the_step_size_of_the_model(tmp_path, plush, monkeypatch):
    monkeypatch.setattr(models, "step_size", lambda name: 0.005)
    file, saved = tmp_path / "edit.draggan", tmp_path / "after.draggan"
    session = new_session(plush, "plush-256", seed=4, truncation_psi=0.7).add(pair_of(PAIR))
    project.save(file, project.Project(session, ""))
    drag = ["drag", "--session", str(file), "--engine", "draggan", "--max-steps", "1", "--device", "cpu"]
    assert main([*drag, "--out", str(tmp_path / "o.png"), "--save-session", str(saved)]) == 0
    assert project.load(saved).session.config.lr == 0.005


@pytest.mark.parametrize("option", ["--mask", "--paste-into"])
def test_a_picture_is_not_overwritten_by_what_is_made_from_it(tmp_path, capsys, option):
    picture = tmp_path / "photo.png"
    Image.new("RGB", (256, 256)).save(picture)
    before = picture.read_bytes()
    drag = ["drag", "--pair", PAIR, "--device", "cpu", option, str(picture)]
    assert main([*drag, "--out", f"{tmp_path}/../{tmp_path.name}/photo.png"]) == 2
    assert f"is the picture of {option}: name another file" in capsys.readouterr().err
    assert picture.read_bytes() == before


def test_a_mask_that_lets_nothing_move_is_refused(tmp_path, capsys):
    Image.new("L", (256, 256)).save(tmp_path / "m.png")
    drag = ["drag", "--pair", PAIR, "--device", "cpu", "--mask", str(tmp_path / "m.png")]
    assert main([*drag, "--out", str(tmp_path / "o.png")]) == 2
    assert "is black everywhere, so that nothing may move: make white what may" in capsys.readouterr().err


def test_a_session_goes_on_as_it_was_saved(tmp_path, plush, capsys):
    file, out = tmp_path / "edit.draggan", tmp_path / "edited.png"
    session = new_session(plush, "plush-256", seed=4, truncation_psi=0.7).add(pair_of(PAIR))
    session = session.with_mask(np.arange(256)[:, None] + np.zeros((256, 256)) > 60)
    session = session.dragged_by("draggan", DragConfig(lr=0.004, max_steps=3, space="w"))
    for step in session.run(plush):
        session = session.advance(step)
    project.save(file, project.Project(session, hash_file(models.find("plush-256"))))
    drag = ["drag", "--session", str(file), "--device", "cpu", "--precision", "fp32", "--out", str(out)]
    assert main([*drag, "--max-steps", "0"]) == 0
    assert np.array_equal(Image.open(out), to_picture(plush.render(session.latent)))
    assert main([*drag, "--max-steps", "2"]) == 0
    *_, on = replace(session, config=replace(session.config, max_steps=2)).run(plush)
    assert np.array_equal(Image.open(out), to_picture(on.image()))
    assert "after 5 steps" in capsys.readouterr().out
    after = tmp_path / "after.draggan"
    assert main([*drag, "--engine", "kinematics", "--max-steps", "1", "--save-session", str(after)]) == 0
    undone = project.load(after).session.undo()
    assert (undone.engine, undone.steps, undone.handles) == ("draggan", 3, session.handles)
    assert main([*drag, "--engine", "kinematics", "--lr", "1"]) == 2
    assert "lr is not a setting of this engine" in capsys.readouterr().err
    assert main([*drag, "--pair", PAIR, "--max-steps", "1", "--save-session", str(after)]) == 0
    anew = project.load(after).session
    assert (anew.engine, anew.config, anew.steps) == ("draggan", replace(session.config, max_steps=1), 1)
    project.save(file, project.Project(session.clear_points(), ""))
    assert main(drag) == 2
    assert "there is nothing to drag: say --pair" in capsys.readouterr().err


def test_invert_says_lpips_where_it_can_be_measured(tmp_path, photo, short, small, capsys, monkeypatch):
    monkeypatch.setattr(
        "draggan.inversion.perceptual.lpips", lambda image, wanted: 0.1 if image.shape == wanted.shape else 9
    )
    out = ["--no-tuning", "--device", "cpu", "--out", str(tmp_path / "a.draggan")]
    assert main(["invert", str(photo), "--model", small, *out]) == 0
    assert re.match(r"photo.png: \d+\.\d dB, LPIPS 0\.100; compared by", capsys.readouterr().out)


def test_invert_says_which_crop_it_took_when_it_was_not_told_one(tmp_path, short, small, capsys, monkeypatch):
    picture = np.asarray(skimage.data.astronaut())
    Image.fromarray(picture).save(tmp_path / "her.png")
    command = ["invert", str(tmp_path / "her.png"), "--model", small, "--no-tuning", "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "middle.draggan")]) == 0
    assert capsys.readouterr().out.strip().endswith("; --crop 256,256,512, its middle")
    monkeypatch.setattr(models, "shows_faces", lambda model: model == small)
    assert main([*command, "--out", str(tmp_path / "face.draggan")]) == 0
    crop = find_face(Picture(picture))
    assert project.load(tmp_path / "face.draggan").session.photo.crop == crop
    assert capsys.readouterr().out.strip().endswith(f"; --crop {crop.x:.0f},{crop.y:.0f},{crop.side:.0f}, its face")


def test_invert_works_through_a_folder_and_goes_on_where_it_stopped(tmp_path, photo, short, small, capsys, monkeypatch):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "b.png").write_bytes(photo.read_bytes())
    (folder / "a.jpg").write_bytes(b"not a picture")
    (folder / "notes.txt").write_text("not even the name of one")
    (folder / "README").write_text("nor an ending")
    (folder / "._b.png").write_bytes(b"what another system keeps of it")
    (folder / "c.png").mkdir()
    command = ["invert", str(folder), "--model", small, "--no-tuning", "--steps", "2", "--device", "cpu"]
    command += ["--out", str(out)]
    assert main(command) == 2
    said = capsys.readouterr()
    assert f"1 of 2 could not be done: {folder / 'a.jpg'}" in said.err
    assert f"{folder}: pictures: 2, done before: 0, other files: 2 (.txt, README)" in said.out
    assert [p.name for p in out.iterdir()] == ["b.png.draggan"]
    assert project.load(out / "b.png.draggan").session.photo.delta is None
    (folder / "a.jpg").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("draggan.registry.models.load", lambda *_: pytest.fail("there is nothing to do with it"))
        assert main(command) == 0
    assert capsys.readouterr().out == f"{folder}: pictures: 1, done before: 1, other files: 2 (.txt, README)\n"
    saved = project.load(out / "b.png.draggan")
    project.save(out / "b.png.draggan", replace(saved, model_sha256=""))
    assert main(command) == 0, "it is not known which"
    project.save(out / "b.png.draggan", replace(saved, model_sha256="0" * 64))
    capsys.readouterr()
    assert main(command) == 2
    assert "b.png.draggan was made with another model: name another folder" in capsys.readouterr().err


def test_a_picture_that_cannot_be_reconstructed_does_not_end_the_work(
    tmp_path, photo, short, small, capsys, monkeypatch
):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(photo.read_bytes())
    pictures = []

    def first_diverges(generator, picture, *rest):
        pictures.append(picture)
        if len(pictures) == 1:
            raise FloatingPointError("the reconstruction diverged at step 3")
        return reconstruct(generator, picture, *rest)

    monkeypatch.setattr("draggan.inversion.reconstruct.reconstruct", first_diverges)
    command = ["invert", str(folder), "--model", small, "--no-tuning", "--steps", "2", "--device", "cpu"]
    assert main([*command, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "the reconstruction diverged at step 3" in said
    assert f"1 of 2 could not be done: {folder / 'a.png'}" in said
    assert [file.name for file in out.iterdir()] == ["b.png.draggan"]


@pytest.mark.parametrize(("names", "there"), [([], "no files"), (["a.HEIC", ".b.png"], r"only .* \(\.HEIC\)")])
def test_a_folder_without_a_picture_is_an_error(tmp_path, capsys, names, there):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    assert main(["invert", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert re.search(f"{folder} has no picture, {there}: save pictures in it as PNG or JPEG", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_what_a_terminal_cannot_show_ends_no_command(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal := io.TextIOWrapper(io.BytesIO(), "ascii"))
    (tmp_path / "写真").mkdir()
    (tmp_path / "写真" / "a.png").touch()
    assert main(["invert", str(tmp_path / "写真"), "--device", "cpu", "--out", str(tmp_path / "out")]) == 2
    assert rb"\u5199\u771f: pictures: 1, done before: 0" in terminal.buffer.getvalue()


@pytest.mark.parametrize("stage", ["refine", "fit"])
def test_ctrl_c_keeps_the_reconstruction_of_a_picture_that_there_is(
    tmp_path, photo, short, small, monkeypatch, capsys, stage
):
    def interrupted(*args):
        for best in reconstruct(*args):
            yield best
            if best.found.stage == stage:
                raise KeyboardInterrupt

    monkeypatch.setattr("draggan.inversion.reconstruct.reconstruct", interrupted)
    out, kept = tmp_path / "a.draggan", stage == "fit"
    invert = ["invert", "--model", small, "--device", "cpu"]
    assert main([*invert, str(photo), "--out", str(out)]) == 130
    assert ("photo.png: stopped at " in capsys.readouterr().out) == out.exists() == kept
    assert main([*invert, str(photo.parent), "--out", str(tmp_path / "all")]) == 130
    assert list((tmp_path / "all").iterdir()) == [], "a folder is gone on with"


def test_what_was_found_is_kept_where_the_memory_is_too_small_for_its_details(
    tmp_path, photo, short, small, monkeypatch, capsys
):
    def tune(*_):
        raise MemoryError("no memory is left")
        yield

    monkeypatch.setattr("draggan.inversion.reconstruct.tune", tune)
    out = tmp_path / "a.draggan"
    assert main(["invert", str(photo), "--model", small, "--device", "cpu", "--out", str(out)]) == 0
    assert "; without its details: no memory is left" in capsys.readouterr().out
    assert project.load(out).session.photo.delta is None


def test_what_was_found_is_saved_before_anything_is_said(tmp_path, photo, short, small, monkeypatch):
    out = tmp_path / "a.draggan"
    monkeypatch.setattr(builtins, "print", lambda said: out.exists() or pytest.fail("said before it was saved"))
    invert = ["invert", str(photo), "--model", small, "--no-tuning", "--device", "cpu"]
    assert main([*invert, "--out", str(out)]) == 0


def test_the_models_are_listed_with_what_they_take(capsys):
    assert main(["models"]) == 0
    for spec, line in zip(models.MODELS, capsys.readouterr().out.splitlines(), strict=True):
        said = f"{spec.size_mb} MB, comes with draggan" if not spec.urls else f"not here ({spec.size_mb} MB)"
        size = f"{spec.width} x {spec.height}"
        assert line.startswith(spec.name)
        assert all(word in line for word in (size, f"takes {spec.memory_mb} MB", said, spec.licence.name))


def test_of_a_models_file_it_is_said_where_it_came_from_and_what_it_should_be(tmp_path, capsys, monkeypatch):
    name, path, verdict = "stylegan2-cat", tmp_path / "stylegan2-cat-config-f.pkl", models.Verdict

    def said(action, *names):
        assert main(["models", *action, *names, "--checkpoints", str(tmp_path)]) == 0
        return next(line for line in capsys.readouterr().out.splitlines() if name in line)

    path.with_suffix(".pkl.part").write_bytes(bytes(3_000_000))
    assert "not here (357 MB), 3 MB begun  " in said([])
    path.write_bytes(bytes(2_000_000))
    assert "  2 MB, put there by hand  " in said([])
    write_json(path.with_suffix(".pkl.json"), Record("http://there/cat", "ab", 2_000_000, "", ""))
    assert "  2 MB, from http://there/cat  " in said([])
    for expected, recorded, known in (
        ("ab", True, "as first downloaded"),
        ("ab", False, "as the table says"),
        (None, True, "nothing is known of what it should be"),
    ):
        monkeypatch.setattr(models, "verify", lambda *_, a=expected, b=recorded: verdict(path, "ab", a, b, ""))
        assert said(["verify"], name) == f"{path}: good, SHA-256 ab ({known})"
    assert said(["remove"], name) == f"removed {path}"
    assert [*tmp_path.iterdir()] == []


def test_who_reads_no_further_is_no_trouble():
    models = subprocess.Popen(
        [sys.executable, "-m", "draggan", "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    models.stdout.close()
    assert (models.stderr.read(), models.wait()) == (b"", 141)
    models.stderr.close()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough"),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_memory_that_is_used_up_is_told(tmp_path, capsys, monkeypatch, error):
    def load(*args):
        raise error

    monkeypatch.setattr(models, "load", load)
    assert main(["image", "--out", str(tmp_path / "a.png")]) == 2
    assert capsys.readouterr().err == "draggan: out of memory: choose a smaller model or picture, or try --device cpu\n"


def test_what_nobody_expected_is_no_bad_input(tmp_path, monkeypatch):
    def load(*args):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(models, "load", load)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        main(["image", "--out", str(tmp_path / "a.png")])


@pytest.fixture
def saved(tmp_path, plush):
    """A session that was made with a model file of one's own, which has moved since."""
    own = tmp_path / "now" / "own.safetensors"
    own.parent.mkdir()
    shutil.copy(models.find("plush-256"), own)
    session = new_session(plush, "then/own.safetensors", seed=4, truncation_psi=0.7).add(pair_of(PAIR))
    project.save(tmp_path / "edit.draggan", project.Project(session, hash_file(own)))
    return tmp_path / "edit.draggan", own


def test_a_session_is_told_where_its_model_is_now(tmp_path, saved, capsys):
    file, own = saved
    drag = ["drag", "--session", str(file), "--max-steps", "0", "--device", "cpu", "--out", str(tmp_path / "a.png")]
    assert main(drag) == 2
    assert f"{file}: its model then/own.safetensors is not here: say --model" in capsys.readouterr().err
    assert main([*drag, "--model", str(own)]) == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.text["Model"] == "own.safetensors"
    read = checkpoint.read(own)
    checkpoint.write(own, read[0], {name: t + 1 for name, t in read[1].items()})
    assert main([*drag, "--model", str(own)]) == 2
    assert f"{file} was made with another file than {own}, of SHA-256" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["seed", "psi"])
def test_what_a_session_has_itself_is_refused(tmp_path, saved, capsys, option):
    out = ["--out", str(tmp_path / "a.png"), "--device", "cpu"]
    assert main(["drag", "--session", str(saved[0]), f"--{option}", "1", *out]) == 2
    assert f"--{option} with --session: the session has its own picture" in capsys.readouterr().err


def test_a_model_that_cannot_be_had_does_not_keep_the_others_away(tmp_path, capsys, monkeypatch):
    def fetch(name, folder):
        if "ffhq" in name:
            raise OSError(f"no way to {name}")
        return folder / name

    monkeypatch.setattr(models, "fetch", fetch)
    monkeypatch.setattr(models, "available_models", lambda: ("a", "ffhq-1", "b", "ffhq-2"))
    assert main(["models", "fetch", "all", "--checkpoints", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out.split() == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert said.err.splitlines() == [
        "draggan: no way to ffhq-1",
        "draggan: no way to ffhq-2",
        "draggan: 2 of 4 could not be done: ffhq-1, ffhq-2",
    ]


@pytest.mark.parametrize("before", [True, False])
def test_the_folder_of_the_models_may_be_said_before_or_after_the_action(tmp_path, capsys, before):
    folder, action = ["--checkpoints", str(tmp_path)], ["verify", "stylegan2-cat"]
    (tmp_path / "stylegan2-cat-config-f.pkl").write_bytes(b"no model")
    assert main(["models", *folder, *action] if before else ["models", *action, *folder]) == 2
    assert f"{tmp_path / 'stylegan2-cat-config-f.pkl'} is not a generator" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, which nobody can write, as a folder")
def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(models, "load", lambda *args: pytest.fail("it began to work"))
    (tmp_path / "a.png").mkdir()
    (tmp_path / "a.mp4").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").touch()
    (tmp_path / "file").write_text("of before")
    for command, message in (
        (["image", "--out", f"{tmp_path}/a.png"], "a.png is a folder: name the file to write in it"),
        (["drag", "--pair", PAIR, "--out", f"{tmp_path}/b.png", "--video", f"{tmp_path}/a.mp4"], "a.mp4 is a folder"),
        (["image", "--out", "/proc/a.png"], "/proc/a.png cannot be written"),
        (["invert", f"{tmp_path}/in/a.png", "--out", "/proc/a.draggan"], "/proc/a.draggan cannot be written"),
        (["invert", f"{tmp_path}/in", "--out", "/proc/a"], "/proc/a cannot be written"),
        (["invert", f"{tmp_path}/in", "--out", f"{tmp_path}/file"], "file cannot be written"),
        (["invert", f"{tmp_path}/in", "--out", f"{tmp_path}/no/such"], "there is no folder"),
    ):
        assert main(command) == 2
        assert message in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "of before"
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.mp4", "in", "file"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["drag", "--pair", "1,2", "--out", "a.png"], "--pair '1,2' is not X,Y:X,Y"),
        (["drag", "--pair", "1,2:3,x", "--out", "a.png"], "--pair '1,2:3,x'"),
        (["drag", "--pair", "1,2:3,400", "--out", "a.png"], "target (3, 400) lies outside the picture"),
        (["drag", "--pair", PAIR, "--out", "a.jpg"], "a.jpg: the name must end in .png"),
        (["drag", "--pair", PAIR, "--out", "no/such/a.png"], "there is no folder"),
        (["drag", "--pair", PAIR, "--out", "a.png", "--video", "a.avi"], "a.avi: the name must end in"),
        (["drag", "--pair", PAIR, "--out", "a.png", "--engine", "draggan", "--lr", "-1"], "lr is -1.0"),
        (["drag", "--pair", PAIR, "--out", "a.png", "--lr", "1"], "lr is not a setting of this engine: draggan has it"),
        (["image", "--model", "plsh", "--out", "a.png"], "plush-256"),
        (["image", "--model", "no.pkl", "--out", "a.png"], "no.pkl"),
        (["image", "--device", "tpu9", "--out", "a.png"], "tpu9"),
        (["image", "--device", "cuda:77", "--out", "a.png"], "no device 'cuda:77'"),
        (["drag", "--pair", PAIR, "--session", "no.draggan", "--out", "a.png"], "no.draggan"),
        (["drag", "--pair", PAIR, "--paste-into", "a.jpg", "--out", "a.png"], "--paste-into needs --session"),
        (["invert", "no.jpg", "--out", "a.draggan"], "no such file: no.jpg"),
        (["invert", "no.jpg", "--out", "a.png"], "a.png: the name must end in .draggan"),
        (["invert", "no.jpg", "--crop", "1,2", "--out", "a.draggan"], "--crop '1,2' is not X,Y,SIDE"),
        (["invert", "no.jpg", "--steps", "0", "--out", "a.draggan"], "steps is 0"),
        (["invert", "no.jpg", "--crop", "1,1,9,0,4", "--out", "a.draggan"], "is not X,Y,SIDE"),
        (["invert", "no.jpg", "--crop", "1,1,0.5", "--out", "a.draggan"], "side 1 to 1000000 pixels"),
        (["invert", "no.jpg", "--crop", "9,9,1e300", "--out", "a.draggan"], "side 1 to 1000000 pixels"),
        (["drag", "--pair", PAIR, "--points", "--out", "a.png"], "--points are drawn into the video"),
        (
            ["drag", "--pair", "5,5:9,9", "--pair", "5,5:20,20", "--out", "a.png"],
            "two pairs have their handle at (5, 5)",
        ),
        (["drag", "--session", "/", "--out", "a.png"], "/ is a folder"),
        (["image", "--model", "/", "--out", "a.png"], "/ is a folder"),
        (["image", "--psi", "nan", "--out", "a.png"], "truncation psi nan"),
        (["image", "--seed", "-5", "--out", "a.png"], "seed -5"),
        (["web", "--auth", "secret"], "--auth number 1: write user:password"),
        (["web", "--auth", "@users"], "users"),
        (["web", "--max-users", "0"], "max_users is 0"),
        (["web", "--max-upload", "big"], "'big' is no size"),
        (["web", "--root-path", "edit"], "root path 'edit': write /edit"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
    assert "secret" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [[], ["drag"], ["draw"], ["image", "--seed", "x", "--out", "a.png"]])
def test_usage_errors_are_one_line_and_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_how_to_write_a_value_that_begins_with_a_minus_sign_is_said(capsys):
    with pytest.raises(SystemExit):
        main(["drag", "--pair", "-0.4,5:3,3", "--out", "a.png"])
    assert "--option=-1,5" in capsys.readouterr().err


def test_to_remove_what_is_not_here_is_said(capsys, tmp_path):
    assert main(["models", "remove", "stylegan2-cat", "--checkpoints", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "stylegan2-cat is not here\n"


def test_help_needs_neither_torch_nor_gradio():
    code = "import sys, draggan.cli\ntry: draggan.cli.main(['--help'])\nfinally: print(sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "web" in run.stdout
    assert not any(f"'{name}'" in run.stdout for name in ("torch", "gradio", "numpy", "requests"))


def test_drag_needs_no_gradio(tmp_path):
    out = tmp_path / "a.png"
    code = (
        "import sys; sys.modules['gradio'] = None\n"
        "from draggan.cli import main\n"
        f"sys.exit(main(['drag', '--pair', '{PAIR}', '--max-steps', '1', '--device', 'cpu', '--out', {str(out)!r}]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert out.exists()


def test_pictures_of_a_camera_have_their_ending_in_capitals(tmp_path, capsys):
    for name in ("IMG_1.JPG", "b.Png", "c.txt"):
        (tmp_path / name).touch()
    out = tmp_path.parent / "out of it"
    assert [file.name for file in _of_folder(tmp_path, out).values()] == ["IMG_1.JPG.draggan", "b.Png.draggan"]
    assert "other files: 1 (.txt)" in capsys.readouterr().out
