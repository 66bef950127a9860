"""The course of a drag: what it asks of the network, step by step, so that several drags can be answered at once.

A course is a generator that yields its steps, and between them its wishes: a view of the features, or derivatives of
what it has computed from them. Whoever runs it sends the answers. One network pass for several drags costs less than
one for each: its weights are read once, and small convolutions become large ones.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from draggan.engine.features import Features
from draggan.engine.views import View, seen
from draggan.gradients import gradients

Step = TypeVar("Step")
Result = TypeVar("Result")
Kind = TypeVar("Kind", View, "Derivatives")


@dataclass(frozen=True, eq=False)
class Derivatives:
    """A wish: the derivatives of each of some sums by one tensor."""

    sums: tuple[Tensor, ...]  # scalars
    by: Tensor

    @property
    def kind(self) -> Hashable:
        """Derivatives of one kind can be had together."""
        return len(self.sums)


Wish = View | Derivatives
Course = Generator[Wish | Step, Any, None]  # a view is answered by `Features`, derivatives by a tuple of tensors
Part = Generator[Wish, Any, Result]  # of a course, without a step


def alone(course: Course[Step]) -> Iterator[Step]:
    """The steps of one drag."""
    while True:
        ((_, found),) = together([course])
        if (step := found.result()) is None:
            return
        yield step


def together(courses: Sequence[Course[Step]]) -> Iterator[tuple[int, Future[Step | None]]]:
    """Takes each of some drags a step on. What they wish for at the same time and is of one kind is done at once.

    -> of each, as soon as it is there, its number and its step, which is None at its end, or its error. An error of
    one stops no other. What a drag has seen it must derive from before its next step.
    """
    answers: dict[int, Any] = dict.fromkeys(range(len(courses)))
    while answers:
        wishes: dict[int, Wish] = {}
        for i, answer in answers.items():
            found: Future[Step | None] = Future()
            try:
                said = courses[i].throw(answer) if isinstance(answer, Exception) else courses[i].send(answer)
                if isinstance(said, Wish):
                    wishes[i] = said
                    continue
                found.set_result(said)
            except StopIteration:
                found.set_result(None)
            except Exception as error:
                found.set_exception(error)
            yield i, found
        answers = _answers(wishes, several=len(courses) > 1)


def _answers(wishes: dict[int, Wish], several: bool) -> dict[int, Any]:
    """The answer to each wish, or the error that it met. several: whether drags see things together."""
    views = {i: wish for i, wish in wishes.items() if isinstance(wish, View)}
    derivatives = {i: wish for i, wish in wishes.items() if isinstance(wish, Derivatives)}
    return _by_kind(views, _views) | _by_kind(derivatives, partial(_derivatives, again=several))


def _by_kind(wishes: dict[int, Kind], answer: Callable[[list[Kind]], list[Any]]) -> dict[int, Any]:
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for i, wish in wishes.items():
        alike[wish.kind].append(i)
    answers: dict[int, Any] = {}
    for numbers in alike.values():
        try:
            found = answer([wishes[i] for i in numbers])
        except Exception as error:
            found = [error] * len(numbers)
        answers |= zip(numbers, found, strict=True)
    return answers


def _views(views: Sequence[View]) -> list[Features]:
    """With gradients where a latent has them."""
    if any(w.requires_grad for view in views for w in view.parts):
        with gradients():
            return seen(views)
    with torch.no_grad():
        return seen(views)


def _derivatives(wishes: Sequence[Derivatives], again: bool) -> list[tuple[Tensor, ...]]:
    """One backward pass for the first sum of all, one for the second, and so on. again: whether what they are derived
    through may be needed once more: drags that have seen something together need not derive from it together."""
    by, passes = [wish.by for wish in wishes], list(zip(*(wish.sums for wish in wishes), strict=True))
    keep = [again or i < len(passes) - 1 for i in range(len(passes))]
    rows = [torch.autograd.grad(sums, by, retain_graph=kept) for sums, kept in zip(passes, keep, strict=True)]
    return list(zip(*rows, strict=True))
