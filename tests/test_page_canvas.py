"""The canvas in a real browser: points by mouse and keyboard, undo, comparing, the mask, narrow and dark screens."""

import re
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from draggan.render import read_mask
from tests.browser import WINDOW, Tab


def until(tab: Tab, condition: Callable[[], bool]) -> None:
    """Waits until it holds. Fails after 20 seconds."""
    for _ in range(400):
        if condition():
            return
        tab.page.wait_for_timeout(50)
    assert condition()


def shows(tab: Tab, *points: tuple[str, float, float]) -> None:
    """Waits until exactly these handles and targets are on the canvas, within a pixel."""

    def there() -> bool:
        now = [(kind, float(x), float(y)) for kind, x, y in tab.points()]
        near = [k == kind and abs(a - x) < 1 and abs(b - y) < 1 for (k, a, b), (kind, x, y) in zip(now, points)]  # noqa: B905
        return len(now) == len(points) and all(near)

    until(tab, there)


def test_a_pair_by_one_gesture(tab):
    tab.stroke((100, 100), (140, 90))
    shows(tab, ("target", 140, 90), ("handle", 100, 100))
    expect(tab.status).to_contain_text("1 point, 41 px to go")


def test_points_are_picked_up_and_moved(tab, hold):
    hold(2)
    tab.pair((100, 100), (140, 90))
    tab.stroke((100, 100), (80, 120))
    shows(tab, ("target", 140, 90), ("handle", 80, 120))
    tab.stroke((140, 90), (150, 60))
    shows(tab, ("target", 150, 60), ("handle", 80, 120))
    expect(tab.status).to_contain_text("1 point, 92 px to go")
    tab.page.click("#drag")
    tab.wait_steps(1)
    tab.stop()
    (_, _, _), (_, x, y) = tab.points()
    tab.stroke((150, 60), (150, 90))
    shows(tab, ("target", 150, 90), ("handle", float(x), float(y)))


def test_points_are_removed_by_key_and_by_right_click(tab):
    tab.pair((60, 60), (90, 60))
    tab.pair((160, 160), (190, 160))
    tab.click(60, 60)
    expect(tab.page.locator("#canvas .selected")).to_have_count(1)
    tab.page.keyboard.press("Delete")
    shows(tab, ("target", 190, 160), ("handle", 160, 160))
    tab.page.mouse.click(*tab.place(190, 160), button="right")
    shows(tab)
    tab.click(100, 100)
    shows(tab, ("handle", 100, 100))
    tab.page.mouse.click(*tab.place(100, 100), button="right")
    shows(tab)


def test_clicks_leave_their_marks_before_the_server_answers(tab):
    new = tab.page.locator("#canvas .new-handle, #canvas .new-target")
    tab.page.route("**/gradio_api/queue/join*", lambda request: None)  # held up
    tab.click(60, 60)
    expect(new).to_have_count(1)
    tab.page.mouse.move(*tab.place(80, 60))
    expect(new).to_have_count(2)  # where the target would be
    tab.click(90, 60)
    tab.click(160, 160)
    tab.page.mouse.move(*tab.place(300, 60))
    expect(new).to_have_count(3)
    tab.page.unroute("**/gradio_api/queue/join*")  # which lets all go
    shows(tab, ("target", 90, 60), ("handle", 60, 60), ("handle", 160, 160))
    expect(new).to_have_count(0)


def test_a_double_click_fixes_a_point(tab):
    tab.page.mouse.dblclick(*tab.place(100, 100))
    shows(tab, ("target", 100, 100), ("handle", 100, 100))


def test_arrow_keys_move_the_selected_point(tab):
    tab.pair((60, 60), (90, 60))
    tab.click(90, 60)
    tab.page.keyboard.press("ArrowDown")
    shows(tab, ("target", 90, 61), ("handle", 60, 60))
    tab.page.keyboard.press("Shift+ArrowRight")
    shows(tab, ("target", 100, 61), ("handle", 60, 60))


