"""Several users in real browsers: who is let in behind a reverse proxy, and what is refused."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from playwright.sync_api import BrowserContext, expect

from draggan.web.limits import REQUEST_BYTES
from draggan.web.words import waiting
from tests.browser import WINDOW, Tab, serving
from tests.reverse_proxy import ReverseProxy

USER, PASSWORD = "ann", "tr:ue pass"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[str]:
    """A page with all limits, behind a reverse proxy under /edit."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "users").write_text(f"# who may come\n{USER}:{PASSWORD}\n\nbob:b\n")
    options = ["--auth", "@users", "--auth", "eve:e", "--max-users", "2", "--max-upload", "1mb", "--root-path", "/edit"]
    with serving(folder, 17930, options=options) as address, ReverseProxy(address, "/edit", 17939) as proxy:
        yield proxy.url


@pytest.fixture
def enter(browser, guarded) -> Iterator[Callable[[], BrowserContext]]:
    """Makes browsers, each of a user who has logged in: one browser keeps few connections to a server."""
    with ExitStack() as opened:

        def log_in() -> BrowserContext:
            context = browser.new_context(viewport=WINDOW)
            opened.callback(context.close)
            assert context.request.post(f"{guarded}login", form={"username": USER, "password": PASSWORD}).ok
            return context

        yield log_in


def test_nothing_is_shown_without_a_login(guarded):
    with httpx.Client(base_url=guarded, trust_env=False) as http:
        assert "canvas" not in http.get("").text
        for path in ("config", "gradio_api/info", "gradio_api/queue/data?session_hash=x", "gradio_api/queue/status"):
            assert http.get(path).status_code == 401, path
        for path in ("gradio_api/queue/join", "gradio_api/upload"):
            assert http.post(path, json={"data": [], "session_hash": "x"}).status_code == 401, path
        for wrong in ({"username": USER, "password": "true pass"}, {"username": "ANN", "password": PASSWORD}):
            assert http.post("login", data=wrong).status_code == 400
        for right in (("bob", "b"), ("eve", "e"), (USER, PASSWORD)):
            assert http.post("login", data=dict(zip(("username", "password"), right, strict=True))).status_code == 200
        config = http.get("config").text
        assert "canvas" in config
        assert PASSWORD not in config


def test_a_user_logs_in_by_hand_and_drags_behind_a_reverse_proxy(browser, guarded):
    context = browser.new_context(viewport=WINDOW)
    page = context.new_page()
    page.goto(guarded)
    for password in ("wrong", PASSWORD):
        page.get_by_label("username").fill(USER)
        page.get_by_label("password").fill(password)
        page.get_by_role("button", name="Login").click()
        if password == "wrong":
            expect(page.get_by_text("Incorrect")).to_be_visible(timeout=20_000)
    page.wait_for_selector("#canvas .stage img", timeout=60_000)
    page.close()
    tab = Tab(context, guarded)
    tab.pair((111, 170), (150, 150))
    tab.drag_to_its_end()
    tab.close()
    context.close()


def test_a_model_file_that_is_too_large_is_refused_on_the_page(enter, guarded, tmp_path):
    path = tmp_path / "large.pkl"
    path.write_bytes(bytes(1_100_000))
    tab = Tab(enter(), guarded)
    with tab.page.expect_file_chooser() as chooser:
        tab.page.click("#file")
    chooser.value.set_files(path)
    expect(tab.page.get_by_text("exceed the maximum allowed size of 1.0 Mb")).to_be_visible(timeout=20_000)
    expect(tab.page.locator("#drag")).to_be_enabled()
    tab.close()


def test_large_bodies_are_refused(guarded):
    def parts(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield bytes(1 << 20)

    with httpx.Client(base_url=guarded, trust_env=False, timeout=60) as http:
        http.post("login", data={"username": USER, "password": PASSWORD})
        large = bytes(REQUEST_BYTES + 1)
        assert http.post("gradio_api/queue/join", content=large).status_code == 413
        assert http.post("gradio_api/queue/join", content=parts(17)).status_code == 413
        assert http.post("gradio_api/upload", files={"files": large[:1_200_000]}).status_code == 413
        assert http.post("gradio_api/upload", files={"files": large[:900_000]}).status_code == 200


def test_a_tab_beyond_the_places_waits_and_gets_in(enter, guarded):
    first, second = Tab(enter(), guarded), Tab(enter(), guarded)
    third = enter().new_page()
    third.goto(guarded)
    status = third.locator("#canvas .status")
    expect(status).to_have_text(str(waiting(1, 2)), timeout=30_000)
    third.locator("#canvas .stage").click(force=True)
    third.click("#drag")
    expect(third.get_by_text("there is no picture in this tab")).to_be_visible(timeout=20_000)
    second.close()
    expect(status).to_contain_text("Click a point", timeout=20_000)
    first.close()


def test_five_tabs_of_one_browser_work_at_once(browser, address):
    context = browser.new_context(viewport=WINDOW)
    tabs = [Tab(context, address) for _ in range(5)]
    for seed, tab in enumerate(tabs, start=20):
        tab.draw(seed)
    for tab in tabs:
        tab.close()
    context.close()
