"""The command line: what it writes, what it says, how it ends."""

import functools
import io
import re
import subprocess
import sys
from dataclasses import replace

import av
import numpy as np
import pytest
import skimage.data
from PIL import Image

from draggan import models, project
from draggan.arguments import pair_of
from draggan.cli import main
from draggan.download import hash_file
from draggan.engine import DragConfig
from draggan.faces import find_face
from draggan.invert import InversionConfig
from draggan.picture import Picture
from draggan.render import HOLD, to_picture
from draggan.session import new_session
from draggan.tuning import TuningConfig, tune

PAIR = "183,145:178,145"


def test_image_writes_the_picture_of_the_seed(tmp_path, plush):
    out = tmp_path / "a.png"
    assert main(["image", "--seed", "3", "--psi", "0.7", "--device", "cpu", "--out", str(out)]) == 0
    assert np.array_equal(np.asarray(Image.open(out)), to_picture(plush.render(plush.latent(3, 0.7))))


def test_drag_writes_picture_and_video(tmp_path, capsys):
    out, video = tmp_path / "a.png", tmp_path / "a.mp4"
    command = ["drag", "--seed", "3", "--pair", PAIR, "--engine", "draggan", "--max-steps", "3", "--device", "cpu"]
    assert main([*command, "--out", str(out), "--video", str(video), "--points"]) == 0
    said = capsys.readouterr()
    assert "after 3 steps" in said.out
    assert Image.open(out).size == (256, 256)
    with av.open(str(video)) as file:
        assert sum(1 for _ in file.decode(video=0)) == 3 * 15 + 1 + HOLD, "three steps, smoothly"


def test_drag_takes_an_engine(tmp_path, capsys):
    out = tmp_path / "a.png"
    command = ["drag", "--seed", "3", "--pair", PAIR, "--device", "cpu", "--out", str(out)]
    assert main(command) == 0
    assert "arrived after" in capsys.readouterr().out
    assert main([*command, "--lr", "1e-3"]) == 2
    assert "lr is not a setting of this engine" in capsys.readouterr().err
    assert main([*command, "--engine", "draggan", "--lr", "1e-3", "--max-steps", "2"]) == 0
    assert "not there yet after 2 steps" in capsys.readouterr().out


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
def photo(tmp_path, plush):
    """A picture file that the model nearly made, with something around it."""
    pixels = np.full((300, 320, 3), 90, dtype=np.uint8)
    pixels[20:276, 30:286] = to_picture(plush.render(plush.latent(3, 0.7)))
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def short(monkeypatch):
    """A reconstruction of few steps."""
    few = InversionConfig(samples=32, candidates=2, refinements=2, steps=3)
    monkeypatch.setattr("draggan.invert.InversionConfig", lambda: few)
    monkeypatch.setattr("draggan.reconstruct.tune", functools.partial(tune, config=TuningConfig(steps=2, anchors=1)))


def test_invert_then_drag_then_paste(tmp_path, photo, short, capsys, plush):
    file, out = tmp_path / "photo.draggan", tmp_path / "edited.png"
    crop = ["--crop", "157.5,147.5,256", "--device", "cpu"]
    assert main(["invert", str(photo), *crop, "--out", str(file)]) == 0
    said = capsys.readouterr().out
    assert re.match(r"photo.png: \d+\.\d dB, tuned \d+\.\d dB; compared by pyramid and squares$", said.strip())
    saved = project.load(file)
    assert saved.model_sha256 == hash_file(models.find("plush-256"))
    assert saved.session.photo.delta.nbytes > 0
    drag = ["drag", "--session", str(file), "--pair", PAIR, "--max-steps", "2", "--device", "cpu", "--out", str(out)]
    assert main(drag) == 0
    with Image.open(out) as picture:
        assert picture.size == (256, 256)
        assert picture.text["Comment"].startswith("AI-edited")
        assert "Seed" not in picture.text
    assert main([*drag, "--paste-into", str(photo)]) == 0
    with Image.open(out) as picture:
        assert picture.size == (320, 300)
        assert picture.text["Comment"].startswith("AI-edited")
        before = np.asarray(Image.open(photo))
        assert np.array_equal(np.asarray(picture)[:20], before[:20])
    Image.fromarray(before[::-1]).save(photo)
    assert main([*drag, "--paste-into", str(photo)]) == 2
    assert "is not the picture that the session was made from" in capsys.readouterr().err


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
    assert main([*drag, "--engine", "kinematics", "--max-steps", "1"]) == 0
    assert main([*drag, "--engine", "kinematics", "--lr", "1"]) == 2
    assert "lr is not a setting of this engine" in capsys.readouterr().err
    project.save(file, project.Project(session.clear_points(), ""))
    assert main(drag) == 2
    assert "there is nothing to drag: say --pair" in capsys.readouterr().err


def test_invert_says_lpips_where_it_can_be_measured(tmp_path, photo, short, capsys, monkeypatch):
    monkeypatch.setattr("draggan.perceptual.lpips", lambda image, wanted: 0.1 if image.shape == wanted.shape else 9)
    out = ["--no-tuning", "--device", "cpu", "--out", str(tmp_path / "a.draggan")]
    assert main(["invert", str(photo), *out]) == 0
    assert re.match(r"photo.png: \d+\.\d dB, LPIPS 0\.100; compared by", capsys.readouterr().out)


def test_invert_says_which_crop_it_took_when_it_was_not_told_one(tmp_path, short, capsys, monkeypatch):
    picture = np.asarray(skimage.data.astronaut())
    Image.fromarray(picture).save(tmp_path / "her.png")
    command = ["invert", str(tmp_path / "her.png"), "--no-tuning", "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "middle.draggan")]) == 0
    assert capsys.readouterr().out.strip().endswith("; --crop 256,256,512, its middle")
    monkeypatch.setattr(models, "shows_faces", lambda model: model == "plush-256")
    assert main([*command, "--out", str(tmp_path / "face.draggan")]) == 0
    crop = find_face(Picture(picture))
    assert project.load(tmp_path / "face.draggan").session.photo.crop == crop
    assert capsys.readouterr().out.strip().endswith(f"; --crop {crop.x:.0f},{crop.y:.0f},{crop.side:.0f}, its face")


def test_invert_works_through_a_folder_and_goes_on_where_it_stopped(tmp_path, photo, short, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "b.png").write_bytes(photo.read_bytes())
    (folder / "a.jpg").write_bytes(b"not a picture")
    (folder / "notes.txt").write_text("not even the name of one")
    command = ["invert", str(folder), "--no-tuning", "--steps", "2", "--device", "cpu", "--out", str(out)]
    assert main(command) == 2
    said = capsys.readouterr()
    assert "1 of 2 pictures could not be used: a.jpg" in said.err
    assert [p.name for p in out.iterdir()] == ["b.png.draggan"]
    assert project.load(out / "b.png.draggan").session.photo.delta is None
    (folder / "a.jpg").unlink()
    assert main(command) == 0
    assert capsys.readouterr().out == ""


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
