"""What one does with an edit on the page: points beside the picture, live, zoom, going back, starting, keeping."""

import io
import re

import av
import numpy as np
import pytest
import safetensors.torch
from PIL import Image
from playwright.sync_api import expect

from draggan.film import SHOWN
from draggan.render import HOLD, to_picture
from tests.browser import WINDOW, Tab
from tests.test_page_canvas import shows, until


def rows(tab):
    return tab.page.locator("#canvas .pairs li:not(.hint)")


def way(tab):
    """The places of the graph's line."""
    path = tab.page.locator("#canvas .graph path")
    return path.last.get_attribute("d").count("L") + 1 if path.count() else 0


def download(tab, button):
    with tab.page.expect_download(timeout=60_000) as coming:
        tab.page.click(button)
    return coming.value.suggested_filename, coming.value.path().read_bytes()


def test_points_are_listed_with_their_distance(tab, hold):
    hold(4)
    expect(tab.page.locator("#canvas .pairs .hint")).to_be_visible()
    tab.pair((111, 170), (150, 150))
    tab.pair((60, 60), (60, 60))
    expect(rows(tab)).to_have_count(2)
    expect(rows(tab).nth(0)).to_contain_text("43.8 px")
    expect(rows(tab).nth(1)).to_contain_text("0.0 px")
    tab.page.click("#drag")
    until(tab, lambda: way(tab) > 3)
    assert float(rows(tab).nth(0).locator(".away").inner_text().split()[0]) < 43.8
    tab.stop()
    expect(tab.page.locator("#canvas .number")).to_have_text(["1", "2"])
    rows(tab).nth(1).hover()
    meant = tab.page.locator("#canvas .meant")
    assert [meant.get_attribute("cx"), meant.get_attribute("cy")] == tab.points()[3][1:]
    rows(tab).nth(0).click()
    expect(tab.page.locator("#canvas .selected")).to_have_count(1)
    tab.page.mouse.move(*tab.place(200, 200))
    expect(meant).to_have_count(0)
    tab.page.get_by_role("button", name="Remove point 1").click()
    expect(rows(tab)).to_have_count(1)
    expect(tab.page.locator("#canvas .number")).to_have_count(0)
    tab.page.keyboard.press("Control+z")
    expect(rows(tab)).to_have_count(2)


def test_the_first_visit_has_a_hint(browser, address):
    context = browser.new_context(viewport=WINDOW)
    tab = Tab(context, address)
    hint = tab.page.get_by_text("Press on any point")
    expect(hint).to_be_visible()
    tab.click(100, 100)
    expect(hint).to_be_hidden()
    tab.close()
    again = Tab(context, address)
    expect(again.status).to_contain_text("lick ")
    expect(again.page.get_by_text("Press on any point")).to_be_hidden()
    again.close()
    context.close()


def test_live_the_picture_follows_the_mouse_until_it_is_let_go(tab):
    before = tab.frame()
    tab.page.click("[data-tool=live]")
    tab.page.mouse.move(*tab.place(111, 170))
    tab.page.mouse.down()
    for i in range(1, 7):
        tab.page.mouse.move(*tab.place(111 + 5 * i, 170 - 3 * i))
        tab.page.wait_for_timeout(150)

    def at_the_mouse():
        target, handle = tab.points()
        near = (float(target[1]), float(target[2])) == pytest.approx((141, 152), abs=1)
        return near and float(handle[1]) > 112

    until(tab, lambda: tab.steps() > 3 and tab.frame() != before and at_the_mouse())
    tab.page.mouse.up()
    expect(tab.status).to_contain_text("Stopped at step", timeout=20_000)
    kept = tab.frame()
    tab.page.wait_for_timeout(600)
    assert tab.frame() == kept
    assert at_the_mouse()
    expect(tab.page.locator("#drag")).to_have_text("Continue")
    tab.page.click("#undo")
    until(tab, lambda: tab.frame() == before and not tab.points())
    expect(tab.page.locator("#undo")).to_be_disabled()


