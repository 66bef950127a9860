"""What is not lost: sessions as files, a page that is loaded again, a server that is killed and started again."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from playwright.sync_api import expect

from draggan.geometry import DragPair, Point
from draggan.inversion.photo import Photo
from draggan.inversion.picture import Crop, Picture
from draggan.project import DOCUMENT, Project, save
from draggan.session import new_session, photo_session
from draggan.stylegan2 import checkpoint
from draggan.stylegan2.delta import Delta
from tests.browser import WINDOW, Tab, serving
from tests.networks import random_tensors, tiny_config
from tests.test_page_canvas import until
from tests.test_page_models import send

NO_DETAILS = "IDBFactory.prototype.open = () => { throw new Error('full'); }"
NO_SESSION = "Storage.prototype.setItem = (key) => { if (key === 'draggan') throw new Error('full'); }"

FORBIDDEN = (
    "for (const kind of {}) Object.defineProperty(window, kind, {{ get() {{ throw new DOMException('denied'); }} }})"
)
# How often the session was kept since the page was loaded.
COUNTED = """window.keeps = 0;
const set = Storage.prototype.setItem;
Storage.prototype.setItem = function (key, value) { set.call(this, key, value); window.keeps += key === 'draggan'; }"""


def kept(tab):
    return tab.page.evaluate("sessionStorage.getItem('draggan')")


def until_kept(tab, condition):
    """Waits until it holds for the session, as a document, that the browser keeps."""

    def holds():
        if (raw := kept(tab)) is None:
            return False
        document = safetensors.torch.load(base64.b64decode(raw))[DOCUMENT]
        return condition(json.loads(bytes(document.numpy()))["session"])

    until(tab, holds)


def until_kept_again(tab):
    """Waits until the browser has kept the session once since the page was loaded: see `COUNTED`."""
    tab.page.wait_for_function("window.keeps > 0", timeout=20_000)


def until_shown(tab, points, frame, painted):
    """Waits until the page shows these points, this picture and as many painted pixels."""
    for _ in range(600):
        if (tab.points(), tab.frame(), tab.painted()) == (points, frame, painted):
            return
        tab.page.wait_for_timeout(50)
    assert (tab.points(), tab.painted(), tab.frame()) == (points, painted, frame), tab.page.inner_text("#canvas")


def until_settings_are_kept(tab):
    """Waits until what the browser keeps of them is there and has not changed for half a second."""
    tab.page.wait_for_function(
        """() => {
            const now = localStorage.getItem('draggan-settings');
            if (now !== window.last) [window.last, window.since] = [now, Date.now()];
            return now && Date.now() - window.since > 500;
        }""",
        timeout=20_000,
    )


def edited(tab, hold):
    """An edit with a bit of everything. -> its points, its picture, the painted pixels, steps"""
    hold(3)
    tab.page.get_by_text("Drag settings").click()
    tab.page.get_by_label("draggan", exact=True).check()
    tab.page.get_by_label("Step size").fill("0.003")
    tab.page.get_by_label("bf16").check()
    tab.pair((111, 170), (150, 150))
    tab.paint((40, 60), (220, 200))
    tab.page.click("#drag")
    tab.wait_steps(2)
    tab.stop()
    tab.click(60, 60)
    expect(tab.status).to_contain_text("Now click the place")
    return tab.points(), tab.frame(), tab.painted(), tab.steps()


def test_a_session_file_brings_all_of_it_back_bit_for_bit(browser, address, tab, hold, tmp_path):
    points, frame, painted, _ = edited(tab, hold)
    with tab.page.expect_download(timeout=30_000) as coming:
        tab.page.click("#session")
    assert coming.value.suggested_filename.endswith(".draggan")
    path = tmp_path / "edit.draggan"
    coming.value.save_as(path)
    other = Tab(browser, address)
    other.draw(4)
    other.page.locator("input[type=file][accept='.draggan']").set_input_files(path)
    until_shown(other, points, frame, painted)
    expect(other.page.get_by_label("Seed").first).to_have_value("6")
    other.page.get_by_text("Drag settings").click()
    expect(other.page.get_by_label("Step size")).to_have_value("0.003")
    expect(other.page.get_by_label("bf16")).to_be_checked()
    expect(other.page.locator("#canvas .strip button")).to_have_count(2)
    for _ in range(2):
        other.page.keyboard.press("Control+z")
    until(other, lambda: len(other.points()) == 2 and other.frame() != frame)
    for _ in range(2):
        other.page.keyboard.press("Control+Shift+z")
    until(other, lambda: other.frame() == frame and other.points() == points)
    other.close()
    bad = tmp_path / "bad.draggan"
    bad.write_bytes(b"nonsense")
    tab.page.locator("input[type=file][accept='.draggan']").set_input_files(bad)
    expect(tab.page.get_by_text("bad.draggan is not a session that can be read")).to_be_visible(timeout=20_000)
    assert tab.points() == points


def test_comparing_shows_how_a_session_that_is_opened_meanwhile_was_drawn(browser, address, tab, plush, tmp_path):
    session = new_session(plush, "plush-256", 3, 0.7).add(DragPair(Point(111, 170), Point(150, 150)))
    save(tmp_path / "edit.draggan", Project(replace(session, latent=plush.latent(4, 0.7)), ""))
    other = Tab(browser, address)
    edited, _ = opened(other, tmp_path / "edit.draggan")
    other.close()
    tab.page.locator("#canvas .compare").dispatch_event("click")  # it stays on
    before = tab.frame()
    tab.page.locator("input[type=file][accept='.draggan']").set_input_files(tmp_path / "edit.draggan")
    until(tab, lambda: tab.frame() not in (before, edited))


def test_a_page_that_is_loaded_again_goes_on(tab, hold):
    points, frame, painted, _ = edited(tab, hold)
    until_kept(tab, lambda session: session["pairs"] and session["pending"])
    tab.page.reload()
    until_shown(tab, points, frame, painted)
    other = tab.page.context.new_page()
    other.goto(tab.page.url)
    expect(other.locator("#canvas .status")).to_contain_text("Click a point", timeout=20_000)
    other.close()


def test_a_mask_is_kept_by_itself(tab):
    tab.pair((111, 170), (150, 150))
    until_kept(tab, lambda session: session["pairs"])
    tab.paint((40, 60), (220, 200))
    until_kept(tab, lambda session: session["mask"])
    tab.page.keyboard.press("Control+z")
    until_kept(tab, lambda session: session["mask"] is None)


@pytest.fixture(scope="module")
def detailed(plush, tmp_path_factory):
    """A session of a picture of one's own with details."""
    height, width = plush.image_size
    rng = torch.Generator().manual_seed(0)
    shapes = plush.config.tensor_shapes()
    names = [name for name in shapes if name.startswith("synthesis.b128.conv") and name.endswith(".weight")]
    delta = Delta({name: (0.05 * torch.randn(shapes[name], generator=rng)).half() for name in names})
    shown = np.zeros((height, width, 3), dtype=np.uint8)
    whole = Picture(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    photo = Photo(Crop(200, 150, 250, 3), shown, delta, whole)
    session = photo_session(plush, "plush-256", plush.latent(3, 0.7), photo)
    session = session.add(DragPair(Point(111, 170), Point(150, 150)))
    path = tmp_path_factory.mktemp("details") / "own.draggan"
    save(path, Project(session, ""))
    return path


def pasted(tab):
    """The whole picture with the edit in it."""
    with tab.page.expect_download(timeout=60_000) as coming:
        tab.page.click("#pasted")
    return coming.value.path().read_bytes()


def opened(tab, path):
    """-> the picture and the points of a session in a file"""
    before = tab.frame()
    tab.page.locator("input[type=file][accept='.draggan']").set_input_files(path)
    until(tab, lambda: tab.frame() != before and len(tab.points()) == 2)
    return tab.frame(), tab.points()


def test_the_details_of_a_picture_of_ones_own_come_back(browser, address, detailed):
    tab = Tab(browser, address)
    tab.page.add_init_script(COUNTED)
    frame, points = opened(tab, detailed)
    whole = pasted(tab)
    tab.page.wait_for_function("sessionStorage.getItem('draggan-details') !== null", timeout=20_000)
    for _ in range(2):  # what is read at a start is kept as well
        tab.page.reload()
        until(tab, lambda: (tab.frame(), tab.points()) == (frame, points))
        until_kept_again(tab)
    expect(tab.page.locator("#canvas .unkept")).to_be_hidden()
    assert pasted(tab) == whole
    tab.close()


def test_details_that_no_tab_has_used_for_a_week_are_put_away(browser, address, detailed):
    context = browser.new_context(viewport=WINDOW)
    tab = Tab(context, address)
    opened(tab, detailed)
    tab.page.wait_for_function("sessionStorage.getItem('draggan-details') !== null", timeout=20_000)
    there = """() => new Promise((done) => { indexedDB.open('draggan', 1).onsuccess = ({ target: { result } }) => {
        result.transaction('details').objectStore('details').getAllKeys().onsuccess = (e) => {
            result.close(); done(e.target.result.length); }; }; })"""
    used = "ms => localStorage.setItem('draggan-used-' + sessionStorage.getItem('draggan-details'), Date.now() - ms)"
    day = 24 * 3600 * 1000
    for age, left in ((6 * day, 1), (8 * day, 0)):
        tab.page.evaluate(used, age)
        other = Tab(context, address)
        until(other, lambda: other.page.evaluate(there) == left)  # noqa: B023
        other.close()
    context.close()


def test_details_that_cannot_be_kept_are_not_promised(browser, address, detailed):
    context = browser.new_context(viewport=WINDOW)
    context.add_init_script(NO_DETAILS)
    tab = Tab(context, address)
    frame, points = opened(tab, detailed)
    expect(tab.page.locator("#canvas .unkept")).to_contain_text("cannot keep the details", timeout=20_000)
    tab.page.reload()
    expect(tab.page.get_by_text("the browser has lost the details of your picture")).to_be_visible(timeout=20_000)
    until(tab, lambda: tab.points() == points)
    assert tab.frame() != frame
    tab.page.click("#pasted")
    expect(tab.page.get_by_text("this session does not have the whole picture")).to_be_visible(timeout=20_000)
    tab.page.route("**/app_id", lambda route: route.abort())
    expect(tab.status).to_contain_text(re.compile("does not answer.* your picture, points and mask"), timeout=20_000)
    context.close()


def test_what_cannot_be_kept_is_not_promised(browser, address, detailed):
    context = browser.new_context(viewport=WINDOW)
    context.add_init_script(NO_SESSION)
    tab = Tab(context, address)
    expect(tab.page.locator("#canvas .unkept")).to_contain_text("cannot keep this picture", timeout=20_000)
    tab.page.route("**/app_id", lambda route: route.abort())
    expect(tab.status).to_contain_text("your picture is not kept here", timeout=20_000)
    context.close()


@pytest.mark.parametrize("kinds", [["localStorage"], ["localStorage", "sessionStorage"]])
def test_a_browser_that_forbids_storage_can_edit(browser, address, kinds):
    context = browser.new_context(viewport=WINDOW)
    context.add_init_script(FORBIDDEN.format(kinds))
    tab = Tab(context, address)
    tab.pair((111, 170), (120, 168))
    tab.drag_to_its_end()
    note = tab.page.locator("#canvas .unkept")
    expect(note).to_have_text(re.compile("cannot keep this picture" if "sessionStorage" in kinds else "^$"))
    expect(tab.page.locator("#canvas .first")).to_be_hidden()
    context.close()


def test_a_drag_that_runs_is_kept(tab, hold):
    tab.pair((111, 170), (30, 30))
    until_kept(tab, lambda session: session["pairs"])
    before = kept(tab)
    hold(2)
    tab.page.click("#drag")
    for steps in (4, 6):
        tab.page.wait_for_function("old => sessionStorage.getItem('draggan') !== old", arg=before, timeout=20_000)
        before = kept(tab)
        hold(steps)
    assert tab.page.locator("#stop").is_enabled(), "it runs"
    reached = tab.steps()
    tab.page.reload()
    expect(tab.status).to_contain_text("Stopped at step", timeout=20_000)
    assert 0 < tab.steps() <= reached + 1


def test_the_settings_are_as_the_user_left_them_and_those_of_a_session_file_as_it_says(tab):
    tab.page.get_by_text("Drag settings").click()
    tab.pair((111, 170), (113, 168))
    tab.drag_to_its_end()
    tab.page.get_by_label("draggan", exact=True).check()
    most = tab.page.get_by_label("number input for Max steps")
    expect(most).to_have_value("300", timeout=20_000)  # what that engine sets out with
    most.fill("77")
    most.blur()
    until_kept(tab, lambda session: session["phase"] == "arrived")
    until_settings_are_kept(tab)
    for _ in range(2):
        tab.page.reload()
        expect(tab.page.locator("#canvas .handle")).to_have_count(1, timeout=20_000)
        tab.page.get_by_text("Drag settings").click()
        expect(most).to_have_value("77")
        expect(tab.page.get_by_label("draggan", exact=True)).to_be_checked()


def test_something_new_takes_the_place_of_what_could_not_be_opened(tab):
    tab.page.evaluate("sessionStorage.setItem('draggan', 'nonsense')")
    tab.page.reload()
    note = tab.page.locator("#canvas .unkept")
    expect(note).to_contain_text("could not be opened", timeout=20_000)
    tab.pair((111, 170), (150, 150))
    expect(note).to_be_hidden()
    points = tab.points()
    tab.page.wait_for_function("sessionStorage.getItem('draggan') !== 'nonsense'", timeout=20_000)
    until_kept(tab, lambda session: session["pairs"])
    tab.page.reload()
    until(tab, lambda: tab.points() == points)


@pytest.mark.parametrize("garbage", ["nonsense", "AAAA"])
def test_what_cannot_be_restored_is_said(tab, garbage):
    tab.page.evaluate(f"sessionStorage.setItem('draggan', '{garbage}')")
    tab.page.reload()
    expect(tab.status).to_contain_text("Click a point", timeout=20_000)


def test_nothing_is_taken_while_the_server_does_not_answer(browser, address):
    context = browser.new_context(viewport=WINDOW)
    tab = Tab(context, address)
    tab.pair((100, 100), (140, 90))
    until_kept(tab, lambda session: session["pairs"])
    points, coming = tab.points(), tab.page.locator("#canvas .new-handle")
    context.set_offline(True)
    tab.click(60, 60)
    expect(coming).to_have_count(1)  # nobody knows yet
    expect(tab.status).to_contain_text("Until it does nothing can change", timeout=20_000)
    expect(coming).to_have_count(0)
    tab.click(60, 160)
    tab.page.click("#clear")
    tab.paint((40, 60), (220, 200))
    assert (tab.points(), coming.count(), tab.painted()) == (points, 0, 0)
    with tab.page.expect_event("load", timeout=30_000):  # as Gradio does where its stream has ended
        context.set_offline(False)
    expect(tab.status).to_contain_text("px to go", timeout=20_000)
    tab.click(60, 60)
    expect(tab.status).to_contain_text("Now click the place", timeout=20_000)
    assert tab.points() == [*points, *tab.points()[2:]]
    context.close()


def with_a_file(browser, address, path):
    """A tab whose model is a file of the user's, which kept that also when it was loaded again."""
    tab = Tab(browser, address)
    tab.page.add_init_script(COUNTED)
    send(tab, path)
    expect(tab.page.get_by_label("Model")).to_have_value(path.name, timeout=30_000)
    expect(tab.status).to_contain_text("Click a point", timeout=30_000)
    tab.pair((111, 170), (150, 150))
    tab.page.get_by_text("Drag settings").click()
    tab.page.get_by_label("draggan", exact=True).check()
    size = tab.page.get_by_label("Step size")
    size.fill("0.003")
    frame, points = tab.frame(), tab.points()
    until_kept(tab, lambda session: session["pairs"])
    until_settings_are_kept(tab)
    tab.page.reload()
    until(tab, lambda: (tab.frame(), tab.points()) == (frame, points))
    until_kept_again(tab)
    tab.page.get_by_text("Drag settings").click()
    expect(size).to_have_value("0.003")
    return tab


def test_a_server_that_is_killed_and_started_again_loses_nothing(browser, tmp_path, hold):
    config, file = tiny_config(256), tmp_path / "mine.safetensors"
    checkpoint.write(file, config, random_tensors(config, 7))
    with serving(tmp_path, 17960) as address:
        mine = with_a_file(browser, address, file)
        tab = Tab(browser, address)
        points, frame, painted, reached = edited(tab, hold)
        until_kept(tab, lambda session: session["pairs"] and session["pending"])
        own, before = (mine.frame(), mine.points()), kept(mine)
        for each in (tab, mine):
            each.page.evaluate("window.old = true")
    expect(tab.status).to_contain_text("The server does not answer", timeout=20_000)
    with serving(tmp_path, 17960):
        for each in (tab, mine):
            each.page.wait_for_function("!window.old", timeout=30_000)
        note = mine.page.locator("#canvas .unkept")
        expect(note).to_contain_text("made with the model file mine.safetensors: open that file first", timeout=30_000)
        assert str(tmp_path) not in note.inner_text()
        until_shown(tab, points, frame, painted)
        tab.page.keyboard.press("Escape")
        tab.page.click("#drag")
        tab.wait_steps(reached + 1)
        tab.stop()
        assert [e for e in tab.errors if "fetch" not in e.lower()] == []
        tab.page.close()
        mine.page.wait_for_timeout(2000)  # longer than the browser waits before it keeps a session
        assert kept(mine) == before, "it waits for its model file"
        send(mine, file)
        until(mine, lambda: (mine.frame(), mine.points()) == own)
        expect(note).to_be_hidden()
        mine.page.wait_for_function("old => sessionStorage.getItem('draggan') !== old", arg=before, timeout=20_000)
        mine.page.close()
