"""The page for a browser that prefers Chinese."""

import ast
import re
import string
from pathlib import Path

import pytest
from playwright.sync_api import expect

from draggan.web.chinese import CHINESE
from tests.browser import WINDOW, Tab

WEB = Path(__file__).parent.parent / "draggan" / "web"
PICTURE = "inversion/picture.py"
MODEL_FILES = ("checkpoint", "config", "foreign", "arrays", "pickles")
BEHIND = ("kept.py", "render.py")  # what nobody reads on the page: files of the metric, masks of the command line
SAME = {
    "auto",
    "draggan",
    "kinematics",
    "lambda",
    "psi",
    "GIF",
    "px",
    "w_plus",
    "plus",
    "Ctrl",
    "Delete",
    "Enter",
    "Esc",
    "PNG",
}


def names(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("english", CHINESE)
def test_a_translation_has_the_same_figures(english):
    assert names(CHINESE[english]) == names(english)
    assert re.search("[\u4e00-\u9fff]", CHINESE[english])


def calls(path):
    """The names of what a file calls, and its texts among the arguments, also those that have a name in the file."""
    tree = ast.parse(path.read_text("utf-8"))
    named = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            named.setdefault(ast.unparse(node.targets[0]), []).append(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = (text for arg in node.args for text in named.get(ast.unparse(arg), [arg]))
            texts = [text.value for text in given if isinstance(text, ast.Constant) and isinstance(text.value, str)]
            yield ast.unparse(node.func).removeprefix("words."), texts


def test_errors_without_figures_are_translated():
    files = ("session.py", "project.py", "imagefile.py", PICTURE, *(f"stylegan2/{name}.py" for name in MODEL_FILES))
    raised = [
        text
        for path in (*WEB.glob("*.py"), *(WEB.parent / name for name in files))
        for name, texts in calls(path)
        for text in texts
        if name == "ValueError" and not text.startswith("damaged")
    ]
    assert len(raised) > 15
    assert set(raised) <= set(CHINESE)


def test_what_is_said_with_its_figures_apart_is_translated():
    said = [
        text
        for path in WEB.parent.rglob("*.py")
        for name, texts in calls(path)
        for text in texts
        if name in ("Said", "PictureError", "refusing", "reading") and path.name not in BEHIND
    ]
    assert len(said) > 40
    assert set(said) <= set(CHINESE)


def test_what_is_changed_of_a_picture_is_told_in_chinese_too():
    tree = ast.parse(WEB.parent.joinpath(PICTURE).read_text("utf-8"))
    notes = {
        node.value
        for function in tree.body
        if isinstance(function, ast.FunctionDef) and function.name in ("_upright", "_in_srgb", "_to_8_bits")
        for node in ast.walk(function)
        if isinstance(node, ast.Constant) and " " in str(node.value) and node is not function.body[0].value
    }
    assert len(notes) > 10
    assert notes <= set(CHINESE)


def test_that_of_taiwan_is_chinese_too(browser, address):
    context = browser.new_context(locale="zh-TW", viewport=WINDOW)
    tab = Tab(context, address)
    expect(tab.page.locator("#drag")).to_have_text(CHINESE["Drag it"])
    expect(tab.page.locator("[data-tool=live]")).to_have_text(CHINESE["Live"])
    tab.close()
    context.close()


def test_everything_on_the_page_is_in_chinese(browser, address, hold):
    hold(2)
    context = browser.new_context(locale="zh-CN", viewport=WINDOW)
    tab = Tab(context, address)
    expect(tab.page.locator("#drag")).to_have_text(CHINESE["Drag it"])
    for closed in ("Style", "Drag settings"):
        tab.page.get_by_text(CHINESE[closed], exact=True).click()
    tab.page.get_by_label("draggan", exact=True).check()
    expect(tab.page.locator("#gallery button")).to_have_count(4, timeout=20_000)
    expect(tab.page.get_by_label(CHINESE["Model"])).to_have_value(re.compile(CHINESE["plush animal heads"]))
    tab.page.click("#drag")
    nothing = CHINESE["there is nothing to drag yet: click a point of the picture, then where it should go"]
    expect(tab.page.get_by_text(nothing)).to_be_visible(timeout=20_000)
    tab.click(111, 170)
    expect(tab.status).to_have_text(CHINESE["Now click the place where that point should go."])
    tab.click(190, 120)
    expect(tab.status).to_contain_text("93")
    tab.page.click("#drag")
    expect(tab.status).to_contain_text(re.compile("\u7b2c [0-9]+ \u6b65"), timeout=20_000)
    tab.page.click("#stop")
    expect(tab.page.locator("#drag")).to_have_text(CHINESE["Continue"], timeout=20_000)
    tab.page.locator("#model input").evaluate("input => { input.value = '' }")
    ours = tab.page.locator("#canvas, #actions, #gallery, #work").all_inner_texts()
    titles = tab.page.locator("#canvas [title], #gallery [title]").evaluate_all("all => all.map(n => n.title)")
    labels = tab.page.locator("#canvas [aria-label]").evaluate_all("all => all.map(n => n.ariaLabel)")
    english = set(re.findall("[A-Za-z_]{3,}", " ".join([*ours, *titles, *labels])))
    assert english <= SAME
    tab.close()
    context.close()
