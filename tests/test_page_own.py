"""A picture of one's own in a real browser: framed, reconstructed, dragged, pasted back, kept."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from draggan.inversion.picture import read_picture, whole_crop
from draggan.stylegan2 import checkpoint
from draggan.web.own import Framing
from tests.browser import WINDOW, Tab, serving
from tests.networks import random_tensors, tiny_config
from tests.test_page_canvas import until

RENDERS = Path(__file__).parent.parent / "benchmarks" / "renders"
ALL = 1000  # steps: more than are asked for
LIKE = re.compile(r"your picture \(\d")  # how like it is, in words, depends on how it was framed


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page with a small model, which finds a picture quickly. How near it comes: test_inversion_figures.py"""
    folder, config = tmp_path_factory.mktemp("own"), tiny_config(256)
    checkpoint.write(folder / "small.safetensors", config, random_tensors(config))
    with serving(folder, 17890, options=["--model", "small.safetensors"]) as address:
        yield address


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A render of the scene somewhere in a larger picture, which the model did not make."""
    whole = Image.new("RGB", (500, 400), (90, 120, 160))
    whole.paste(Image.open(RENDERS / "70000.webp").convert("RGB"), (120, 70))
    path = tmp_path_factory.mktemp("photos") / "holiday.png"
    whole.save(path)
    return path


def upload(tab, path):
    if not tab.page.locator("#upload").is_visible():
        tab.page.get_by_text("Your picture", exact=True).click()
    tab.page.locator("#own input[type=file]").set_input_files(path)


def is_kept(tab):
    """Whether the browser keeps the picture that is framed."""
    return tab.page.evaluate("sessionStorage.getItem('draggan-framed')") is not None


def reconstruct(tab, hold, steps=10, details=False):
    """Begins to, and stays in the middle of it."""
    hold(9)
    tab.page.get_by_label("number input for Steps").fill(str(steps))
    tab.page.get_by_label("number input for Steps").blur()
    tab.page.get_by_label("Bring back details").set_checked(details)
    tab.page.click("#reconstruct")
    expect(tab.status).to_contain_text("Reconstructing, step", timeout=60_000)


def test_a_picture_is_framed_reconstructed_dragged_compared_pasted_back_and_kept(tab, hold, photo, tmp_path):
    before = tab.frame()
    expect(tab.page.locator("#pasted")).to_be_hidden()
    upload(tab, photo)
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    framed = tab.frame()
    assert framed != before
    tab.page.mouse.move(*tab.place(128, 128))
    tab.page.mouse.wheel(0, -380)
    until(tab, lambda: tab.frame() != framed)
    larger = tab.frame()
    tab.page.mouse.down()
    tab.page.mouse.move(*tab.place(130, 138), steps=3)
    tab.page.mouse.up()
    until(tab, lambda: tab.frame() != larger)
    assert tab.points() == []
    tab.page.wait_for_timeout(1000)  # for the last of the moves
    mine = tab.frame()
    reconstruct(tab, hold)
    expect(tab.page.locator("#stop")).to_be_enabled()
    hold(ALL)
    expect(tab.status).to_contain_text(LIKE, timeout=120_000)
    expect(tab.page.locator("#reconstruct")).to_be_hidden()
    tab.pair((128, 150), (150, 150))
    tab.drag_to_its_end()
    dragged = tab.frame()
    tab.page.keyboard.down("c")
    until(tab, lambda: tab.frame() == mine)
    tab.page.keyboard.up("c")
    assert tab.frame() == dragged
    with tab.page.expect_download(timeout=60_000) as coming:
        tab.page.click("#pasted")
    raw = coming.value.path().read_bytes()
    pasted, own = (np.asarray(Image.open(p).convert("RGB")) for p in (io.BytesIO(raw), photo))
    assert pasted.shape == own.shape
    changed = (pasted != own).any(axis=2)
    assert 0 < changed.mean() < 0.5
    assert not changed[:40].any(), "what lies outside the frame is the picture's own"
    assert "AI-edited" in Image.open(io.BytesIO(raw)).text["Comment"]
    with tab.page.expect_download(timeout=60_000) as coming:
        tab.page.click("#session")
    assert coming.value.suggested_filename.endswith(".draggan")
    coming.value.save_as(tmp_path / "edit.draggan")
    while tab.page.locator("#undo").is_enabled():
        tab.page.click("#undo")
        tab.page.wait_for_timeout(300)
    until(tab, lambda: tab.frame() == before)
    expect(tab.page.locator("#pasted")).to_be_hidden()
    tab.page.locator("input[type=file][accept='.draggan']").set_input_files(tmp_path / "edit.draggan")
    until(tab, lambda: tab.frame() == dragged)
    expect(tab.page.locator("#pasted")).to_be_visible()


def changes(request):
    """What a request to the server changes in the frame: right, down, larger, turn. None for other requests."""
    data = (request.post_data_json or {}).get("event_data") if request.url.endswith("/queue/join?") else None
    return data and "larger" in data and [data[name] for name in ("right", "down", "larger", "turn")]


def test_fingers_frame_a_picture_and_it_stays_under_them(browser, address, photo):
    context = browser.new_context(has_touch=True, viewport={"width": 390, "height": 844})
    tab, sent = Tab(context, address), []
    tab.page.on("request", lambda request: sent.append(changes(request)))
    touch = context.new_cdp_session(tab.page)
    upload(tab, photo)
    expect(tab.status).to_contain_text("with one finger, enlarge and turn it with two", timeout=20_000)
    framed = tab.frame()

    def fingers(kind, *places):
        points = [dict(zip("xy", tab.place(*place), strict=True)) for place in places]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    before, after = ((100, 120), (150, 120)), ((80, 90), (150, 160))
    fingers("touchStart", *before)
    for part in np.linspace(0.2, 1, 5):
        fingers("touchMove", *(tuple(np.add(a, np.subtract(b, a) * part)) for a, b in zip(before, after, strict=True)))
    fingers("touchEnd")
    until(tab, lambda: tab.frame() != framed)
    tab.page.wait_for_timeout(1000)
    assert tab.page.locator("#canvas .stage.zoomed").count() == 0, "what is seen is what is used"
    picture = read_picture(photo)
    first = last = Framing(picture, whole_crop(picture.size, (256, 256)))
    for change in filter(None, sent):
        last = last.moved(*change, (256, 256))
    assert last.crop.side < 0.6 * first.crop.side
    for a, b in zip(before, after, strict=True):
        assert np.allclose(under(first.crop, a), under(last.crop, b), atol=3)
    tab.close()
    context.close()


def under(crop, place):
    """The pixel of the whole picture that a place of the frame shows."""
    x, y = (np.array(place) - 127.5) * crop.side / 256
    cos, sin = np.cos(np.radians(crop.angle)), np.sin(np.radians(crop.angle))
    return crop.x + cos * x - sin * y, crop.y + sin * x + cos * y


def test_keys_frame_a_picture(tab, photo):
    sent = []
    tab.page.on("request", lambda request: sent.append(changes(request)))
    upload(tab, photo)
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    stage = tab.page.locator("#canvas .stage")
    stage.focus()
    first = tab.frame()
    for key in ("+", "ArrowRight", "Shift+ArrowDown", "-"):
        framed = tab.frame()
        stage.press(key)
        until(tab, lambda: tab.frame() != framed)  # noqa: B023
    moved = [*filter(None, sent)]
    expect(tab.page.locator("#canvas .pairs .hint")).to_have_count(0)  # pressing moves the picture
    stage.press("0")
    until(tab, lambda: tab.frame() == first)
    stage.press("+")
    until(tab, lambda: tab.frame() != first)
    tab.page.click("#canvas .fit")
    until(tab, lambda: tab.frame() == first)
    assert moved == [[0, 0, pytest.approx(1.1), 0], [1, 0, 1, 0], [0, 10, 1, 0], [0, 0, pytest.approx(1 / 1.1), 0]]
    assert tab.page.locator("#canvas .stage.zoomed").count() == 0
    stage.press("Escape")
    expect(tab.page.locator("#framing")).to_be_hidden(timeout=20_000)


def test_the_focus_goes_to_the_picture_where_the_buttons_that_frame_it_go(tab, photo):
    upload(tab, photo)
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    tab.page.locator("#reconstruct").press("Enter")
    expect(tab.page.locator("#canvas .stage")).to_be_focused(timeout=20_000)


def test_stop_goes_back_to_the_frame_and_cancel_to_the_picture_of_before(tab, hold, photo):
    before = tab.frame()
    upload(tab, photo)
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    framed = tab.frame()
    reconstruct(tab, hold)
    tab.page.click("#stop")
    expect(tab.page.locator("#stop")).to_be_disabled(timeout=20_000)
    until(tab, lambda: tab.frame() == framed)
    expect(tab.page.locator("#use")).to_be_hidden()
    expect(tab.page.locator("#reconstruct")).to_be_visible()
    tab.page.click("#cancel")
    until(tab, lambda: tab.frame() == before)
    expect(tab.page.locator("#reconstruct")).to_be_hidden()
    tab.pair((111, 170), (150, 150))


def test_a_picture_that_is_framed_lies_under_no_mask_and_gives_way_to_nothing(tab, hold, photo):
    tab.pair((111, 170), (150, 150))
    tab.paint((60, 60), (200, 60))
    before = (tab.frame(), tab.points(), tab.painted())
    upload(tab, photo)
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    mask = tab.page.locator("#canvas canvas.mask")
    expect(mask).to_be_hidden()
    for button in ("#drag", "#undo", "#stop"):
        expect(tab.page.locator(button)).to_be_disabled()
    framed = tab.frame()
    tab.page.click("#draw")
    expect(tab.page.get_by_text("your picture is being framed")).to_be_visible(timeout=20_000)
    assert tab.frame() == framed
    expect(tab.status).to_contain_text("Move your picture")
    hold(0)
    tab.page.click("#reconstruct")
    expect(tab.status).to_have_text("Reconstructing: looking for a start ...", timeout=2_000)
    tab.page.click("#stop")
    expect(tab.status).to_contain_text("Move your picture", timeout=4_000)
    tab.page.click("#cancel")
    until(tab, lambda: (tab.frame(), tab.points(), tab.painted()) == before)
    expect(mask).to_be_visible()
    expect(tab.page.locator("#drag")).to_be_enabled()


def test_what_there_is_so_far_is_used_and_dragged(tab, hold, photo):
    before = tab.frame()
    upload(tab, photo)
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    for button in ("#reconstruct", "#cancel"):
        expect(tab.page.locator(button)).to_be_in_viewport(ratio=1)
    expect(tab.page.locator("#use")).to_be_hidden()
    reconstruct(tab, hold, steps=400, details=True)
    expect(tab.page.locator("#reconstruct")).to_be_hidden()
    expect(tab.page.locator("#use")).to_be_in_viewport(ratio=1)
    tab.page.click("#use")
    hold(ALL)
    expect(tab.status).to_contain_text(LIKE, timeout=20_000)
    expect(tab.page.locator("#use")).to_be_hidden()
    expect(tab.page.locator("#canvas .first")).to_be_hidden()
    used = tab.frame()
    tab.pair((128, 150), (150, 150))
    tab.drag_to_its_end()
    assert tab.frame() != used
    while tab.page.locator("#undo").is_enabled():
        tab.page.click("#undo")
        tab.page.wait_for_timeout(300)
    until(tab, lambda: tab.frame() == before)


def test_two_users_at_once_get_their_own(browser, address, tab, hold, photo, tmp_path):
    mirrored = tmp_path / "mirrored.png"
    Image.open(photo).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored)
    other = Tab(browser, address)
    for each, path in ((tab, photo), (other, mirrored)):
        upload(each, path)
        expect(each.status).to_contain_text("Move your picture", timeout=20_000)
        reconstruct(each, hold)
    hold(ALL)
    for each in (tab, other):
        expect(each.status).to_contain_text(LIKE, timeout=180_000)
    assert tab.frame() != other.frame()
    other.close()


def test_a_dropped_file_that_is_no_picture_is_told(tab, tmp_path):
    before = tab.frame()
    bad = tmp_path / "broken.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n nonsense")
    upload(tab, bad)
    expect(tab.page.get_by_text("broken.png is damaged")).to_be_visible(timeout=20_000)
    assert tab.frame() == before


def test_a_picture_can_be_pasted_from_the_clipboard(tab, photo):
    before = tab.frame()
    tab.page.evaluate(
        """async (bytes) => {
          const files = new DataTransfer();
          files.items.add(new File([new Uint8Array(bytes)], 'copied.png', { type: 'image/png' }));
          document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: files, bubbles: true }));
        }""",
        list(photo.read_bytes()),
    )
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    until(tab, lambda: tab.frame() != before)


@pytest.mark.parametrize("running", [False, True])
def test_a_picture_that_is_framed_or_reconstructed_outlives_a_reload(tab, hold, photo, running):
    upload(tab, photo)
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    framed = tab.frame()
    until(tab, lambda: is_kept(tab))
    if running:
        reconstruct(tab, hold)
    for _ in range(2):
        tab.page.reload()
        expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
        assert tab.frame() == framed
    tab.page.click("#cancel")
    expect(tab.status).to_contain_text("Click a point", timeout=20_000)
    until(tab, lambda: not is_kept(tab))
    tab.page.reload()
    expect(tab.status).to_contain_text("Click a point", timeout=20_000)
    tab.page.wait_for_timeout(1000)
    expect(tab.status).to_contain_text("Click a point")


def test_a_picture_that_is_framed_outlives_a_file_that_is_refused_and_a_reload(tab, photo, tmp_path):
    upload(tab, photo)
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    framed, bad = tab.frame(), tmp_path / "broken.png"
    until(tab, lambda: is_kept(tab))
    bad.write_bytes(b"no picture")
    upload(tab, bad)
    expect(tab.page.get_by_text("broken.png is not a picture")).to_be_visible(timeout=20_000)
    tab.page.reload()
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    assert tab.frame() == framed


def test_a_picture_that_is_framed_outlives_its_file(browser, address, photo, tmp_path):
    """Also in a private window, where a browser keeps of a file only where that lies."""
    context = browser.new_context(viewport=WINDOW)
    tab, sent = Tab(context, address), tmp_path / "sent.png"
    sent.write_bytes(photo.read_bytes())
    upload(tab, sent)
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    framed = tab.frame()
    until(tab, lambda: is_kept(tab))
    sent.unlink()
    tab.page.reload()
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    assert tab.frame() == framed
    context.close()


def test_a_picture_that_was_just_reconstructed_outlives_a_reload(tab, hold, photo):
    upload(tab, photo)
    expect(tab.status).to_contain_text("Move your picture", timeout=20_000)
    reconstruct(tab, hold)
    hold(ALL)
    expect(tab.status).to_contain_text(LIKE, timeout=60_000)
    tab.page.reload()  # before it is kept
    expect(tab.page.locator("#reconstruct:visible, #pasted:visible")).to_have_count(1, timeout=20_000)
