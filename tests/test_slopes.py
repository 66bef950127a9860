"""Gradients from slopes: those of torch.autograd.grad, without what that imports."""

import subprocess
import sys

import pytest
import torch

from draggan.stylegan2.slopes import derived

CODE = """
import sys, torch
from draggan.stylegan2.slopes import derived
x = torch.ones(2, requires_grad=True)
assert derived([x * x], [torch.tensor([1.0, 2.0])], [x])[0].tolist() == [2, 4]
print({'torch._dynamo', 'sympy'} & {*sys.modules})
"""


def made(x, y):
    return x * y, (x + 1).sum(), y.detach().square(), x[None] - y


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
def test_they_are_those_of_torch_and_can_be_had_again(wanted):
    x, y = (torch.randn(4, dtype=torch.float64, requires_grad=each) for each in wanted)
    found, unused = made(x, y), torch.ones(1, dtype=torch.float64, requires_grad=True)
    by = [t for t in (x, y) if t.requires_grad]
    kept = [f for f in found if f.requires_grad]
    for _ in range(2):
        slopes = [torch.randn_like(f) for f in found]
        usual = torch.autograd.grad(kept, by, [s for f, s in zip(found, slopes, strict=True) if f.requires_grad], True)
        torch.testing.assert_close(derived(found, slopes, by), usual)
        *ours, none = derived(found, slopes, [*by, unused], allow_unused=True)
        torch.testing.assert_close(ours, [*usual])
        assert none is None
    with pytest.raises(RuntimeError, match="not have been used"):
        derived(found, [torch.ones_like(f) for f in found], [unused])


def test_no_compiler_is_imported():
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
