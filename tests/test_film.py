"""The way of an edit, and when a drag gets nowhere."""

from itertools import pairwise

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from draggan.film import FRAMES, SHOWN, Film, Frame
from draggan.geometry import Point

POINTS = (Point(1, 2),)


@given(st.integers(1, 1000))
def test_a_film_stays_small_and_evenly_spread(steps):
    start = torch.zeros(1, 4, 2)
    film = Film()
    for step in range(steps):
        film = film.shoot(start, torch.full((1, 4, 2), float(step)), POINTS, POINTS)
    taken = [int(frame.latent(start)[0, 0, 0]) for frame in film.frames]
    assert 1 <= len(taken) <= FRAMES
    assert taken == list(range(0, steps, film.every))
    assert len(taken) > FRAMES // 2 or film.every == 1
    thin = film.thinned(16)
    assert 8 < len(thin.frames) <= 16 or thin is film
    again = thin.shoot(start, torch.full((1, 4, 2), float(steps)), POINTS, POINTS)
    taken = [int(frame.latent(start)[0, 0, 0]) for frame in again.frames]
    assert taken == list(range(0, steps + 1, again.every)), "it goes on evenly"


def test_a_frame_keeps_the_layers_that_moved():
    start = torch.randn(1, 14, 8)
    latent = start.clone()
    latent[:, :6] += 1
    (frame,) = Film().shoot(start, latent, POINTS, POINTS).frames
    assert frame.moved.shape == (1, 6, 8)
    assert torch.allclose(frame.latent(start), latent, atol=2e-3)
    assert torch.equal(frame.latent(start)[:, 6:], start[:, 6:])
    (still,) = Film().shoot(start, start, POINTS, POINTS).frames
    assert torch.equal(still.latent(start), start)


@given(st.integers(1, 200))
@example(2)
def test_a_video_shows_the_whole_way_evenly_and_ends_where_the_edit_does(steps):
    start = torch.zeros(1, 4, 2)
    film = Film()
    for step in range(steps):
        film = film.shoot(start, torch.full((1, 4, 2), float(step)), (Point(step, -step),), POINTS)
    end = Frame(torch.full((1, 4, 2), steps - 1.0), (Point(steps - 1, 1 - steps),), POINTS)
    way = film.way(start, end)
    at = [frame.latent(start)[0, 0, 0].item() for frame in way]
    assert way[-1] is end
    assert at[0] == 0
    assert at == sorted(at)
    assert SHOWN <= len(way) <= SHOWN + len(film.frames) or steps == 1
    for frame, x in zip(way, at, strict=True):
        assert (frame.handles[0].x, frame.handles[0].y) == pytest.approx((x, -x), abs=0.1)
    each = min(film.every, (steps - 1 + film.every) / (SHOWN - 1))
    assert all(b - a <= each + 0.1 for a, b in pairwise(at))


def test_between_frames_with_other_points_the_handles_stay():
    start = torch.zeros(1, 4, 2)
    film = Film().shoot(start, start, POINTS, POINTS).shoot(start, start + 0.5, POINTS, POINTS)
    end = Frame(start + 1, (*POINTS, Point(5, 5)), (*POINTS, Point(6, 6)))
    way = film.shoot(start, start + 1, end.handles, end.targets).way(start, end)
    assert all(frame.handles == POINTS for frame in way[:-1])
    assert way[-1].handles == end.handles