def test_zoomed_clicks_are_exact_and_panning_moves_the_picture(tab):
    tab.page.mouse.move(*tab.place(200, 60))
    tab.page.keyboard.down("Control")
    tab.page.mouse.wheel(0, -400)
    tab.page.keyboard.up("Control")
    sheet = tab.page.locator("#canvas .sheet")
    box = sheet.bounding_box()
    assert box["width"] == pytest.approx(4 * tab.page.locator("#canvas .stage").bounding_box()["width"], rel=0.01)

    def place(x, y):
        box = sheet.bounding_box()
        return box["x"] + (x + 0.5) / 256 * box["width"], box["y"] + (y + 0.5) / 256 * box["height"]

    tab.page.mouse.click(*place(203.2, 61.7))
    expect(tab.status).to_contain_text("Now click the place")
    ((_, x, y),) = tab.points()
    assert (float(x), float(y)) == pytest.approx((203.2, 61.7), abs=0.3)
    tab.page.mouse.wheel(60, 40)
    until(tab, lambda: sheet.bounding_box()["x"] == pytest.approx(box["x"] - 60, abs=1))
    assert sheet.bounding_box()["y"] == pytest.approx(box["y"] - 40, abs=1)
    tab.page.keyboard.press("0")
    until(tab, lambda: sheet.bounding_box() == tab.page.locator("#canvas .stage").bounding_box())


def test_what_the_keys_move_stays_in_sight(tab):
    tab.pair((60, 60), (90, 60))
    stage, keys = tab.page.locator("#canvas .stage"), tab.page.keyboard

    def seen(name):
        box, mark = stage.bounding_box(), tab.page.locator(f"#canvas {name}").last.bounding_box()
        return all(box[a] < mark[a] + mark[b] / 2 < box[a] + box[b] for a, b in (("x", "width"), ("y", "height")))

    tab.page.locator("#canvas .in").focus()
    keys.press("Tab")
    for key in (*4 * ["+"], *5 * ["Shift+ArrowRight"]):
        keys.press(key)
    assert seen(".cross")
    tab.page.get_by_role("button", name="Point 1: 30.0 px to go").focus()
    keys.press("Enter")
    assert seen(".selected")
    for _ in range(5):
        keys.press("Shift+ArrowDown")
    shows(tab, ("target", 90, 110), ("handle", 60, 60))
    assert seen(".selected")


@pytest.mark.parametrize("tool", ["points", "hold"])
def test_two_fingers_zoom_and_leave_no_mark(browser, address, tool):
    context = browser.new_context(has_touch=True, viewport={"width": 900, "height": 900})
    tab = Tab(context, address)
    x, y = tab.place(128, 128)
    session = context.new_cdp_session(tab.page)
    tab.page.click(f"[data-tool={tool}]")
    gesture = [
        ("touchStart", 1, 40),
        ("touchStart", 2, 40),
        ("touchMove", 2, 60),
        ("touchMove", 2, 80),
        ("touchEnd", 0, 0),
    ]
    for kind, number, spread in gesture:
        fingers = [{"x": x - spread, "y": y, "id": 1}, {"x": x + spread, "y": y, "id": 2}][:number]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    stage, sheet = (tab.page.locator(f"#canvas .{name}").bounding_box() for name in ("stage", "sheet"))
    assert sheet["width"] == pytest.approx(2 * stage["width"], rel=0.05)
    assert (tab.points(), tab.painted()) == ([], 0)
    tab.close()
    context.close()


def test_what_must_stay_is_painted_by_a_brush_of_its_own(tab):
    tab.paint((60, 60), (200, 60), tool="hold")
    assert 256 * 256 - 3000 < tab.painted() < 256 * 256 - 1000
    tab.page.keyboard.press("Control+z")
    until(tab, lambda: tab.painted() == 0)


def test_going_back_to_a_picture_and_branching_off(tab, hold):
    hold(2)
    drawn = tab.frame()
    tab.pair((111, 170), (150, 150))
    tab.page.click("#drag")
    tab.wait_steps(1)
    tab.stop()
    shots = tab.page.locator("#canvas .strip button")
    expect(shots).to_have_count(2)
    dragged, moved = tab.frame(), tab.points()
    shots.first.click()
    until(tab, lambda: tab.frame() == drawn and tab.points() == [])
    tab.pair((90, 60), (80, 50))
    tab.page.click("#drag")
    tab.wait_steps(1)
    tab.stop()
    expect(shots).to_have_count(3)
    shots.nth(1).click()
    until(tab, lambda: tab.frame() == dragged)
    assert sorted(tab.points()) == sorted(moved)
    tab.page.keyboard.press("Control+z")
    until(tab, lambda: len(tab.points()) == 2 and tab.frame() != dragged)


