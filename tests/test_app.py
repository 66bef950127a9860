"""The page as it is built: what holds for all of its handlers."""

import asyncio

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from draggan.web import app
from draggan.web.page import yields
from tests.networks import tiny_generator
from tests.shelf import Shelf


@pytest.fixture(scope="module")
def page():
    return app.build(Shelf(tiny_generator(64)), "cpu", "plush-256", max_users=1)


def test_a_handler_that_ends_without_an_answer_changes_nothing(page, monkeypatch):
    def silent(*_):
        yield from ()

    async def silent_too(*_):
        for each in ():
            yield each

    yielding = [each for each in page.fns.values() if each.outputs and yields(each.fn)]
    assert len(yielding) > 10
    for handler in yielding:
        for refusing in (silent, silent_too):
            monkeypatch.setattr(handler, "fn", refusing)
            state = SessionState(page)
            kept = {block._id: object() for block in handler.outputs if isinstance(block, gr.State)}
            state.state_data.update(kept)
            answer = asyncio.run(page.call_function(handler, [None] * len(handler.inputs)))
            told = asyncio.run(page.postprocess_data(handler, answer["prediction"], state))
            for each, block in zip(told, handler.outputs, strict=True):
                if not isinstance(block, gr.State):
                    assert each["__type__"] == "update"
                    assert "value" not in each, handler.name
            assert {id_: state[id_] for id_ in kept} == kept, handler.name


def test_what_is_searched_in_each_answer_is_short(page):
    scripts = [block.js_on_load or "" for block in page.blocks.values() if isinstance(block, gr.HTML)]
    assert len(scripts) == 2
    assert max(map(len, scripts)) < 1000
