"""What several test files share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright
from torch.nn import Sequential

import draggan
from draggan.inversion import perceptual
from draggan.stylegan2.generator import Generator
from draggan.threads import free_cores
from tests.browser import GATE, WINDOW, Tab, chromium, serving


def pytest_configure(config: pytest.Config) -> None:
    """Processes that test side by side, and the servers that they start, share the cores, and no example is timed."""
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")
    if config.option.numprocesses:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, free_cores() // config.option.numprocesses)))
    GATE.unlink(missing_ok=True)  # of a run that was killed, by a process of the same number


@pytest.fixture(scope="session", autouse=True)
def folder_of_models(tmp_path_factory) -> Iterator[None]:
    """Nothing that a user has on the machine is read or written, by servers that tests start neither."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DRAGGAN_CHECKPOINTS", str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What a test draws at random does not depend on the tests before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def plush() -> Generator:
    """The embedded model."""
    return draggan.load("plush-256", device="cpu")


@pytest.fixture(scope="session")
def vgg16_layers() -> Sequential:
    """VGG16's convolutions with random weights."""
    from torchvision.models import vgg16  # takes more than a second, and most processes need none

    with torch.device("meta"):
        layers = vgg16().features
    layers = layers.to_empty(device="cpu").requires_grad_(False)
    rng = torch.Generator().manual_seed(0)
    for t in layers.state_dict().values():
        t.copy_(torch.randn(t.shape, generator=rng) * (2 / t[0].numel()) ** 0.5)
    return layers


@pytest.fixture(scope="session")
def vgg16_home(vgg16_layers, tmp_path_factory) -> Path:
    """What `TORCH_HOME` may name: a folder that has them where torchvision keeps them, in a file like its own."""
    home = tmp_path_factory.mktemp("torch")
    file = home / "hub" / "checkpoints" / perceptual.FILE
    file.parent.mkdir(parents=True)
    tensors = {f"features.{name}": t for name, t in vgg16_layers.state_dict().items()}
    whole = tensors | {"classifier.6.bias": torch.zeros(1000)}
    torch.save(whole, file, _use_new_zipfile_serialization=False)  # as in 2017, when torchvision's file was made
    return home


@pytest.fixture(scope="session")
def address(tmp_path_factory, worker_id) -> Iterator[str]:
    """A page that `python -m draggan.web` serves, one for each process that tests."""
    port = 17860 + (0 if worker_id == "master" else int(worker_id.removeprefix("gw")))
    with serving(tmp_path_factory.mktemp("web"), port) as address:
        yield address


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:  # ends with its file: while it runs, no test can run a loop of its own
        yield running


@pytest.fixture(scope="module")
def browser(playwright) -> Iterator[Browser]:
    running = playwright.chromium.launch(**chromium())
    yield running
    running.close()


@pytest.fixture(scope="session")
def belongings(tmp_path_factory) -> Path:
    """The folder of a user's browser."""
    return tmp_path_factory.mktemp("profile")


@pytest.fixture(scope="module")
def profile(playwright, belongings) -> Iterator[BrowserContext]:
    """The browser of one user, who comes again: it has the page's files, compiled, which halves what a tab costs."""
    context = playwright.chromium.launch_persistent_context(belongings, viewport=WINDOW, **chromium())
    yield context
    context.close()


@pytest.fixture
def tab(profile, address) -> Iterator[Tab]:
    """A tab of the page, closed and checked for errors and outside requests after the test."""
    opened = Tab(profile, address)
    yield opened
    opened.page.evaluate("localStorage.clear()")
    opened.close()


@pytest.fixture
def hold() -> Iterator[Callable[[int], object]]:
    """Drags and reconstructions stay where they are after so many steps, until they are stopped or may take more."""
    yield lambda steps: GATE.write_text(str(steps))
    GATE.unlink(missing_ok=True)