def test_a_new_picture_can_be_undone(tab):
    drawn = tab.frame()
    tab.pair((111, 170), (150, 150))
    pair = tab.points()
    tab.paint((60, 60), (200, 60))
    painted = tab.painted()
    tab.draw(5)
    assert tab.painted() == 0
    tab.page.click("#undo")
    until(tab, lambda: tab.frame() == drawn and tab.points() == pair and tab.painted() == painted)


def test_a_picture_is_shown_each_time_that_undo_goes_back_to_it(tab):
    drawn = tab.frame()
    for seed in (5, 4):
        tab.draw(seed)
        tab.page.click("#undo")
        until(tab, lambda: tab.frame() == drawn)


def test_a_mask_that_is_made_before_undo_is_answered_stays(tab):
    tab.paint((60, 60), (200, 60))
    tab.draw(5)
    tab.page.evaluate("document.getElementById('undo').click(); document.querySelector('#canvas .invert').click()")
    tab.page.wait_for_function("draggan.settled().then(() => true)")
    tab.page.wait_for_timeout(300)  # a mask of before would be there by now
    assert tab.painted() == 256 * 256


def test_the_seed_is_that_of_the_picture_after_undo_and_going_back(tab):
    seed = tab.page.get_by_label("Seed").first
    tab.draw(5)
    tab.page.click("#undo")
    expect(seed).to_have_value("6")
    tab.page.click("#redo")
    expect(seed).to_have_value("5")
    tab.page.locator("#canvas .strip button").first.click()
    expect(seed).to_have_value("6")


def test_what_is_refused_during_a_drag_does_not_stop_it(tab, hold):
    hold(2)
    expect(tab.page.locator("#gallery button")).to_have_count(4, timeout=20_000)
    tab.pair((111, 170), (190, 100))
    tab.page.evaluate(
        "() => { window.said = []; const line = document.querySelector('#canvas .status');"
        " new MutationObserver(() => window.said.push(line.textContent)).observe(line, { childList: true }); }"
    )
    tab.page.click("#drag")
    tab.wait_steps(1)
    tab.page.locator("#gallery button").nth(1).click()
    expect(tab.page.get_by_text("something is running")).to_be_visible(timeout=20_000)
    hold(5)
    tab.wait_steps(4)
    expect(tab.page.get_by_label("Model")).to_have_value(re.compile("plush"))
    expect(tab.page.get_by_label("Seed").first).to_have_value("6")
    for button, label in (("#drag", "Drag it"), ("#stop", "Stop"), ("#undo", "Undo"), ("#redo", "Redo")):
        expect(tab.page.locator(button)).to_have_text(label)
    assert not [said for said in tab.page.evaluate("window.said") if "Stopped" in said]
    tab.stop()
    expect(tab.page.locator("#canvas .strip button")).to_have_count(2)
    assert len(tab.points()) == 2
    tab.page.click("#random")
    expect(tab.page.locator("#canvas .strip button")).to_have_count(3, timeout=20_000)


def test_an_example_drags_itself(tab):
    pictures = tab.page.locator("#gallery button")
    expect(pictures).to_have_count(4, timeout=20_000)
    pictures.nth(1).click()
    expect(tab.page.get_by_label("Seed").first).to_have_value("12", timeout=20_000)
    tab.wait_steps(2)
    assert len(tab.points()) == 4
    expect(tab.status).to_contain_text("Arrived after", timeout=60_000)


def test_a_seed_is_chosen_from_a_grid(tab):
    pictures = tab.page.locator("#gallery button")
    expect(pictures).to_have_count(4, timeout=20_000)
    tab.page.click("#seeds")
    expect(pictures).to_have_count(12, timeout=20_000)
    before, seed = tab.frame(), pictures.nth(7).inner_text()
    pictures.nth(7).click()
    until(tab, lambda: tab.frame() != before)
    assert tab.page.get_by_label("Seed").first.input_value() == seed


