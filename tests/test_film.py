"""The way of an edit, and when a drag gets nowhere."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from draggan.film import FRAMES, Film
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
