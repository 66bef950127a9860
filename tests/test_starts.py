"""Pictures to start from: examples, drawn once for all tabs, and a grid of seeds."""

import pytest

from draggan.render import thumbnail, with_points
from draggan.web.canvas import data_url
from draggan.web.network import Network
from draggan.web.starts import EXAMPLES, SEEDS, SIDE, Starts
from tests.networks import tiny_generator
from tests.shelf import Shelf


def small(picture):
    return data_url("image/jpeg", thumbnail(picture, SIDE))


def test_examples_show_their_points_and_are_drawn_once(plush, monkeypatch):
    network = Network(Shelf(plush), "cpu")
    starts = Starts(network)
    offered, gallery = starts.examples()
    assert offered == EXAMPLES
    assert [each["title"] for each in gallery["pictures"]] == [example.title for example in EXAMPLES]
    ears = EXAMPLES[1]
    handles, targets = ([getattr(pair, end) for pair in ears.pairs] for end in ("handle", "target"))
    picture = network.picture(network.draw("plush-256", ears.seed, 0.7))
    assert gallery["pictures"][1]["src"] == small(with_points(picture, handles, targets))
    monkeypatch.setattr(network, "draw", lambda *_: pytest.fail("they are drawn again"))
    assert starts.examples() == (offered, gallery)


def test_a_grid_is_of_other_seeds_of_the_model_that_is_shown():
    network = Network(Shelf(tiny_generator(32)), "cpu")
    session = network.draw("tiny", 3, 0.7)
    offered, gallery = Starts(network).seeds(session, 0.5, 0)
    seeds = [start.seed for start in offered]
    assert len(set(seeds)) == SEEDS
    assert [each["title"] for each in gallery["pictures"]] == [str(seed) for seed in seeds]
    assert gallery["pictures"][0]["src"] == small(network.picture(network.draw("tiny", seeds[0], 0.5)))
    assert seeds != [start.seed for start in Starts(network).seeds(session, 0.5, 0)[0]]