def test_arrow_keys_lose_no_press_and_what_waits_becomes_one_edit(tab):
    tab.pair((60, 60), (90, 60))
    tab.click(90, 60)
    tab.page.evaluate(
        """() => {
          const pressed = { key: 'ArrowRight', bubbles: true };
          for (let i = 0; i < 20; i += 1) document.activeElement.dispatchEvent(new KeyboardEvent('keydown', pressed));
        }"""
    )
    shows(tab, ("target", 110, 60), ("handle", 60, 60))
    tab.page.click("#undo")
    shows(tab, ("target", 91, 60), ("handle", 60, 60))
    tab.page.click("#undo")
    shows(tab, ("target", 90, 60), ("handle", 60, 60))


def test_points_are_set_by_keys_alone(tab):
    keys, cross = tab.page.keyboard, tab.page.locator("#canvas .cross").last
    tab.page.locator("#canvas .in").focus()
    expect(cross).to_be_hidden()
    keys.press("Tab")
    expect(cross).to_be_visible()
    for key in ("Shift+ArrowLeft", "ArrowUp", "Enter", "Shift+ArrowDown"):
        keys.press(key)
    shows(tab, ("handle", 118, 127))
    keys.press("Enter")
    shows(tab, ("target", 118, 137), ("handle", 118, 127))
    keys.press("Enter")  # on the target: selects it
    expect(tab.page.locator("#canvas .selected")).to_have_count(1)
    keys.press("ArrowRight")
    shows(tab, ("target", 119, 137), ("handle", 118, 127))
    keys.press("Enter")  # lets it go
    expect(tab.page.locator("#canvas .selected")).to_have_count(0)
    for key in ("Shift+ArrowRight", "Enter", "Enter"):
        keys.press(key)
    shows(tab, ("target", 119, 137), ("handle", 118, 127), ("target", 129, 137), ("handle", 129, 137))
    tab.click(40, 40)
    expect(cross).to_be_hidden()


def test_points_are_selected_and_removed_in_their_list_by_keys(tab):
    tab.pair((60, 60), (90, 60))
    tab.pair((160, 160), (190, 160))
    keys = tab.page.keyboard
    tab.page.get_by_role("button", name="Point 2: 30.0 px to go").focus()
    keys.press("Enter")
    keys.press("ArrowDown")
    shows(tab, ("target", 90, 60), ("handle", 60, 60), ("target", 190, 161), ("handle", 160, 160))
    tab.page.get_by_role("button", name="Remove point 1").focus()
    keys.press("Enter")
    shows(tab, ("target", 190, 161), ("handle", 160, 160))
    expect(tab.page.get_by_role("button", name="Remove point 1")).to_be_focused()


def test_a_double_click_removes_one_point(tab):
    for y in (60, 100, 140):
        tab.pair((60, y), (90, y))
    tab.page.get_by_role("button", name="Remove point 1").dblclick(delay=150)
    tab.page.wait_for_timeout(500)
    expect(tab.page.locator("#canvas .handle")).to_have_count(2)


def drop(tab: Tab, where: str, name: str, content: bytes = b"") -> bool:
    """Drops a file on a part of the page. -> whether the browser would leave the page for it"""
    return tab.page.evaluate(
        """([where, name, content]) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([new Uint8Array(content)], name));
          const events = ['dragover', 'drop'].map((kind) => new DragEvent(
            kind, { dataTransfer, bubbles: true, cancelable: true }));
          return events.map((event) => document.querySelector(where).dispatchEvent(event)).some(Boolean);
        }""",
        [where, name, list(content)],
    )


def test_a_dropped_file_does_not_take_the_page_away(tab):
    tab.pair((100, 100), (140, 90))
    with tab.page.expect_download(timeout=60_000) as coming:
        tab.page.click("#session")
    tab.page.click("#clear")
    shows(tab)
    for where in ("#canvas .stage", "#actions", "body"):
        assert not drop(tab, where, "notes.txt")
    expect(tab.status).to_have_text("notes.txt is no picture, no session and no model.")
    assert not drop(tab, "#model", "edit.draggan", coming.value.path().read_bytes())
    shows(tab, ("target", 140, 90), ("handle", 100, 100))
    assert "notes.txt" not in tab.status.inner_text()


