"""How the page says what went wrong: nothing is lost, and what nobody expected also goes to the server's log."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import gradio as gr
import torch

from draggan.session import Session
from draggan.web import words

EXPECTED = (ValueError, OSError, ArithmeticError, MemoryError, torch.OutOfMemoryError)


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
    if isinstance(error, EXPECTED):
        said = words.explain(error)
        raise gr.Error(said, duration=10 + len(said) / 15, print_exception=False) from error  # seconds to read it
    raise error


def warn(error: Exception) -> None:
    """A message; the handler goes on."""
    if not isinstance(error, EXPECTED):
        raise error
    gr.Warning(words.explain(error))


def must_be_here(session: Session | None) -> None:
    """Raises ValueError where a tab has no picture: before its first one, and after a restart of the server."""
    if session is None:
        raise ValueError("there is no picture in this tab: wait for the first one, or reload the page")
