"""What is not lost: sessions as files, a page that is loaded again, a server that is killed and started again."""

import pytest
from playwright.sync_api import expect

from tests.browser import WINDOW, Tab, serving
from tests.test_page_canvas import until


def kept(tab):
    return tab.page.evaluate("sessionStorage.getItem('draggan')")


def edited(tab):
    """An edit with a bit of everything. -> its points, its picture, the painted pixels, steps"""
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


def test_a_session_file_brings_all_of_it_back_bit_for_bit(browser, address, tab, tmp_path):
    points, frame, painted, _ = edited(tab)
    with tab.page.expect_download(timeout=30_000) as coming:
        tab.page.click("#session")
    assert coming.value.suggested_filename.endswith(".draggan")
    path = tmp_path / "edit.draggan"
    coming.value.save_as(path)
    other = Tab(browser, address)
    other.draw(4)
    other.page.locator("input[type=file][accept='.draggan']").set_input_files(path)
    until(other, lambda: other.frame() == frame and other.points() == points and other.painted() == painted)
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


def test_a_page_that_is_loaded_again_goes_on(browser, address):
    context = browser.new_context(viewport=WINDOW)
    tab = Tab(context, address)
    points, frame, painted, _ = edited(tab)
    tab.page.wait_for_function("sessionStorage.getItem('draggan') !== null", timeout=20_000)
    tab.page.wait_for_timeout(2500)
    tab.page.reload()
    until(tab, lambda: tab.points() == points and tab.frame() == frame and tab.painted() == painted)
    other = tab.page.context.new_page()
    other.goto(tab.page.url)
    expect(other.locator("#canvas .status")).to_contain_text("Click a point", timeout=20_000)
    context.close()


@pytest.mark.parametrize("garbage", ["nonsense", "AAAA"])
def test_what_cannot_be_restored_is_said(tab, garbage):
    tab.page.evaluate(f"sessionStorage.setItem('draggan', '{garbage}')")
    tab.page.reload()
    expect(tab.status).to_contain_text("Click a point", timeout=20_000)


def test_a_server_that_is_killed_and_started_again_loses_nothing(browser, tmp_path):
    with serving(tmp_path, 17960) as address:
        tab = Tab(browser, address)
        points, frame, painted, reached = edited(tab)
        tab.page.wait_for_timeout(3000)
        assert kept(tab)
        tab.page.evaluate("window.old = true")
    expect(tab.status).to_contain_text("The server does not answer", timeout=20_000)
    with serving(tmp_path, 17960):
        tab.page.wait_for_function("!window.old", timeout=30_000)
        until(tab, lambda: tab.points() == points and tab.frame() == frame and tab.painted() == painted)
        tab.page.keyboard.press("Escape")
        tab.page.click("#drag")
        tab.wait_steps(reached + 1)
        tab.stop()
        assert [e for e in tab.errors if "fetch" not in e.lower()] == []
        tab.page.close()