def test_a_file_over_the_page_can_be_dropped_and_a_text_cannot(tab):
    held = """text => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(...(text ? [text, 'text/plain'] : [new File([], 'picture.png')]));
      document.body.dispatchEvent(new DragEvent('dragover', { dataTransfer, bubbles: true, cancelable: true }));
    }"""
    landing = tab.page.get_by_text("Drop a picture, a session or a model here")
    tab.page.evaluate(held, "words")
    expect(landing).to_be_hidden()
    tab.page.evaluate(held, "")
    expect(landing).to_be_visible()
    expect(landing).to_be_hidden()
    tab.page.evaluate(held, "")
    assert not drop(tab, "body", "notes.txt")
    assert landing.is_hidden()


def test_undo_and_redo_of_points_mask_and_drag(tab, hold):
    hold(2)
    expect(tab.page.locator("#undo")).to_be_disabled()
    drawn = tab.frame()
    tab.pair((111, 170), (150, 150))
    pair = tab.points()
    tab.paint((60, 60), (200, 60))
    painted = tab.painted()
    tab.page.click("#drag")
    tab.wait_steps(1)
    tab.stop()
    dragged, moved = tab.frame(), tab.points()
    tab.page.keyboard.press("Control+z")
    until(tab, lambda: tab.frame() == drawn and tab.points() == pair)
    assert tab.painted() == painted
    tab.page.click("#undo")
    until(tab, lambda: tab.painted() == 0)
    assert tab.points() == pair
    tab.page.keyboard.press("Control+z")
    shows(tab, ("handle", 111, 170))
    tab.page.click("#undo")
    shows(tab)
    expect(tab.page.locator("#undo")).to_be_disabled()
    for _ in range(3):
        tab.page.keyboard.press("Control+Shift+z")
    until(tab, lambda: tab.painted() == painted and tab.points() == pair)
    tab.page.click("#redo")
    until(tab, lambda: tab.frame() == dragged and tab.points() == moved)
    expect(tab.page.locator("#redo")).to_be_disabled()
    expect(tab.page.locator("#drag")).to_have_text("Continue")
    reached = tab.steps()
    tab.page.click("#drag")
    tab.wait_steps(reached)
    tab.stop()
    for _ in range(5):
        tab.page.keyboard.press("Control+z")
    until(tab, lambda: tab.frame() == drawn and tab.painted() == 0 and tab.points() == [])


def test_reset_can_be_undone(tab, hold):
    hold(3)
    tab.pair((111, 170), (150, 150))
    tab.page.click("#drag")
    tab.wait_steps(2)
    tab.stop()
    dragged, moved = tab.frame(), tab.points()
    tab.page.click("#reset")
    until(tab, lambda: tab.frame() != dragged)
    tab.page.keyboard.press("Control+z")
    until(tab, lambda: tab.frame() == dragged and tab.points() == moved)


def test_holding_shows_the_picture_as_drawn(tab, hold):
    hold(3)
    drawn = tab.frame()
    tab.pair((111, 170), (150, 150))
    tab.page.click("#drag")
    tab.wait_steps(2)
    tab.stop()
    dragged = tab.frame()
    tab.page.get_by_role("button", name="Compare").hover()
    tab.page.mouse.down()
    assert tab.frame() == drawn
    expect(tab.page.locator("#canvas .handle")).to_be_hidden()
    tab.page.mouse.up()
    assert tab.frame() == dragged
    tab.page.keyboard.down("c")
    assert tab.frame() == drawn
    tab.page.keyboard.up("c")
    assert tab.frame() == dragged
    for pressed, released in (("c", "C"), ("C", "C"), ("C", "c")):  # Shift pressed or let go meanwhile; Caps Lock
        tab.page.keyboard.down(pressed)
        assert tab.frame() == drawn
        tab.page.keyboard.up(released)
        assert tab.frame() == dragged
    expect(tab.page.locator("#canvas .handle")).to_be_visible()
    for key in ("Space", "Enter"):
        tab.page.locator("#canvas .compare").focus()
        tab.page.keyboard.down(key)
        assert tab.frame() == drawn
        tab.page.keyboard.up(key)
        assert tab.frame() == dragged
    for frame in (drawn, dragged):  # by what can press and not hold
        tab.page.locator("#canvas .compare").dispatch_event("click")
        assert tab.frame() == frame


