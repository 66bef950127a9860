"""The command line: what it writes, what it says, how it ends."""

import subprocess
import sys

import av
import numpy as np
import pytest
from PIL import Image

from draggan.cli import main
from draggan.render import to_picture

PAIR = "183,145:178,145"


def test_image_writes_the_picture_of_the_seed(tmp_path, plush):
    out = tmp_path / "a.png"
    assert main(["image", "--seed", "3", "--psi", "0.7", "--device", "cpu", "--out", str(out)]) == 0
    assert np.array_equal(np.asarray(Image.open(out)), to_picture(plush.render(plush.latent(3, 0.7))))


def test_drag_writes_picture_and_video(tmp_path, capsys):
    out, video = tmp_path / "a.png", tmp_path / "a.mp4"
    command = ["drag", "--seed", "3", "--pair", PAIR, "--max-steps", "3", "--device", "cpu"]
    assert main([*command, "--out", str(out), "--video", str(video), "--points"]) == 0
    said = capsys.readouterr()
    assert "after 3 steps" in said.out
    assert Image.open(out).size == (256, 256)
    with av.open(str(video)) as file:
        assert sum(1 for _ in file.decode(video=0)) == 4


def test_drag_takes_an_engine(tmp_path, capsys):
    out = tmp_path / "a.png"
    command = ["drag", "--seed", "3", "--pair", PAIR, "--device", "cpu", "--engine", "kinematics", "--out", str(out)]
    assert main(command) == 0
    assert "arrived after" in capsys.readouterr().out
    assert main([*command, "--lr", "1e-3"]) == 2
    assert "lr is not a setting of this engine" in capsys.readouterr().err


def test_drag_takes_a_mask(tmp_path, capsys):
    Image.fromarray(np.full((256, 256), 255, dtype=np.uint8)).save(tmp_path / "m.png")
    out = ["--out", str(tmp_path / "a.png"), "--max-steps", "1", "--device", "cpu"]
    assert main(["drag", "--pair", PAIR, "--mask", str(tmp_path / "m.png"), *out]) == 0
    Image.fromarray(np.full((64, 64), 255, dtype=np.uint8)).save(tmp_path / "m.png")
    assert main(["drag", "--pair", PAIR, "--mask", str(tmp_path / "m.png"), *out]) == 2
    assert "64 x 64 pixels, the picture 256 x 256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["drag", "--pair", "1,2", "--out", "a.png"], "--pair '1,2' is not X,Y:X,Y"),
        (["drag", "--pair", "1,2:3,x", "--out", "a.png"], "--pair '1,2:3,x'"),
        (["drag", "--pair", "1,2:3,400", "--out", "a.png"], "target (3, 400) lies outside the picture"),
        (["drag", "--pair", PAIR, "--out", "a.jpg"], "a.jpg: the name must end in .png"),
        (["drag", "--pair", PAIR, "--out", "no/such/a.png"], "there is no folder"),
        (["drag", "--pair", PAIR, "--out", "a.png", "--video", "a.avi"], "a.avi: the name must end in"),
        (["drag", "--pair", PAIR, "--out", "a.png", "--lr", "-1"], "lr is -1.0"),
        (["image", "--model", "plsh", "--out", "a.png"], "plush-256"),
        (["image", "--model", "no.pkl", "--out", "a.png"], "no.pkl"),
        (["image", "--device", "tpu9", "--out", "a.png"], "tpu9"),
        (["image", "--device", "cuda:77", "--out", "a.png"], "no device 'cuda:77'"),
        (["image", "--seed", "-5", "--out", "a.png"], "seed -5"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
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
