"""How the page says what went wrong: nothing is lost, and what nobody expected also goes to the server's log."""

import functools
import inspect
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import gradio as gr
import torch
from gradio.context import LocalContext

from draggan.session import Session
from draggan.stylegan2.shortage import out_of_memory
from draggan.web import words
from draggan.web.chinese import CHINESE
from draggan.web.sent import as_sent
from draggan.web.words import Said

EXPECTED = (ValueError, OSError, ArithmeticError, MemoryError, torch.OutOfMemoryError)
UNEXPECTED = "That did not work, for a reason that nobody expected. Nothing is lost; the server's log says more."


def told(handler: Callable) -> Callable:
    """What was wrong with the input is told on the page; nothing else changes. For handlers that yield, too."""

    @functools.wraps(handler)
    def call(*args: Any) -> Any:
        try:
            return handler(*args)
        except Exception as error:
            tell(error)

    @functools.wraps(handler)
    def iterate(*args: Any) -> Iterator[Any]:
        try:
            yield from handler(*args)
        except Exception as error:
            tell(error)

    return iterate if inspect.isgeneratorfunction(handler) else call


def tell(error: Exception) -> NoReturn:
    """Ends a handler with a message."""
    said = explained(error)
    seconds = 10 + len(said) / 15  # to read it
    raise gr.Error(_as_text(said), duration=seconds, print_exception=not _expected(error)) from error


def warn(error: Exception) -> None:
    """A message; the handler goes on."""
    report(error)
    gr.Warning(_as_text(explained(error)))


def report(error: Exception) -> None:
    """Writes to the server's log what nobody expected."""
    if not _expected(error):
        traceback.print_exception(error)


def spoken(said: Said) -> str:
    """Something said, for a place where the browser does not translate it: in the language of who asked for it."""
    request = LocalContext.request.get(None)
    if request is None or not request.headers.get("accept-language", "").startswith("zh"):
        return str(said)
    values = {name: CHINESE.get(value, value) for name, value in said.values.items()}
    return str(Said(CHINESE.get(said.text, said.text), values))


def explained(error: Exception) -> str:
    """What went wrong, in the language of who asked, without the folders of this server, and as a browser reads it."""
    if not _expected(error):
        return spoken(Said(UNEXPECTED))
    said = as_sent(spoken(words.explain(error)))
    return said.encode("utf-8", "backslashreplace").decode()  # names of files may be no UTF-8


def _as_text(said: str) -> str:
    """What Gradio shows as that text: it takes messages for HTML, and names in files of others may be pictures."""
    return said.replace("<", "&lt;")


def _expected(error: Exception) -> bool:
    return isinstance(error, EXPECTED) or out_of_memory(error)


def must_be_here(session: Session | None) -> None:
    """Raises ValueError where a tab has no picture: before its first one, and after a restart of the server."""
    if session is None:
        raise ValueError("there is no picture in this tab: wait for the first one, or reload the page")


def given(name: str, value: Any, least: float | None = None, most: float | None = None) -> Any:
    """What a control of that name shows. Raises ValueError where it is empty or out of range."""
    if value is None:
        raise ValueError(Said("{name} is empty: give it a value.", {"name": name}))
    return within(name, value, least, most)


def given_class(value: Any, classes: int) -> int:
    """The same of the control for the class of a model with so many; 0 where it has none."""
    return int(given("Class", value, 0, classes - 1)) if classes else 0


def within(name: str, value: Any, least: float | None = None, most: float | None = None) -> Any:
    """What a control of that name shows. Raises ValueError below the least or above the most that it may show."""
    if (least is None or value >= least) and (most is None or value <= most):
        return value
    text = "{name} is {value}: give it a value of {least} or more."
    if most is not None:
        text = "{name} is {value}: give it a value from {least} to {most}."
    raise ValueError(Said(text, {"name": name, "value": value, "least": least, "most": most}))