def test_space_drags_and_stops_and_escape_drops_a_waiting_handle(tab, hold):
    hold(2)
    tab.click(50, 50)
    shows(tab, ("handle", 50, 50))
    tab.page.keyboard.press("Escape")
    shows(tab)
    tab.pair((111, 170), (190, 120))
    tab.page.keyboard.press("Space")
    tab.wait_steps(1)
    tab.page.keyboard.press("Space")
    expect(tab.status).to_contain_text("Stopped at step", timeout=20_000)
    expect(tab.page.locator("#drag")).to_be_enabled()
    reached = tab.steps()
    tab.page.click("#drag")
    tab.wait_steps(reached)
    tab.page.wait_for_function("document.activeElement === document.body")  # and not the button, which is disabled
    tab.page.keyboard.press("Space")
    expect(tab.status).to_contain_text("Stopped at step", timeout=20_000)
    tab.page.get_by_label("Seed").click()
    tab.page.keyboard.press("Delete")
    assert len(tab.points()) == 2


def test_a_button_that_a_key_pressed_leaves_the_focus_to_another_where_it_is_disabled(tab, hold):
    hold(2)
    tab.pair((111, 170), (190, 120))
    for pressed, other in (("undo", "redo"), ("redo", "undo")):
        tab.page.locator(f"#{pressed}").focus()
        for _ in range(2):
            expect(tab.page.locator(f"#{pressed}")).to_be_focused()
            tab.page.keyboard.press("Space")
            tab.page.wait_for_timeout(500)
        expect(tab.page.locator(f"#{other}")).to_be_focused()
    tab.page.locator("#drag").focus()
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#stop")).to_be_focused()
    tab.wait_steps(1)
    tab.page.keyboard.press("Space")
    expect(tab.page.locator("#drag")).to_be_focused(timeout=20_000)
    tab.page.click("#undo")  # by hand: the next key is for the page
    tab.page.click("#undo")
    tab.page.click("#undo")
    expect(tab.page.locator("#undo")).to_be_disabled()
    expect(tab.page.locator("#redo")).not_to_be_focused()


def test_a_screen_reader_hears_what_is_done_and_not_every_step_of_a_drag(tab, hold):
    hold(9)
    tab.pair((111, 170), (190, 120))
    aloud, keys = tab.page.locator("#canvas").get_by_role("status"), tab.page.keyboard
    expect(aloud).to_have_text(tab.status.inner_text())
    tab.page.evaluate(
        """() => {
          window.heard = [];
          const node = document.querySelector('#canvas .aloud');
          new MutationObserver(() => window.heard.push(node.textContent)).observe(node, { childList: true });
        }"""
    )
    began = time.monotonic()
    tab.page.click("#drag")
    tab.wait_steps(8)
    most = 1 + (time.monotonic() - began) / 5
    assert 0 < tab.page.evaluate("heard.length") <= most
    tab.stop()
    expect(aloud).to_have_text(tab.status.inner_text())
    tab.page.locator("#canvas .in").focus()
    keys.press("Tab")
    keys.press("Shift+ArrowLeft")
    expect(aloud).to_have_text("118, 128")
    keys.press("Tab")
    keys.press("Enter")
    expect(aloud).to_have_text("Point 1 selected")


