"""The controls of a drag, and the configuration that they make."""

import re

import gradio as gr
import pytest

from draggan.engine.kinematics import KinematicConfig
from draggan.engine.paper import DragConfig
from draggan.web import settings
from draggan.web.settings import LABELS, PAPERS, RANGES, Shown


def test_the_defaults_are_shown_and_read_back():
    shown, controls = settings.defaults("plush-256"), settings.controls("plush-256")
    assert settings.chosen(shown) == ("kinematics", KinematicConfig(), "auto")
    assert tuple(c.value for c in controls) == shown
    names = [name for name, c in zip(LABELS, controls, strict=True) if c.visible]
    assert names == ["Engine", "Max steps", "Latent space", "Mask weight (lambda)", "Arrived within", "Precision"]


@pytest.mark.parametrize(("model", "lr"), [("plush-256", 2e-3), ("stylegan2-cat", 1e-3)])
def test_the_paper_s_engine_sets_out_with_the_paper_s_settings(model, lr):
    max_steps, mask_weight = settings.own("draggan")
    shown = settings.defaults(model)._replace(engine="draggan", max_steps=max_steps, mask_weight=mask_weight)
    assert settings.chosen(shown) == ("draggan", DragConfig(lr=lr), "auto")


def test_settings_are_seen_where_the_engine_has_them():
    for engine, seen in (("draggan", True), ("kinematics", False)):
        assert [change["visible"] for change in settings.of_engine(engine)] == [seen] * len(PAPERS)


@pytest.mark.parametrize(
    "controls",
    [
        Shown("draggan", 0.004, 5, "w", 7, 64, 4.5, 13, 0.5, 3, "bf16"),
        Shown("draggan", 0.004, 5, "w", 7, 64, 4.5, 13, 0.5, 0, "auto"),
        Shown("kinematics", 2e-3, 77, "w", 6, 128, 3, 12, 20, 3, "fp32"),
    ],
)
def test_a_configuration_is_shown_as_it_was_chosen(controls):
    assert settings.shown(*settings.chosen(controls), "plush-256") == controls


def test_the_other_engine_keeps_its_own_settings():
    engine, config, precision = settings.chosen(Shown("kinematics", 0.1, 77, "w", 6, 128, 3, 12, 20, 3, "fp16"))
    assert (engine, precision) == ("kinematics", "fp16")
    assert config == KinematicConfig(max_steps=77, space="w", mask_weight=20, tolerance=3)


def test_whole_numbers_may_come_with_a_point():
    told = Shown("draggan", 0.1, 77.0, "w", 6.0, 128.0, 3, 12, 20, 3, "fp16")
    config = settings.chosen(told)[1]
    assert [repr(n) for n in (config.max_steps, config.moving_layers, config.feature_resolution)] == ["77", "6", "128"]


def test_a_hand_is_followed_by_the_fast_engine_with_settings_of_its_own():
    paper = Shown("draggan", 0.1, 77, "w", 6, 128, 3, 12, 0.5, 3, "fp16")
    assert settings.live(paper) == ("kinematics", KinematicConfig(space="w", tolerance=3), "fp16")
    fast = paper._replace(engine="kinematics")
    assert settings.live(fast) == settings.chosen(fast)


PAPER = settings.defaults("plush-256")._replace(engine="draggan")


@pytest.mark.parametrize("name", Shown._fields)
def test_an_empty_control_is_named(name):
    empty = f"{getattr(LABELS, name)} is empty: give it a value, or press Reset"
    with pytest.raises(ValueError, match=re.escape(empty)):
        settings.chosen(PAPER._replace(**{name: None}))


@pytest.mark.parametrize("name", RANGES)
def test_a_control_out_of_range_is_named_with_the_range(name):
    least, most = RANGES[name]
    said = f"from {least} to {most}" if most else f"of {least} or more"
    for wrong in (least - 1, most and most + 1):
        if wrong is not None:
            told = f"{getattr(LABELS, name)} is {wrong}: give it a value {said}."
            with pytest.raises(ValueError, match=re.escape(told)):
                settings.chosen(PAPER._replace(**{name: wrong}))
    for right in (least, most):
        if right is not None:
            settings.chosen(PAPER._replace(**{name: right}))


def test_what_an_engine_does_not_have_may_be_anything():
    shown = settings.defaults("plush-256")._replace(**dict.fromkeys(PAPERS))
    assert settings.chosen(shown) == ("kinematics", KinematicConfig(), "auto")


SAME = gr.update(interactive=True)  # what leaves a control as it is
KEPT = ["draggan", 0.002, 3, "w", 5, 64, 4, 11, 0, 2, "fp32"]


def test_what_a_browser_keeps_comes_back():
    for kept in (KEPT, [*settings.defaults("plush-256")]):
        assert settings.remembered(kept) == [gr.update(value=value, interactive=True) for value in kept]


@pytest.mark.parametrize("kept", [None, [], "text", "text-of-it", [1] * 12, KEPT[:-1], dict(enumerate(KEPT))])
def test_what_a_browser_kept_of_other_controls_is_left(kept):
    assert settings.remembered(kept) == [SAME] * len(KEPT)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("engine", "other"), ("lr", "0.002"), ("lr", -1), ("max_steps", None), ("max_steps", 1001), ("space", "v"),
        ("moving_layers", 0), ("feature_resolution", None), ("r1", {}), ("r2", 1e9), ("mask_weight", -1),
        ("tolerance", [1]), ("precision", "tf32"),
    ],
)  # fmt: skip
def test_of_what_a_browser_kept_only_what_cannot_be_used_is_left(name, wrong):
    index = Shown._fields.index(name)
    kept = [*KEPT[:index], wrong, *KEPT[index + 1 :]]
    shown = [gr.update(value=value, interactive=True) for value in KEPT]
    assert settings.remembered(kept) == [*shown[:index], SAME, *shown[index + 1 :]]