def test_a_style_changes_the_colours_and_keeps_the_shape(tab):
    tab.page.get_by_text("Style", exact=True).click()
    before = tab.frame()
    tab.page.get_by_label("Seed").nth(1).fill("30")
    tab.page.click("#style")
    until(tab, lambda: tab.frame() != before)
    tab.page.click("#undo")
    until(tab, lambda: tab.frame() == before)


def test_settings_are_used_kept_by_the_browser_and_reset(browser, address):
    context = browser.new_context(viewport=WINDOW)
    tab = Tab(context, address)
    tab.page.get_by_text("Drag settings").click()
    tab.pair((111, 170), (150, 150))
    tab.page.get_by_label("bf16").check()
    steps = tab.page.get_by_label("number input for Max steps")
    steps.fill("3")
    steps.blur()
    expect(steps).to_have_value("3")
    tab.page.click("#drag")
    expect(tab.status).to_contain_text("Step 3, ", timeout=20_000)
    tab.page.wait_for_timeout(500)
    tab.close()
    again = Tab(context, address)
    again.page.get_by_text("Drag settings").click()
    expect(again.page.get_by_label("number input for Max steps")).to_have_value("3")
    expect(again.page.get_by_label("bf16")).to_be_checked()
    again.page.click("#restore")
    expect(again.page.get_by_label("number input for Max steps")).to_have_value("40")
    expect(again.page.get_by_label("bf16")).not_to_be_checked()
    again.close()
    context.close()


def test_settings_can_be_changed_when_those_that_are_kept_have_come(browser, address):
    page, asked = browser.new_page(viewport=WINDOW), []
    page.route("**/gradio_api/queue/join*", lambda request: asked.append(request))  # held up
    page.goto(address)
    page.get_by_text("Drag settings").click()
    most = page.get_by_label("number input for Max steps")
    expect(most).to_be_disabled()
    for request in asked:
        request.continue_()
    page.unroute_all()
    expect(most).to_be_enabled(timeout=20_000)
    page.close()


def test_a_setting_is_judged_when_it_is_used_and_not_while_it_is_typed(tab):
    tab.page.get_by_text("Drag settings").click()
    tab.page.get_by_label("draggan", exact=True).check()
    size, most = tab.page.get_by_label("Step size"), tab.page.get_by_label("number input for Max steps")
    size.fill("")
    size.press_sequentially("0.003", delay=150)
    most.fill("5000")
    tab.page.wait_for_timeout(700)
    assert tab.page.locator(".toast-body").all_inner_texts() == []
    most.blur()
    size.fill("2")
    size.blur()
    tab.pair((111, 170), (150, 150))
    tab.page.click("#drag")
    expect(tab.page.get_by_text("Step size is 2: give it a value from 1e-05 to 1.")).to_be_visible(timeout=20_000)
    seed = tab.page.get_by_label("Seed").first
    seed.fill("99999999999")
    seed.press("Enter")
    said = "Seed is 99999999999: give it a value from 0 to 4294967295."
    expect(tab.page.get_by_text(said)).to_be_visible(timeout=20_000)


def test_enter_in_a_seed_draws_it(tab):
    before, seed = tab.frame(), tab.page.get_by_label("Seed")
    seed.first.fill("42")
    seed.first.press("Enter")
    until(tab, lambda: tab.frame() != before)
    drawn = tab.frame()
    tab.page.get_by_text("Style", exact=True).click()
    seed.nth(1).fill("30")
    seed.nth(1).press("Enter")
    until(tab, lambda: tab.frame() != drawn)
    tab.page.click("#undo")
    until(tab, lambda: tab.frame() == drawn)


def test_a_drag_that_gets_nowhere_is_given_up_and_says_why(tab):
    tab.page.get_by_text("Drag settings").click()
    tab.page.get_by_label("draggan", exact=True).check()
    tab.page.get_by_label("Step size").fill("0.00001")
    tab.pair((111, 170), (150, 150))
    tab.page.click("#drag")
    expect(tab.status).to_contain_text("comes no nearer than", timeout=60_000)
    expect(tab.page.locator("#drag")).to_have_text("Continue")


