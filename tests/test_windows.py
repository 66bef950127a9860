"""The network on windows against the network on whole maps."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from draggan.stylegan2 import windows as w
from draggan.stylegan2.squares import Squares, cut
from draggan.stylegan2.windows import Windows, evaluate
from tests.networks import tiny_generator

PLACES = {
    "middle": [(13, 14)],
    "corner": [(0, 0)],
    "borders": [(0, 9), (11, 0), (26, 12), (9, 26)],
    "last corner": [(26, 26)],
    "many": [(y, x) for y in (1, 8, 17, 26) for x in (0, 5, 11, 26)],
    "beyond": [(-2, 28), (29, -3)],
}


def crop(features, windows):
    """Windows of the only map, zero outside it, cut by plain slices."""
    edge = 20
    padded = F.pad(features, (edge,) * 4)
    starts = [(top + edge, left + edge) for top, left in windows.corners]
    return torch.cat([padded[:, :, y : y + windows.size, x : x + windows.size] for y, x in starts])


def squares(features, corners, size, owners=None):
    """The same as the network on windows cuts them. owners: the map of each; None: the first"""
    places = torch.tensor(owners or [0] * len(corners))
    return cut(features, Squares(torch.tensor(corners), size, beyond=True), places)


def on_whole_maps(generator, windows):
    """latents -> the features of the block of 32, cropped from whole maps."""
    return lambda ws: crop(generator.trunk(ws, 32).features, windows)


def with_gradient(run, ws, weight):
    """Features, and the gradient by the latents of their sum. `weight` makes it uneven."""
    at = ws.clone().requires_grad_()
    features = run(at)
    (gradient,) = torch.autograd.grad((features * weight[: len(features)]).sum(), at)
    return features.detach(), gradient


def away_from_kinks(run, ws_shape, weight):
    """Latents around which the gradient changes little: no activation is within rounding of a kink or a clamp, where
    its slope would be that of either side. run: in float64"""
    for _ in range(20):
        ws, way = torch.randn(2, *ws_shape, dtype=torch.float64)
        nearby = (ws - 3e-6 * way, ws, ws + 3e-6 * way)
        before, here, after = (with_gradient(run, at, weight)[1] for at in nearby)
        if max((before - here).abs().max(), (after - here).abs().max()) <= 5e-5 * here.abs().max():
            return ws
    pytest.fail("an activation is near a kink, whatever the latents")


@pytest.fixture
def never_whole(monkeypatch):
    """Windows as far down as they go, whatever they cost."""
    monkeypatch.setattr(w, "WINDOW_COST", 1e-9)


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("steady", [False, True])
@pytest.mark.parametrize("facts", [{}, {"width": 2}, {"conv_clamp": 1.0}])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_windows_are_the_whole_map(places, steady, facts, dtype, tolerance, never_whole):
    if "width" in facts:
        places = [(top, left // 2) for top, left in places]
    windows = Windows(tuple(places), 6, steady)
    weight = torch.randn(len(places), 8, 6, 6, dtype=torch.float64)
    exact = tiny_generator(64, **facts).double()
    ws_shape = (1, exact.num_ws, exact.config.w_dim)
    ws = away_from_kinks(on_whole_maps(exact, windows), ws_shape, weight).to(dtype)
    generator, weight = tiny_generator(64, **facts).to(dtype), weight.to(dtype)
    features, gradient = with_gradient(on_whole_maps(generator, windows), ws, weight)
    ours, our_gradient = with_gradient(lambda at: evaluate(generator, at, 32, windows), ws, weight)
    assert (ours - features).abs().max() <= tolerance * features.abs().max()
    assert (our_gradient - gradient).abs().max() <= tolerance * gradient.abs().max()


@given(
    st.lists(st.tuples(st.integers(-3, 62), st.integers(-3, 62)), min_size=1, max_size=4),
    st.integers(1, 14),
    st.sampled_from([64, 32, 16, 8]),
    st.booleans(),
)
@settings(max_examples=40)
def test_any_windows_of_any_block(corners, size, resolution, steady):
    generator = tiny_generator(64).double()
    ws = torch.randn(1, generator.num_ws, generator.config.w_dim, dtype=torch.float64)
    windows = Windows(tuple((min(a, resolution), min(b, resolution)) for a, b in corners), size, steady)
    expected = crop(generator.trunk(ws, resolution).features, windows)
    with pytest.MonkeyPatch.context() as patch:
        for cost in (1e-9, 1.0):
            patch.setattr(w, "WINDOW_COST", cost)
            torch.testing.assert_close(evaluate(generator, ws, resolution, windows), expected, rtol=1e-9, atol=1e-9)


@given(st.tuples(st.integers(-9, 70), st.integers(-9, 70)), st.integers(1, 20))
def test_steady_windows_have_the_same_sources_wherever_they_lie(corner, size):
    level, other, exact = Windows((corner,), size, True), Windows(((0, 0),), size, True), Windows((corner,), size)
    for _ in range(4):
        level, other, exact = level.source(), other.source(), exact.source()
        assert level.size == other.size >= exact.size


def test_only_what_pays_is_run_on_windows():
    config = tiny_generator(64).config
    small, large = Windows(((20, 20),), 8), Windows(tuple((y, x) for y in range(0, 64, 8) for x in range(0, 64, 8)), 8)
    run_whole = w.total_cost(config, 64, None)
    assert w.total_cost(config, 64, small) < run_whole / 4
    assert w.total_cost(config, 64, large) == run_whole


def test_a_square_is_zero_outside():
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    (part,) = squares(features, [(-1, 2)], 4)
    assert part[0].tolist() == [[0, 0, 0, 0], [2, 3, 0, 0], [6, 7, 0, 0], [10, 11, 0, 0]]


@pytest.mark.parametrize("corners", [((0, 1), (2, 2), (0, 1)), ((1, 2), (1, 2))])
@pytest.mark.parametrize("count", [1, 3])
def test_squares_have_the_gradient_of_their_parts(corners, count):
    """Squares that overlap, of one map."""
    features = torch.randn(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: squares(f, corners * count, 3), (features,))


@pytest.mark.parametrize("corners", [((0, 1), (2, 2), (0, 1)), ((1, 2), (1, 2), (1, 2))])
def test_squares_of_several_maps(corners):
    """Two of one map and one of another, as a plain loop takes them."""
    features = torch.randn(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    found = squares(features, corners, 3, (1, 0, 1))
    for i, ((top, left), square) in enumerate(zip(corners, found, strict=True)):
        assert torch.equal(square, features[(i + 1) % 2, :, top : top + 3, left : left + 3])
    assert torch.autograd.gradcheck(lambda f: squares(f, corners, 3, (1, 0, 1)), (features,))


@pytest.mark.parametrize("cost", [1e-9, 1.0])
def test_windows_of_several_latents(cost, monkeypatch):
    monkeypatch.setattr(w, "WINDOW_COST", cost)
    generator = tiny_generator(64).double()
    ws = torch.randn(2, generator.num_ws, generator.config.w_dim, dtype=torch.float64)
    windows = Windows(((3, 9), (20, 20), (-2, 5)), 6)
    maps = generator.trunk(ws, 32).features
    owners = (0, 1, 0)
    each = zip(owners, windows.corners, strict=True)
    expected = torch.cat([crop(maps[i : i + 1], Windows((corner,), 6)) for i, corner in each])
    torch.testing.assert_close(evaluate(generator, ws, 32, windows, owners), expected, rtol=1e-9, atol=1e-9)
