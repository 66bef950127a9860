"""The page in a real browser, from the command that users type."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
from urllib.parse import urlparse
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from draggan.render import to_picture

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """`python -m draggan.web` in a folder of its own, with a proxy set that nobody answers."""
    env = os.environ | {
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "draggan.web", "--device", "cpu", "--port", "17860"]
    server = subprocess.Popen(
        command,
        cwd=tmp_path_factory.mktemp("web"),
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    for line in server.stdout:
        said.append(line)
        if found := re.search(r"http://\S+", line):
            break
    else:
        pytest.fail("".join(said))
    yield found[0]
    server.terminate()
    server.wait(20)


@pytest.fixture(scope="module")
def browser():
    """Debian's or the user's own Chromium, else the one that `playwright install chromium` brings."""
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, BROWSERS)), None)
        running = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield running
        running.close()


class Tab:
    """A page and what a user does on it."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.goto(address)
        self.page.wait_for_function("document.querySelector('#canvas .stage img')?.naturalWidth > 1", timeout=60_000)
        self.status = self.page.locator("#canvas .status")

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of the picture -> pixels of the window."""
        box = self.page.locator("#canvas .stage").bounding_box()
        return box["x"] + (x + 0.5) / 256 * box["width"], box["y"] + (y + 0.5) / 256 * box["height"]

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.place(x, y))

    def pair(self, handle: tuple[float, float], target: tuple[float, float]) -> None:
        self.click(*handle)
        expect(self.status).to_contain_text("Now click the place", timeout=20_000)
        self.click(*target)
        expect(self.status).to_contain_text("px to go", timeout=20_000)

    def steps(self) -> int:
        found = re.search(r"[Ss]tep (\d+)", self.status.inner_text())
        return int(found[1]) if found else 0

    def frame(self) -> str:
        return self.page.locator("#canvas .stage img").get_attribute("src")

    def draw(self, seed: int) -> None:
        before = self.frame()
        self.page.get_by_label("Seed").fill(str(seed))
        self.page.click("#draw")
        changed = "old => document.querySelector('#canvas .stage img').getAttribute('src') !== old"
        self.page.wait_for_function(changed, arg=before, timeout=20_000)

    def stop(self) -> int:
        self.page.click("#stop")
        expect(self.page.locator("#stop")).to_be_disabled(timeout=20_000)
        expect(self.status).to_contain_text("Stopped at step", timeout=20_000)
        return self.steps()

    def wait_steps(self, more_than: int) -> None:
        deadline = time.monotonic() + 60
        while self.steps() <= more_than:
            assert time.monotonic() < deadline, self.status.inner_text()
            self.page.wait_for_timeout(50)


@pytest.fixture
def tab(browser, address):
    opened = Tab(browser, address)
    yield opened
    assert opened.errors == []
    outside = {urlparse(url).hostname for url in opened.requests if url.startswith("http")} - {"127.0.0.1"}
    assert outside == set()
    opened.page.close()


def test_click_click_drag_stop_and_go_on(tab):
    before = tab.frame()
    tab.pair((111, 170), (150, 150))
    assert tab.page.locator("#canvas .handle").count() == tab.page.locator("#canvas .target").count() == 1
    tab.page.click("#drag")
    tab.wait_steps(2)
    assert tab.frame() != before
    stopped = tab.stop()
    kept = tab.frame()
    tab.page.wait_for_timeout(600)
    assert tab.frame() == kept
    assert tab.steps() == stopped
    expect(tab.page.locator("#drag")).to_have_text("Continue")
    tab.page.click("#drag")
    tab.wait_steps(stopped + 1)
    tab.stop()
    assert tab.frame() != kept


def test_a_drag_arrives_and_says_so(tab):
    tab.pair((111, 170), (117, 168))
    tab.page.click("#drag")
    expect(tab.status).to_contain_text("Arrived after", timeout=60_000)
    expect(tab.page.locator("#stop")).to_be_disabled()
    handle, target = tab.page.locator("#canvas .handle"), tab.page.locator("#canvas .target")
    for axis in ("cx", "cy"):
        assert abs(float(handle.get_attribute(axis)) - float(target.get_attribute(axis))) <= 1


def test_points_come_and_go(tab):
    tab.pair((100, 100), (120, 100))
    tab.click(50, 60)
    expect(tab.page.locator("#canvas .handle")).to_have_count(2, timeout=20_000)
    handle = tab.page.locator("#canvas .handle").nth(1)
    assert float(handle.get_attribute("cx")) == pytest.approx(50, abs=0.6)
    assert float(handle.get_attribute("cy")) == pytest.approx(60, abs=0.6)
    tab.page.click("#undo")
    expect(tab.page.locator("#canvas .handle")).to_have_count(1, timeout=20_000)
    tab.page.click("#clear")
    expect(tab.page.locator("#canvas .handle")).to_have_count(0, timeout=20_000)
    expect(tab.status).to_contain_text("Click a point")


def test_nothing_to_drag_is_told(tab):
    tab.page.click("#drag")
    expect(tab.page.get_by_text("nothing to drag yet")).to_be_visible(timeout=20_000)
    expect(tab.page.locator("#drag")).to_be_enabled()


def painted(tab):
    return tab.page.evaluate(
        "() => { const c = document.querySelector('#canvas .mask');"
        " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 127; return n; }"
    )


def test_a_painted_mask_holds_the_rest(tab):
    tab.pair((111, 170), (135, 160))
    tab.page.click("[data-tool=paint]")
    tab.page.mouse.move(*tab.place(90, 60))
    tab.page.mouse.down()
    tab.page.mouse.move(*tab.place(160, 60), steps=4)
    tab.page.mouse.up()
    assert painted(tab) > 500
    tab.page.click("[data-tool=points]")
    expect(tab.status).to_contain_text("px to go")
    tab.page.wait_for_timeout(500)
    tab.page.click("#drag")
    tab.wait_steps(6)
    tab.stop()
    held = tab.page.locator("#canvas .handle").get_attribute("cx")
    tab.page.click("#canvas .unmask")
    assert painted(tab) == 0
    tab.page.wait_for_timeout(500)
    tab.page.click("#reset")
    expect(tab.page.locator("#drag")).to_have_text("Drag it", timeout=20_000)
    tab.page.click("#drag")
    tab.wait_steps(6)
    tab.stop()
    free = tab.page.locator("#canvas .handle").get_attribute("cx")
    assert float(held) < float(free)


def test_the_eraser_takes_paint_away_and_a_new_picture_all_of_it(tab):
    for tool in ("paint", "erase"):
        tab.page.click(f"[data-tool={tool}]")
        tab.page.mouse.move(*tab.place(90, 60))
        tab.page.mouse.down()
        tab.page.mouse.move(*tab.place(160 if tool == "paint" else 130, 60), steps=4)
        tab.page.mouse.up()
        if tool == "paint":
            all_of_it = painted(tab)
    assert 0 < painted(tab) < all_of_it
    tab.draw(5)
    assert painted(tab) == 0


def test_the_saved_picture_is_the_model_s_own_pixels(tab, plush):
    with tab.page.expect_download(timeout=30_000) as download:
        tab.page.click("#save")
    assert download.value.suggested_filename == "plush-256-seed6-step0.png"
    saved = np.asarray(Image.open(io.BytesIO(download.value.path().read_bytes())))
    assert np.array_equal(saved, to_picture(plush.render(plush.latent(6, 0.7))))


def test_two_tabs_do_not_disturb_each_other(browser, address, tab):
    other = Tab(browser, address)
    other.draw(4)
    tab.pair((111, 170), (150, 150))
    expect(other.page.locator("#canvas .handle")).to_have_count(0)
    other.pair((100, 150), (140, 150))
    tab.page.click("#drag")
    other.page.click("#drag")
    tab.wait_steps(2)
    other.wait_steps(2)
    reached = tab.steps()
    tab.wait_steps(reached + 1)
    other.stop()
    tab.wait_steps(tab.steps() + 1)
    tab.stop()
    other.page.close()


def test_a_closed_tab_stops_its_drag(browser, address, tab):
    other = Tab(browser, address)
    other.pair((111, 170), (220, 100))
    other.page.click("#drag")
    other.wait_steps(1)
    other.page.close()
    tab.pair((111, 170), (117, 168))
    tab.page.click("#drag")
    expect(tab.status).to_contain_text("Arrived after", timeout=60_000)


def test_a_taken_port_is_said(address):
    port = urlparse(address).port
    command = [sys.executable, "-m", "draggan.web", "--device", "cpu", "--port", str(port)]
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as second:
        said = [second.stdout.readline(), second.stdout.readline()]
        assert f"Port {port} is taken." in said[0]
        found = re.search(r"http://127\.0\.0\.1:(\d+)", said[1])
        assert int(found[1]) > port
        assert urlopen(found[0], timeout=20).status == 200
        second.terminate()
