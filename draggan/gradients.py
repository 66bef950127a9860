"""Gradients where they are needed, whatever the caller has switched off."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def gradients() -> Iterator[None]:
    """Inside, operations are recorded. A generator must not yield inside: that would reach its caller."""
    with torch.inference_mode(False), torch.enable_grad():
        yield