def test_the_picture_is_copied_by_its_key_but_no_text_is_taken_from_the_user(profile, tab, plush):
    profile.grant_permissions(["clipboard-read", "clipboard-write"])
    copied = """async () => {
      const [item] = await navigator.clipboard.read();
      const raw = await (await item.getType('image/png')).arrayBuffer();
      return [...new Uint8Array(raw)];
    }"""
    told, copy = "The picture is copied.", "Control+c"
    tab.pair((111, 170), (150, 150))
    tab.page.keyboard.press(copy)
    expect(tab.status).to_have_text(told, timeout=20_000)
    drawn = to_picture(plush.render(plush.latent(6, 0.7)))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(bytes(tab.page.evaluate(copied))))), drawn)
    tab.click(60, 60)
    expect(tab.status).not_to_have_text(told)
    tab.page.keyboard.press(copy)
    expect(tab.status).to_have_text(told, timeout=20_000)
    tab.page.keyboard.press("Escape")
    tab.drag_to_its_end()
    tab.page.keyboard.press("Meta+c")
    expect(tab.status).to_have_text(told, timeout=20_000)
    dragged = np.asarray(Image.open(io.BytesIO(bytes(tab.page.evaluate(copied)))))
    _, raw = download(tab, "#save")
    assert np.array_equal(dragged, np.asarray(Image.open(io.BytesIO(raw))))
    assert not np.array_equal(dragged, drawn)
    tab.page.get_by_label("Seed").first.select_text()
    tab.page.keyboard.press(copy)
    assert tab.page.evaluate("navigator.clipboard.readText()") == "6"
    tab.page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
    tab.page.locator("#canvas .stage").evaluate("stage => stage.focus()")
    tab.page.keyboard.press(copy)
    assert tab.page.evaluate("navigator.clipboard.readText()").strip() == "draggan"


def test_a_picture_that_cannot_be_copied_is_told(tab):
    tab.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")  # without HTTPS
    tab.page.keyboard.press("Control+c")
    expect(tab.status).to_contain_text("does not let this page copy")


def test_what_one_takes_away(tab, hold, plush):
    hold(6)
    tab.page.click("#video")
    expect(tab.page.get_by_text("no way to show yet")).to_be_visible(timeout=20_000)
    tab.pair((111, 170), (150, 150))
    tab.page.click("#drag")
    tab.wait_steps(5)
    reached = tab.stop()
    stem = f"plush-256-seed6-step{reached}"
    name, raw = download(tab, "#latent")
    assert name == f"{stem}.safetensors"
    tensors = safetensors.torch.load(raw)
    assert np.array_equal(tensors["start"], plush.latent(6, 0.7))
    name, raw = download(tab, "#save")
    clean = np.asarray(Image.open(io.BytesIO(raw)))
    assert np.array_equal(clean, to_picture(plush.render(tensors["latent"])))
    assert "AI-generated" in Image.open(io.BytesIO(raw)).text["Comment"]
    assert download(tab, "#save")[1] == raw, "the same once more, as often as one wants"
    name, raw = download(tab, "#both")
    assert name == f"{stem}-before-after.png"
    both = np.asarray(Image.open(io.BytesIO(raw)))
    assert np.array_equal(both[:, -256:], clean)
    assert np.array_equal(both[:, :256], to_picture(plush.render(plush.latent(6, 0.7))))
    tab.page.get_by_label("With points").check()
    name, raw = download(tab, "#save")
    assert not np.array_equal(np.asarray(Image.open(io.BytesIO(raw))), clean)
    name, raw = download(tab, "#video")
    assert name == f"{stem}.mp4"
    with av.open(io.BytesIO(raw)) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) >= max(SHOWN, reached + 1) + HOLD
    name, raw = download(tab, "#gif")
    assert Image.open(io.BytesIO(raw)).size == (256, 256)
    expect(tab.status).to_contain_text(f"Stopped at step {reached}")
