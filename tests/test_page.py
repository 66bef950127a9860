"""The page in a real browser, from the command that users type."""

import io
import os
import re
import subprocess
import sys
from urllib.parse import urlparse
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from draggan.render import to_picture
from tests.browser import Tab


def test_click_click_drag_stop_and_go_on(tab, hold):
    hold(3)
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


def test_continue_and_stop_as_fast_as_one_can(tab, hold):
    hold(4)
    tab.pair((111, 170), (190, 120))
    for _ in range(3):
        reached = tab.steps()
        tab.page.click("#drag")
        tab.wait_steps(reached + 1)
        tab.page.click("#stop")
    expect(tab.status).to_contain_text("Stopped at step", timeout=20_000)
    kept = (tab.frame(), tab.steps())
    tab.page.wait_for_timeout(1000)
    assert (tab.frame(), tab.steps()) == kept


def test_a_drag_arrives_and_says_so(tab):
    before = tab.page.locator("#drag").bounding_box()
    tab.pair((111, 170), (117, 168))
    tab.page.click("#drag")
    expect(tab.status).to_contain_text("Arrived after", timeout=60_000)
    expect(tab.page.locator("#stop")).to_be_disabled()
    expect(tab.page.locator("#canvas .strip button")).to_have_count(2)
    assert tab.page.locator("#drag").bounding_box() == before, "a second press meets the same button"
    handle, target = tab.page.locator("#canvas .handle"), tab.page.locator("#canvas .target")
    for axis in ("cx", "cy"):
        assert abs(float(handle.get_attribute(axis)) - float(target.get_attribute(axis))) <= 1
    assert any("/gradio_api/seen?line=" in url for url in tab.requests), "else a slow browser would be sent too much"


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


def test_an_empty_seed_is_told(tab):
    seed = tab.page.get_by_label("Seed").first
    seed.fill("")
    seed.blur()
    tab.page.click("#draw")
    expect(tab.page.get_by_text("Seed is empty: give it a value")).to_be_visible(timeout=20_000)


def test_a_painted_mask_holds_the_rest(tab):
    tab.pair((111, 170), (135, 160))
    tab.paint((90, 60), (160, 60))
    assert tab.painted() > 500
    tab.page.click("#drag")
    expect(tab.status).to_contain_text("What lies outside the mask may hold it", timeout=60_000)
    held = tab.page.locator("#canvas .handle").get_attribute("cx")
    tab.page.click("[data-tool=paint]")
    tab.page.click("#canvas .unmask")
    assert tab.painted() == 0
    tab.page.wait_for_timeout(500)
    tab.page.click("#reset")
    expect(tab.page.locator("#drag")).to_have_text("Drag it", timeout=20_000)
    tab.page.click("#drag")
    expect(tab.status).to_contain_text("Arrived after", timeout=60_000)
    free = tab.page.locator("#canvas .handle").get_attribute("cx")
    assert float(held) < float(free)


def test_the_eraser_takes_paint_away_and_a_new_picture_all_of_it(tab):
    tab.paint((90, 60), (160, 60))
    all_of_it = tab.painted()
    tab.paint((90, 60), (130, 60), tool="erase")
    assert 0 < tab.painted() < all_of_it
    tab.draw(5)
    assert tab.painted() == 0


def test_the_saved_picture_is_the_model_s_own_pixels(tab, plush):
    with tab.page.expect_download(timeout=30_000) as download:
        tab.page.click("#save")
    assert download.value.suggested_filename == "plush-256-seed6-step0.png"
    saved = np.asarray(Image.open(io.BytesIO(download.value.path().read_bytes())))
    assert np.array_equal(saved, to_picture(plush.render(plush.latent(6, 0.7))))


def test_two_tabs_do_not_disturb_each_other(browser, address, tab, hold):
    hold(3)
    other = Tab(browser, address)
    other.draw(4)
    tab.pair((111, 170), (150, 150))
    expect(other.page.locator("#canvas .handle")).to_have_count(0)
    other.pair((100, 150), (140, 150))
    tab.page.click("#drag")
    other.page.click("#drag")
    tab.wait_steps(2)
    other.wait_steps(2)
    hold(4)
    tab.wait_steps(3)
    other.stop()
    hold(6)
    tab.wait_steps(5)
    tab.stop()
    other.page.close()


def test_a_closed_tab_stops_its_drag(browser, address, tab, hold):
    hold(2)
    other = Tab(browser, address)
    for each in (other, tab):
        each.pair((111, 170), (220, 100))
        each.page.click("#drag")
    expect(tab.status).to_contain_text("1 other drag too", timeout=20_000)
    other.page.close()
    expect(tab.status).not_to_contain_text("other drag", timeout=20_000)
    tab.stop()


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
