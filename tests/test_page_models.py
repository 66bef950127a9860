"""Choosing and sending models on the page, in a real browser. The models come from a mirror on this machine."""

import base64
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, expect

from draggan.project import Project, pack
from draggan.registry.models import spec_of
from draggan.session import new_session
from draggan.stylegan2 import checkpoint
from tests.browser import Tab, serving
from tests.closed_proxy import ClosedProxy
from tests.file_server import FileServer, Reply
from tests.foreign_files import write_nvidia_tensorflow
from tests.networks import random_tensors, tiny_config, tiny_generator
from tests.test_page_canvas import until

CAT, HORSE = "/stylegan2-cat-config-f.pkl", "/stylegan2-horse-config-f.pkl"  # each test has a model of its own
SLOW, SLOWER = Reply(pace=0.02), Reply(pace=0.1)  # seconds a block of 8 kB


@pytest.fixture(scope="module")
def mirror():
    with FileServer() as server:
        yield server


@pytest.fixture(scope="module")
def proxy():
    with ClosedProxy() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One without a model."""
    return tmp_path_factory.mktemp("page") / "models"


@pytest.fixture(scope="module")
def address(mirror, proxy, folder):
    variables = {"DRAGGAN_MIRROR": mirror.url, "DRAGGAN_CHECKPOINTS": str(folder)}
    with serving(folder.parent, 17900, proxy.url, **variables) as address:
        yield address


@pytest.fixture
def network(tmp_path) -> bytes:
    """A small one in the format of the original."""
    config = tiny_config(256)
    return write_nvidia_tensorflow(tmp_path / "network.pkl", config, random_tensors(config, 5)).read_bytes()


def model(tab: Tab) -> Locator:
    return tab.page.get_by_label("Model")


def choose(tab: Tab, name: str) -> None:
    model(tab).click()
    tab.page.get_by_role("option", name=f"{name}:").click()


def send(tab: Tab, path: Path) -> None:
    with tab.page.expect_file_chooser() as chooser:
        tab.page.click("#file")
    chooser.value.set_files(path)


def test_a_model_comes_with_progress_and_shows_its_picture(tab, mirror, proxy, folder, network):
    mirror.add(CAT, network, SLOW)
    tab.pair((100, 100), (120, 100))
    tab.paint((60, 60), (200, 60))
    before, pair, painted = tab.frame(), tab.points(), tab.painted()
    choose(tab, "stylegan2-cat")
    expect(tab.status).to_contain_text(re.compile(r"Downloading stylegan2-cat: \d+ % / "), timeout=20_000)
    bar = tab.page.get_by_role("progressbar", name="Progress")
    expect(bar).to_be_visible()
    assert tab.frame() == before
    expect(tab.status).to_contain_text("Click a point", timeout=60_000)
    expect(bar).to_be_hidden()
    expect(model(tab)).to_have_value(re.compile("stylegan2-cat: cats"))
    expect(tab.page.locator("#stop")).to_be_disabled()
    expect(tab.page.locator("#canvas .handle")).to_have_count(0)
    assert tab.frame() != before
    assert (folder / CAT[1:]).read_bytes() == network
    assert proxy.asked == []
    drawn = tab.frame()
    tab.page.click("#undo")
    until(tab, lambda: tab.frame() == before and tab.points() == pair and tab.painted() == painted)
    expect(model(tab)).to_have_value(re.compile("plush-256"))
    tab.page.click("#redo")
    until(tab, lambda: tab.frame() == drawn and tab.points() == [] and tab.painted() == 0)
    expect(model(tab)).to_have_value(re.compile("stylegan2-cat: cats"))
    expect(tab.page.locator("#canvas .strip button")).to_have_count(2)
    tab.pair((100, 100), (120, 100))
    tab.drag_to_its_end()
    assert tab.frame() != drawn


def test_stop_goes_back_to_the_old_model_and_choosing_again_goes_on(tab, hold, mirror, proxy, network):
    hold(2)
    mirror.add(HORSE, network, SLOWER, SLOW)
    tab.pair((111, 170), (150, 150))
    tab.paint((60, 60), (200, 60))
    tab.page.click("#drag")
    tab.wait_steps(1)
    tab.stop()
    kept = (tab.frame(), tab.points(), tab.painted(), tab.status.inner_text())
    choose(tab, "stylegan2-horse")
    expect(tab.status).to_contain_text("Downloading stylegan2-horse", timeout=20_000)
    while mirror.sent(HORSE) < 100_000:
        tab.page.wait_for_timeout(50)
    tab.page.click("#stop")
    expect(tab.page.locator("#stop")).to_be_disabled(timeout=20_000)
    expect(model(tab)).to_have_value(re.compile("plush-256"))
    expect(tab.page.locator("#drag")).to_have_text("Continue")
    assert (tab.frame(), tab.points(), tab.painted(), tab.status.inner_text()) == kept
    before = tab.steps()
    tab.page.click("#drag")
    tab.wait_steps(before + 1)
    tab.stop()
    choose(tab, "stylegan2-horse")
    expect(model(tab)).to_have_value(re.compile("stylegan2-horse"))
    expect(tab.status).to_contain_text("Click a point", timeout=60_000)
    first, second = (request for request in mirror.requests if request.path == HORSE)
    assert "Range" not in first.headers
    assert re.fullmatch(r"bytes=\d+-", second.headers["Range"])
    assert second.start >= 50_000
    assert proxy.asked == []


def test_the_model_of_a_session_that_comes_back_comes_with_progress(tab, mirror, tmp_path):
    config = tiny_config(512)
    file = write_nvidia_tensorflow(tmp_path / "network.pkl", config, random_tensors(config))
    mirror.add("/stylegan2-car-config-f.pkl", file.read_bytes(), Reply(pace=0.01))
    session = new_session(tiny_generator(512), "stylegan2-car", 3, 0.7)
    kept = base64.b64encode(pack(Project(session, ""))).decode()
    tab.page.evaluate("kept => sessionStorage.setItem('draggan', kept)", kept)
    tab.page.reload()
    expect(tab.status).to_have_text(re.compile(r"Downloading stylegan2-car: \d+ % / \d+ MB$"), timeout=20_000)
    expect(tab.page.get_by_role("progressbar", name="Progress")).to_be_visible()
    expect(tab.status).to_contain_text("Click a point", timeout=60_000)
    expect(model(tab)).to_have_value(re.compile("stylegan2-car"))


def test_a_model_that_is_nowhere_is_told_and_the_old_one_stays(tab, mirror, proxy, folder):
    file = "stylegan2-church-config-f.pkl"
    tab.pair((100, 100), (120, 100))
    kept = (tab.frame(), tab.points(), tab.status.inner_text())
    choose(tab, "stylegan2-church")
    toast = tab.page.get_by_text("could not download")
    expect(toast).to_be_visible(timeout=60_000)
    for said in (f"{mirror.url}/{file}", "status 404", f"have {file}", "put into the folder of its models"):
        expect(toast).to_contain_text(said)
    expect(toast).not_to_contain_text(str(folder))
    expect(model(tab)).to_have_value(re.compile("plush-256"))
    expect(tab.page.locator("#stop")).to_be_disabled()
    assert (tab.frame(), tab.points(), tab.status.inner_text()) == kept
    hosts = {urlsplit(url).hostname for url in spec_of("stylegan2-church").urls}
    assert set(proxy.asked) == hosts  # asked for in vain, after the mirror


def test_a_model_file_can_be_opened(tab, tmp_path):
    config = tiny_config(256)
    checkpoint.write(tmp_path / "mine.safetensors", config, random_tensors(config, 7))
    before = tab.frame()
    send(tab, tmp_path / "mine.safetensors")
    expect(model(tab)).to_have_value("mine.safetensors", timeout=30_000)
    expect(tab.status).to_contain_text("Click a point", timeout=30_000)
    mine = tab.frame()
    assert mine != before
    choose(tab, "plush-256")
    tab.page.wait_for_function("old => document.querySelector('#canvas .stage img').src !== old", arg=mine)
    assert tab.frame() == before


def test_a_file_that_is_no_model_is_refused(tab, tmp_path):
    tab.pair((100, 100), (120, 100))
    kept = (tab.frame(), tab.points(), tab.status.inner_text())
    (tmp_path / "holiday.pkl").write_bytes(b"not a network" * 1000)
    send(tab, tmp_path / "holiday.pkl")
    toast = tab.page.locator(".toast-message-text")
    expect(toast).to_contain_text("holiday.pkl", timeout=30_000)
    tab.page.wait_for_timeout(1000)
    expect(toast).to_have_count(1)
    assert "/" not in toast.inner_text(), "no folder of the server"
    expect(model(tab)).to_have_value(re.compile("plush-256"))
    expect(tab.page.locator("#stop")).to_be_disabled()
    assert (tab.frame(), tab.points(), tab.status.inner_text()) == kept


def test_a_model_with_classes_has_a_control_for_the_class(tab, tmp_path):
    config, control = tiny_config(64, c_dim=3), tab.page.locator("#class input")
    checkpoint.write(tmp_path / "classes.safetensors", config, random_tensors(config))
    expect(control).to_be_hidden()
    send(tab, tmp_path / "classes.safetensors")
    expect(control).to_be_visible(timeout=20_000)
    expect(control).to_have_value("0")
    first = tab.frame()
    control.fill("2")
    control.press("Enter")
    until(tab, lambda: tab.frame() != first)
    other = tab.frame()
    choose(tab, "plush-256")
    expect(control).to_be_hidden(timeout=20_000)
    tab.page.click("#undo")
    expect(control).to_have_value("2", timeout=20_000)
    until(tab, lambda: tab.frame() == other)
    tab.page.click("#undo")
    expect(control).to_have_value("0")
    until(tab, lambda: tab.frame() == first)
