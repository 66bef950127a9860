"""What several test files share."""

import pytest

import draggan
from draggan.stylegan2.generator import Generator


@pytest.fixture(scope="session")
def plush() -> Generator:
    """The embedded model."""
    return draggan.load("plush-256", device="cpu")
