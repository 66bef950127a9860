"""The optimiser against the library's."""

import subprocess
import sys

import torch

from draggan.engine.adam import adam


def test_it_is_the_librarys_adam():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, generator=rng)
    expected = x.clone().requires_grad_()
    library = torch.optim.Adam([expected], lr=0.02)
    means = {}
    for _ in range(7):
        gradient = torch.randn(3, 5, generator=rng)
        expected.grad = gradient
        library.step()
        x, means = adam(x, gradient, means, lr=0.02)
        torch.testing.assert_close(x, expected.detach())
    for name, mean in library.state[expected].items():
        torch.testing.assert_close(means[name], mean)


def test_a_step_changes_nothing_that_it_was_given():
    x, gradient = torch.ones(2), torch.ones(2)
    _, means = adam(x, gradient, {}, lr=0.1)
    before = {name: mean.clone() for name, mean in means.items()}
    adam(x, 2 * gradient, means, lr=0.1)
    assert torch.equal(x, torch.ones(2))
    assert all(torch.equal(means[name], mean) for name, mean in before.items())


def test_a_drag_imports_no_compiler():
    code = (
        "import sys, draggan\n"
        "g = draggan.load('plush-256', device='cpu')\n"
        "pair = draggan.DragPair(draggan.Point(100, 100), draggan.Point(120, 100))\n"
        "for step in draggan.drag(g, g.latent(1), [pair], config=draggan.DragConfig(max_steps=1)): step.image()\n"
        "print({'torch._dynamo', 'sympy'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
