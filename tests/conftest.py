"""What several test files share."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

import draggan
from draggan.stylegan2.generator import Generator
from tests.browser import Tab, chromium, serving


@pytest.fixture(scope="session")
def plush() -> Generator:
    """The embedded model."""
    return draggan.load("plush-256", device="cpu")


@pytest.fixture(scope="session")
def address(tmp_path_factory) -> Iterator[str]:
    """A page that `python -m draggan.web` serves."""
    with serving(tmp_path_factory.mktemp("web"), 17860) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def tab(browser, address) -> Iterator[Tab]:
    """A tab of the page, closed and checked for errors and outside requests after the test."""
    opened = Tab(browser, address)
    yield opened
    opened.close()
