"""What drags see of feature maps, on windows, alone and together."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from draggan.engine import views
from draggan.engine.features import whole
from draggan.engine.views import View, around, seen
from draggan.geometry import Point, to_tensor
from draggan.stylegan2.generator import Generator
from tests.networks import tiny_generator


@given(
    st.lists(st.tuples(st.floats(-0.5, 63.5), st.floats(-0.5, 127.5)), min_size=1, max_size=12),
    st.floats(0.5, 12),
)
@settings(max_examples=40)
def test_around_reads_the_same_as_the_whole_map(places, reach):
    generator = tiny_generator(128, width=2).double()
    ws = torch.randn(1, generator.num_ws, generator.config.w_dim, dtype=torch.float64)
    handles = tuple(Point(x, y) for x, y in places)
    near = around(generator, ws, 64, handles, reach)
    everywhere = whole(generator.trunk(ws, 64), generator.image_size, len(handles))
    corners = torch.tensor([[-1, -1], [-1, 1], [0, 0], [1, -1], [1, 1]], dtype=torch.float64) * reach
    points = to_tensor(handles, ws)[:, None] + corners
    torch.testing.assert_close(near.sample(points), everywhere.sample(points), rtol=1e-9, atol=1e-9)


def test_windows_are_few_and_shared():
    generator = tiny_generator(128)
    ws = generator.latent(1)
    one = around(generator, ws, 128, [Point(60, 60)], 4)
    assert one.trunk is None
    assert len(one.corners) == 1
    assert one.parts.shape[2:] == (10, 10), "4 to each side, and the next one"
    near = around(generator, ws, 128, [Point(60, 60), Point(61, 62), Point(20, 100)], 4)
    assert near.owners.tolist() == [0, 0, 1]
    crowd = [Point(x, y) for x in range(4, 128, 10) for y in range(4, 128, 10)]
    assert around(generator, ws, 128, crowd, 6).trunk is not None


PLACES = st.tuples(st.floats(-0.5, 63.5), st.floats(-0.5, 63.5))
VIEWS = st.lists(st.tuples(st.booleans(), st.lists(PLACES, min_size=1, max_size=8)), min_size=1, max_size=4)


@given(VIEWS, st.floats(0.5, 8))
@settings(max_examples=30)
def test_together_each_view_is_what_it_is_alone(given_views, reach):
    """Of one latent for all handles of a view, and of one for each; on windows or whole; with their gradients."""
    generator = tiny_generator(64).double()
    rng = torch.Generator().manual_seed(1)
    asked = []
    for own, places in given_views:
        count = len(places) if own else 1
        ws = torch.randn(count, generator.num_ws, generator.config.w_dim, dtype=torch.float64, generator=rng)
        asked.append((ws.requires_grad_(), tuple(Point(x, y) for x, y in places)))
    found = seen([View(generator, ws, 32, handles, reach) for ws, handles in asked])
    total = torch.zeros((), dtype=torch.float64)
    for (ws, handles), near in zip(asked, found, strict=True):
        points = to_tensor(handles, ws)[:, None] + reach * torch.tensor([[-1, 1], [0, 0], [1, -1]], dtype=torch.float64)
        read = near.sample(points)
        torch.testing.assert_close(read, around(generator, ws, 32, handles, reach).sample(points), rtol=1e-9, atol=1e-9)
        total = total + read.square().sum()
    gradients = torch.autograd.grad(total, [ws for ws, _ in asked])
    for (ws, handles), ours in zip(asked, gradients, strict=True):
        points = to_tensor(handles, ws)[:, None] + reach * torch.tensor([[-1, 1], [0, 0], [1, -1]], dtype=torch.float64)
        read = around(generator, ws, 32, handles, reach).sample(points)
        torch.testing.assert_close(ours, torch.autograd.grad(read.square().sum(), ws)[0], rtol=1e-9, atol=1e-9)


def test_a_crowd_is_seen_whole_beside_others_on_windows():
    generator = tiny_generator(128)
    crowd = tuple(Point(x, y) for x in range(4, 128, 10) for y in range(4, 128, 10))
    few, many, one = (
        View(generator, generator.latent(i), 128, handles, 4)
        for i, handles in enumerate([(Point(60, 60), Point(20, 100)), crowd, (Point(9, 9),)])
    )
    found = seen([few, many, one])
    assert [each.trunk is None for each in found] == [True, False, True]
    assert [len(each.corners) for each in found] == [2, 1, 1]
    assert [each.owners.tolist() for each in (found[0], found[2])] == [[0, 1], [0]]


def test_views_of_one_kind_differ_in_latent_and_handles():
    generator, other = tiny_generator(64), tiny_generator(64)
    view = View(generator, generator.latent(1), 32, (Point(9, 9),), 4)
    assert replace(view, ws=generator.latent(2).expand(2, -1, -1), handles=(Point(1, 2), Point(3, 4))).kind == view.kind
    split = [{"ws": generator.latent(1).tensor_split([layers], dim=1)} for layers in (4, 6)]
    others = {"generator": other}, {"resolution": 16}, {"reach": 5}, *split
    assert len({view.kind, *(replace(view, **change).kind for change in others)}) == 6


def test_steady_windows_are_of_one_size_wherever_handles_lie(monkeypatch):
    monkeypatch.setattr(Generator, "steady", True)
    generator = tiny_generator(128, width=2).double()
    ws = generator.latent(1).double()
    everywhere = whole(generator.trunk(ws, 64), generator.image_size, 2)
    offsets = 4.3 * torch.tensor([[-1, -1], [-1, 1], [0, 0], [1, -1], [1, 1]], dtype=torch.float64)
    for handles in ((Point(x, y), Point(63 - x, y)) for x in (-0.5, 0.9, 30.6, 63.5) for y in (-0.5, 41.3, 127.5)):
        near = around(generator, ws, 64, handles, 4.3)
        assert near.parts.shape[2:] == (7, 7), "4.3 cells, the one before and the one after"
        assert near.owners.tolist() == [0, 1]
        points = to_tensor(handles, ws)[:, None] + offsets
        torch.testing.assert_close(near.sample(points), everywhere.sample(points), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("steady", "latents", "windows"), [(False, 4, 7), (True, 4, 8)])
def test_what_several_see_is_evaluated_at_once(steady, latents, windows, monkeypatch):
    """Filled up to powers of two where it is recorded."""
    evaluated = []

    def counted(generator, parts, resolution, asked, owners):
        evaluated.append(({len(part) for part in parts}, len(asked.corners), len(owners)))
        return evaluate(generator, parts, resolution, asked, owners)

    evaluate = views.evaluate
    monkeypatch.setattr(views, "evaluate", counted)
    monkeypatch.setattr(Generator, "steady", steady)
    generator = tiny_generator(128).double()
    one, own = generator.latent(1).double(), torch.cat([generator.latent(i).double() for i in (2, 3, 4)])
    handles = (Point(60, 60), Point(61, 62), Point(20, 100), Point(90, 9))
    asked = [View(generator, one, 128, handles, 4), View(generator, own, 128, handles[1:], 4)]
    found = seen(asked)
    assert evaluated == [({latents}, windows, windows)]
    for view, near in zip(asked, found, strict=True):
        points = to_tensor(view.handles, one)[:, None]
        alone = around(generator, view.ws, 128, view.handles, 4)
        torch.testing.assert_close(near.sample(points), alone.sample(points), rtol=1e-9, atol=1e-9)
