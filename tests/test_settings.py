"""The controls of a drag, and the configuration that they make."""

import re

import pytest

from draggan.kinematics import KinematicConfig
from draggan.paper import DragConfig
from draggan.web import settings


def test_the_defaults_are_shown_and_read_back():
    shown = settings.defaults("plush-256")
    assert settings.chosen(shown) == ("kinematics", KinematicConfig(), "auto")
    assert [c.value for c in settings.controls("plush-256")] == shown
    names = [name for name, c in zip(settings.NAMES, settings.controls("plush-256"), strict=True) if c.visible]
    assert names == ["Engine", "Max steps", "Latent space", "Mask weight (lambda)", "Arrived within", "Precision"]


@pytest.mark.parametrize(("model", "lr"), [("plush-256", 2e-3), ("stylegan2-cat", 1e-3)])
def test_the_paper_s_engine_sets_out_with_the_paper_s_settings(model, lr):
    shown = settings.defaults(model)
    shown[settings.ENGINE], (shown[settings.MOST], shown[settings.WEIGHT]) = "draggan", settings.own("draggan")
    assert settings.chosen(shown) == ("draggan", DragConfig(lr=lr), "auto")


def test_settings_are_seen_where_the_engine_has_them():
    for engine, seen in (("draggan", True), ("kinematics", False)):
        assert [change["visible"] for change in settings.of_engine(engine)] == [seen] * len(settings.PAPERS)


@pytest.mark.parametrize(
    "controls",
    [
        ["draggan", 0.004, 5, "w", 7, 64, 4.5, 13, 0.5, 3, "bf16"],
        ["draggan", 0.004, 5, "w", 7, 64, 4.5, 13, 0.5, 0, "auto"],
        ["kinematics", 2e-3, 77, "w", 6, 128, 3, 12, 20, 3, "fp32"],
    ],
)
def test_a_configuration_is_shown_as_it_was_chosen(controls):
    assert settings.shown(*settings.chosen(controls), "plush-256") == controls


def test_the_other_engine_keeps_its_own_settings():
    engine, config, precision = settings.chosen(["kinematics", 0.1, 77, "w", 6, 128, 3, 12, 20, 3, "fp16"])
    assert (engine, precision) == ("kinematics", "fp16")
    assert config == KinematicConfig(max_steps=77, space="w", mask_weight=20, tolerance=3)


def test_a_hand_is_followed_by_the_fast_engine_with_settings_of_its_own():
    paper = ["draggan", 0.1, 77, "w", 6, 128, 3, 12, 0.5, 3, "fp16"]
    assert settings.live(paper) == ("kinematics", KinematicConfig(space="w", tolerance=3), "fp16")
    fast = ["kinematics", *paper[1:]]
    assert settings.live(fast) == settings.chosen(fast)


@pytest.mark.parametrize("place", range(len(settings.NAMES)))
def test_an_empty_control_is_named(place):
    shown = settings.defaults("plush-256")
    shown[place] = None
    with pytest.raises(
        ValueError, match=re.escape(f"{settings.NAMES[place]} is empty: give it a value, or press Reset")
    ):
        settings.chosen(shown)


@pytest.mark.parametrize(
    "kept",
    [
        None,
        [],
        "text",
        [None] * 11,
        [1] * 12,
        ["draggan", -1, 1, "w", 1, 1, 1, 1, 1, 1, "auto"],
        ["draggan", 0.002, 3, "w", 5, 64, 4, 11, 0, 2],  # of a page that had no precision yet
        ["draggan", 0.002, 3, "w", 5, 64, 4, 11, 0, 2, "tf32"],
    ],
)
def test_what_a_browser_kept_is_used_only_where_it_can_be(kept):
    assert all(isinstance(change, dict) for change in settings.remembered(kept))
    assert len(settings.remembered(kept)) == len(settings.NAMES)


def test_what_a_browser_keeps_comes_back():
    shown = ["draggan", 0.002, 3, "w", 5, 64, 4, 11, 0, 2, "fp32"]
    assert settings.remembered(settings.keep(*shown)) == shown
    assert isinstance(settings.keep("draggan", 7, 3, "v", 5, 64, 4, 11, 0, 2, "auto"), dict), "not while wrong"
