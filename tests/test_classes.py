"""A class-conditional model: which class is drawn is the user's choice, everywhere."""

import base64
import io
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from draggan import project
from draggan.cli import main
from draggan.engine.paper import DragConfig
from draggan.render import to_picture
from draggan.session import new_session
from draggan.stylegan2.checkpoint import write
from draggan.web.handlers import Handlers
from draggan.web.keep import Keep
from draggan.web.network import Network
from draggan.web.presence import Listeners
from draggan.web.starts import Starts
from tests.networks import random_tensors, tiny_generator
from tests.shelf import Shelf

TAB = SimpleNamespace(session_hash="a")  # of a request
CLASSES, PLAIN = "classes.pkl", "plain"
PAIR = "10,10:12,12"


@pytest.fixture(scope="module")
def conditional():
    return tiny_generator(32, c_dim=3)


@pytest.fixture(scope="module")
def file(conditional, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "classes.safetensors"
    write(path, conditional.config, random_tensors(conditional.config))
    return path


@pytest.fixture
def network(conditional):
    return Network(Shelf(tiny_generator(32), {CLASSES: conditional}), "cpu")


def latent(generator, seed, class_index, psi=0.7):
    return generator.latent(seed, psi, class_index=class_index)


@pytest.mark.parametrize("command", ["image", "drag"])
def test_the_command_line_draws_the_class_that_it_is_told(command, file, conditional, tmp_path, capsys):
    out = tmp_path / "o.png"
    line = [command, "--model", str(file), "--seed", "3", "--psi", "0.7", "--device", "cpu", "--out", str(out)]
    if command == "drag":
        line += ["--pair", PAIR, "--max-steps", "0", "--precision", "fp32"]
    for class_index in (0, 2):
        assert main([*line, "--class", str(class_index)]) == 0
        with Image.open(out) as picture:
            assert picture.text["Class"] == str(class_index)
            expected = to_picture(conditional.render(latent(conditional, 3, class_index)))
            assert np.array_equal(picture, expected)
    capsys.readouterr()
    assert main(line) == 2
    assert "this model draws pictures of 3 classes: say --class, 0 .. 2" in capsys.readouterr().err
    assert main([*line, "--class", "3"]) == 2
    assert "class 3: this generator needs one of 0 .. 2" in capsys.readouterr().err


def test_a_class_of_a_model_without_classes_is_refused(tmp_path, capsys, plush):
    out = ["--device", "cpu", "--out", str(tmp_path / "o.png")]
    assert main(["image", "--class", "1", *out]) == 2
    assert "this generator has no classes, leave it out" in capsys.readouterr().err
    project.save(tmp_path / "a.draggan", project.Project(new_session(plush, "plush-256", 4, 0.7), ""))
    assert main(["drag", "--session", str(tmp_path / "a.draggan"), "--class", "1", "--pair", PAIR, *out]) == 2
    assert "--class with --session" in capsys.readouterr().err


def test_a_session_keeps_its_class(conditional, tmp_path):
    session = new_session(conditional, CLASSES, 3, 0.7, class_index=2)
    assert torch.equal(session.start, latent(conditional, 3, 2))
    project.save(tmp_path / "a.draggan", project.Project(session, ""))
    assert project.load(tmp_path / "a.draggan").session.class_index == 2


def test_the_control_for_the_class_is_there_for_models_with_classes(network, conditional):
    do = Handlers(network, Listeners())
    shown = lambda value: gr.update(value=value, visible=True)  # noqa: E731
    hidden = gr.update(value=0, visible=False)
    _, _, _, control, plain, *_ = next(do.start(PLAIN, 3, 0.7, 0))
    assert (control, plain.class_index) == (hidden, None)
    *_, (menu, control, first, *_) = do.choose(plain, CLASSES, 3, 0.7)
    assert (menu, control, first.class_index) == (CLASSES, shown(0), 0)
    *_, (second, *_) = do.draw(first, 3, 0.7, 2)
    assert second.class_index == 2
    assert torch.equal(second.start, latent(conditional, 3, 2))
    undo, back = SimpleNamespace(kind="undo", number=1), SimpleNamespace(kind="back", number=1, index=2)
    assert do.edit(second, undo)[-1] == shown(0)
    assert do.edit(first, undo)[-1] == hidden
    assert do.edit(second.undo(), back)[-1] == shown(2)
    *_, (_, random, *_) = do.draw_random(second, 0.7, 1)
    assert random.class_index == 1
    *_, (styled, *_) = do.style(second.dragged_by("draggan", DragConfig(moving_layers=4)), 8, 0.7, 1)
    assert torch.equal(styled.latent[:, 4:], latent(conditional, 8, 1)[:, 4:])


def test_the_grid_of_seeds_shows_the_class(network, conditional):
    session = network.draw(CLASSES, 3, 0.7, 1)
    offered, _ = Starts(network).seeds(session, 0.7, 2)
    settings = ["kinematics", *10 * [None]]
    do = Handlers(network, Listeners())
    *_, (_, _, _, _, _, picked, *_) = do.example(session, offered, SimpleNamespace(index=0), TAB, 0.7, 2, *settings)
    assert torch.equal(picked.start, latent(conditional, offered[0].seed, 2))


def test_a_class_that_is_not_given_or_not_there_loses_nothing(network):
    do, session = Handlers(network, Listeners()), network.draw(CLASSES, 3, 0.7, 1)
    for value, message in ((None, "Class is empty"), (3, "Class is 3: give it a value from 0 to 2.")):
        answers = []
        with pytest.raises(gr.Error) as error:
            answers.extend(do.draw(session, 4, 0.7, value))
        assert message in str(error.value)
        with pytest.raises(gr.Error) as error:
            Starts(network).seeds(session, 0.7, value)
        assert message in str(error.value)


def test_a_saved_picture_says_its_class(network):
    session = network.draw(CLASSES, 3, 0.7, 1)
    saved = Keep(network).picture(session, False)["file"]
    raw = base64.b64decode(saved["url"].partition(",")[2])
    with Image.open(io.BytesIO(raw)) as picture:
        assert (picture.text["Model"], picture.text["Seed"], picture.text["Class"]) == (CLASSES, "3", "1")
    plain = replace(session, class_index=None)
    raw = base64.b64decode(Keep(network).picture(plain, False)["file"]["url"].partition(",")[2])
    with Image.open(io.BytesIO(raw)) as picture:
        assert "Class" not in picture.text