def test_escape_lets_go_what_the_pointer_holds(tab):
    tab.pair((60, 60), (90, 60))
    for tool in ("points", "paint"):
        tab.page.click(f"[data-tool={tool}]")
        tab.page.mouse.move(*tab.place(90, 60))
        tab.page.mouse.down()
        tab.page.mouse.move(*tab.place(120, 90), steps=3)
        tab.page.keyboard.press("Escape")
        tab.page.mouse.move(*tab.place(140, 90), steps=3)
        tab.page.mouse.up()
    tab.page.wait_for_timeout(500)
    assert tab.painted() == 0
    shows(tab, ("target", 90, 60), ("handle", 60, 60))


def test_brackets_change_the_brush(tab):
    tab.page.click("[data-tool=paint]")
    size = tab.page.get_by_label("Brush size")
    expect(size).to_have_value("12")
    for key in ("]", "]", "["):
        tab.page.keyboard.press(key)
    expect(size).to_have_value("14")


def test_tab_goes_through_tools_and_picture_by_name(tab):
    tab.page.get_by_role("button", name="Points", exact=True).focus()
    named = []
    for _ in range(9):
        tab.page.keyboard.press("Tab")
        named.append(tab.page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent"))
    assert named[:-1] == ["Live", "May move", "Must stay", "Eraser", "Compare", "Zoom out", "Fit", "Zoom in"]
    assert named[-1].startswith("The picture.")
    assert tab.page.locator("#canvas .fit").inner_text() == "Fit"


def test_a_click_with_the_brush_leaves_a_dot(tab):
    tab.page.click("[data-tool=paint]")
    tab.click(60, 60)
    assert 80 < tab.painted() < 150  # pixels of a disc of 12 pixels
    expect(tab.page.locator("#undo")).to_be_enabled()
    tab.page.keyboard.press("Control+z")
    until(tab, lambda: tab.painted() == 0)


def test_fingers_set_points(browser, address):
    context = browser.new_context(has_touch=True, viewport={"width": 390, "height": 844})
    tab = Tab(context, address)
    hint, stage = (tab.page.locator(f"#canvas {each}").bounding_box() for each in (".first", ".stage"))
    assert stage["x"] <= hint["x"] < hint["x"] + hint["width"] <= stage["x"] + stage["width"]
    for place in ((111, 170), (150, 150)):
        tab.page.touchscreen.tap(*tab.place(*place))
        tab.page.wait_for_timeout(500)
    shows(tab, ("target", 150, 150), ("handle", 111, 170))
    tab.close()
    context.close()


def test_a_pen_sets_points_and_paints(browser, address):
    context = browser.new_context(viewport=WINDOW)
    tab = Tab(context, address)
    pen = context.new_cdp_session(tab.page)
    tab.page.evaluate(
        "() => { window.kinds = new Set();"
        " const stage = document.querySelector('#canvas .stage');"
        " stage.addEventListener('pointerdown', (event) => window.kinds.add(event.pointerType)); }"
    )

    def stroke(*places):
        for i, place in enumerate(places):
            x, y = tab.place(*place)
            how = {"x": x, "y": y, "button": "left", "pointerType": "pen", "force": 0.5, "clickCount": 1}
            pressed = [{"type": "mousePressed", "buttons": 1}] if i == 0 else []
            for event in (*pressed, {"type": "mouseMoved", "buttons": 1}):
                pen.send("Input.dispatchMouseEvent", how | event)
        pen.send("Input.dispatchMouseEvent", how | {"type": "mouseReleased", "buttons": 0})

    stroke((100, 100), (120, 95), (140, 90))
    shows(tab, ("target", 140, 90), ("handle", 100, 100))
    tab.page.click("[data-tool=paint]")
    stroke((60, 180), (130, 180), (200, 180))
    until(tab, lambda: tab.painted() > 140 * 8)
    assert tab.page.evaluate("[...window.kinds]") == ["pen"]
    tab.close()
    context.close()


@pytest.mark.parametrize("begun", ["before", "during"])
def test_paint_that_a_drag_does_not_take_does_not_stay(tab, hold, begun):
    hold(2)
    tab.pair((111, 170), (190, 120))
    tab.paint((40, 220), (80, 220))
    painted = tab.painted()
    tab.page.click("[data-tool=paint]")
    goal = tab.place(80, 40)
    tab.page.mouse.move(*tab.place(40, 40))
    if begun == "before":
        tab.page.evaluate("document.querySelector('#drag').click()")
    tab.page.mouse.down()
    tab.page.mouse.move(*goal, steps=3)
    if begun == "during":
        assert tab.painted() > painted
        tab.page.keyboard.press("Space")
    tab.wait_steps(1)
    tab.page.mouse.up()
    assert tab.painted() == painted
    tab.stop()
    assert tab.painted() == painted


def test_where_nothing_is_white_all_may_move_on_the_page_and_in_its_file(tab, tmp_path):
    said = "Nothing is white: all may move."
    tab.page.click("[data-tool=paint]")
    with tab.page.expect_download() as download:
        tab.page.get_by_role("button", name="Save mask").click()
    download.value.save_as(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", (256, 256)).all()
    tab.stroke((60, 60), (100, 60))
    tab.page.click("[data-tool=hold]")
    size = tab.page.get_by_label("Brush size")
    size.fill("40")
    assert said not in tab.status.inner_text()
    tab.stroke((50, 60), (110, 60))
    expect(tab.status).to_have_text(said)
    assert tab.painted() == 0
    tab.paint((60, 60), (100, 60))
    expect(tab.status).not_to_have_text(said)
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "black.png")
    tab.page.get_by_label("Mask file").set_input_files(tmp_path / "black.png")
    expect(tab.status).to_have_text(said)
    tab.page.click("[data-tool=paint]")
    tab.page.get_by_role("button", name="Clear mask").click()
    expect(tab.status).not_to_have_text(said)


def test_a_mask_is_inverted_saved_and_loaded(tab, tmp_path):
    tab.paint((60, 60), (200, 60))
    painted = tab.painted()
    tab.page.click("[data-tool=paint]")
    with tab.page.expect_download() as download:
        tab.page.get_by_role("button", name="Save mask").click()
    download.value.save_as(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png", (256, 256))
    assert mask.sum() == painted
    assert mask[60, 130]
    assert not mask[100, 130]
    tab.page.get_by_role("button", name="Invert").click()
    assert abs(tab.painted() - (256 * 256 - painted)) < 300  # the soft edge counts for both
    tab.page.get_by_role("button", name="Clear mask").click()
    assert tab.painted() == 0
    tab.page.get_by_label("Mask file").set_input_files(tmp_path / "mask.png")
    until(tab, lambda: tab.painted() == painted)
    expect(tab.page.locator("#undo")).to_be_enabled()
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "black.png")
    tab.page.get_by_label("Mask file").set_input_files(tmp_path / "black.png")
    until(tab, lambda: tab.painted() == 0)
    (tmp_path / "text.png").write_text("no picture")
    tab.page.get_by_label("Mask file").set_input_files(tmp_path / "text.png")
    told = "text.png is not a picture that can be read."
    expect(tab.status).to_have_text(told)
    tab.page.get_by_role("button", name="Clear mask").click()
    expect(tab.status).not_to_have_text(told)
    tab.page.get_by_label("Mask file").set_input_files(tmp_path / "text.png")
    expect(tab.status).to_have_text(told)
    tab.page.get_by_label("Mask file").set_input_files(tmp_path / "black.png")
    expect(tab.status).not_to_have_text(told)


def test_the_picture_is_not_stretched(tab):
    for y in range(20, 240, 20):
        tab.stroke((30, y), (200, y + 8))
    expect(tab.page.locator("#canvas .handle")).to_have_count(11)
    tab.drag_to_its_end()
    tab.page.click("[data-tool=paint]")
    stage = tab.page.locator("#canvas .stage")
    for width, height in ((1366, 650), (1024, 768), (768, 900), (390, 844), (667, 375), (640, 360)):
        tab.page.set_viewport_size({"width": width, "height": height})
        for aspect in (1, 4, 0.5):
            stage.evaluate("(stage, aspect) => stage.style.setProperty('--aspect', aspect)", aspect)
            box = stage.bounding_box()
            assert box["width"] == pytest.approx(aspect * box["height"], abs=1), (width, height, aspect)
            assert aspect < 1 or box["height"] <= height, (width, height, aspect)  # seen whole
            assert tab.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_picture_grows_with_the_window_and_its_buttons_stay_below_it(tab):
    for width, height in ((1366, 768), (1920, 1080), (2560, 1440)):
        tab.page.set_viewport_size({"width": width, "height": height})
        assert tab.page.locator("#canvas .stage").bounding_box()["height"] == pytest.approx(height - 335, abs=1)
        button = tab.page.locator("#drag").bounding_box()
        assert button["y"] + button["height"] < height


def test_the_picture_comes_first_on_a_narrow_screen(tab):
    tab.page.set_viewport_size({"width": 390, "height": 844})
    stage, menu = tab.page.locator("#canvas .stage"), tab.page.locator("#model")
    assert stage.bounding_box()["y"] < menu.bounding_box()["y"]
    assert stage.bounding_box()["y"] + stage.bounding_box()["height"] < 844
    for place in (tab.page.locator(which) for which in ("#canvas .status", "#drag", "#stop", "#undo", "#redo")):
        assert place.bounding_box()["y"] < 844
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
    tab.pair((100, 100), (140, 90))
    shows(tab, ("target", 140, 90), ("handle", 100, 100))
    for button in tab.page.locator("#canvas .pairs button").all():
        assert min(button.bounding_box()[side] for side in ("width", "height")) >= 24, "a finger meets it"


def test_what_is_said_stands_below_the_picture(tab):
    stage, status = (tab.page.locator(f"#canvas {which}").bounding_box() for which in (".stage", ".status"))
    assert stage["x"] + stage["width"] / 2 == pytest.approx(status["x"] + status["width"] / 2, abs=2)


def test_the_picture_is_as_wide_as_a_tablet_held_upright_that_shows_its_buttons_too(tab):
    for width, height in ((820, 1180), (768, 1024), (768, 900)):
        tab.page.set_viewport_size({"width": width, "height": height})
        stage, button = (tab.page.locator(which).bounding_box() for which in ("#canvas .stage", "#drag"))
        assert stage["width"] == pytest.approx(min(width - 64, height - 390), abs=1)
        assert button["y"] + button["height"] < height
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_new_picture_is_seen_where_its_button_is_far_below(tab):
    tab.page.set_viewport_size({"width": 390, "height": 844})
    top = lambda: tab.page.locator("#canvas .stage").bounding_box()["y"]  # noqa: E731
    tab.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    until(tab, lambda: top() < -400)
    before = tab.frame()
    tab.page.evaluate("document.querySelector('#random').click()")
    until(tab, lambda: tab.frame() != before and 0 <= top() < 400)


def test_the_tool_in_hand_is_seen_with_a_few_strong_colours(tab):
    tab.page.emulate_media(forced_colors="active")
    ground = "tool => getComputedStyle(document.querySelector(`[data-tool=${tool}]`)).backgroundColor"
    tab.page.click("[data-tool=paint]")
    assert tab.page.evaluate(ground, "paint") != tab.page.evaluate(ground, "hold")


def test_texts_can_be_read_in_the_dark(tab):
    tab.page.emulate_media(color_scheme="dark")
    tab.page.reload()
    tab.page.wait_for_function("document.querySelector('#canvas .stage img')?.naturalWidth > 1", timeout=60_000)

    def brightness(selector: str, what: str) -> float:
        colour = tab.page.locator(selector).first.evaluate(f"node => getComputedStyle(node).{what}")
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 765

    ground = brightness("body", "backgroundColor")
    assert ground < 0.25
    assert brightness("#canvas .status", "color") > ground + 0.5
    for button in ("[data-tool=paint]", "[data-tool=points]"):
        assert abs(brightness(button, "color") - brightness(button, "backgroundColor")) > 0.4
