"""A page in a real browser, served by the command that users type, and what a user does on it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, TimeoutError, expect

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


ENDED = re.compile("Arrived after|comes no nearer|are used up")
WINDOW = {"width": 1280, "height": 900}
NOBODY = "http://127.0.0.1:9"  # a proxy that does not answer
GATE = Path(tempfile.gettempdir()) / f"draggan-gate-{os.getpid()}"  # where drags are held: see held.py


@contextmanager
def serving(
    folder: Path, port: int, proxy: str = NOBODY, options: Sequence[str] = (), **variables: str
) -> Iterator[str]:
    """`python -m draggan.web`, run in a folder of its own; all that leaves this machine goes to `proxy`. -> address

    What runs on it can be held by the file GATE.
    """
    env = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    env |= {"http_proxy": proxy, "https_proxy": proxy, "PYTHONUNBUFFERED": "1", **variables}
    held = str(Path(__file__).with_name("held.py"))
    command = [sys.executable, held, str(GATE), "--device", "cpu", "--port", str(port), *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=folder, env=env, **pipes) as server:
        try:
            said = []
            for line in server.stdout:
                said.append(line)
                if found := re.search(r"http://\S+", line):
                    break
            else:
                pytest.fail("".join(said))
            yield found[0]
        finally:
            server.terminate()
            server.wait(20)


def chromium() -> dict[str, Any]:
    """How it is launched: Debian's or the user's own, else the one that `playwright install chromium` brings."""
    return {"executable_path": next(filter(None, map(shutil.which, BROWSERS)), None), "args": QUIET}


class Tab:
    """A page and what a user does on it."""

    def __init__(self, browser: Browser | BrowserContext, address: str) -> None:
        size = {"viewport": WINDOW} if isinstance(browser, Browser) else {}
        self.page: Page = browser.new_page(**size)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.goto(address)
        there = "document.querySelector('#canvas .stage img')?.naturalWidth > 1"
        try:
            self.page.wait_for_function(there, timeout=60_000)
        except TimeoutError as error:
            shown = self.page.locator("body").inner_text()
            raise AssertionError(f"no picture: {self.errors}, last {self.requests[-9:]}, shown {shown}") from error
        self.status = self.page.locator("#canvas .status")

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of the picture -> pixels of the window."""
        stage = self.page.locator("#canvas .stage")
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
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

    def points(self) -> list[tuple[str, str, str]]:
        """The kind and the place of every handle and target that is shown."""
        read = "nodes => nodes.map(n => [n.getAttribute('class'), n.getAttribute('cx'), n.getAttribute('cy')])"
        return self.page.locator("#canvas .handle, #canvas .target").evaluate_all(read)

    def stroke(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A press of the mouse, a move, a release."""
        self.page.mouse.move(*self.place(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(*end), steps=4)
        self.page.mouse.up()

    def paint(self, start: tuple[float, float], end: tuple[float, float], tool: str = "paint") -> None:
        """A stroke of the brush, or of the eraser; afterwards the tool is the one for points."""
        self.page.click(f"[data-tool={tool}]")
        self.stroke(start, end)
        self.page.click("[data-tool=points]")
        self.page.wait_for_timeout(500)

    def painted(self) -> int:
        """Pixels of the picture under the mask's paint."""
        return self.page.evaluate(
            "() => { const c = document.querySelector('#canvas .mask');"
            " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            " let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 127; return n; }"
        )

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

    def drag_to_its_end(self) -> None:
        self.page.click("#drag")
        expect(self.status).to_have_text(ENDED, timeout=60_000)

    def wait_steps(self, more_than: int) -> None:
        deadline = time.monotonic() + 60
        while self.steps() <= more_than:
            assert time.monotonic() < deadline, self.status.inner_text()
            self.page.wait_for_timeout(50)

    def close(self) -> None:
        """Closes the tab. Fails where the page had an error or asked for anything of another machine."""
        assert self.errors == []
        outside = {urlparse(url).hostname for url in self.requests if url.startswith("http")} - {"127.0.0.1"}
        assert outside == set()
        self.page.close()
