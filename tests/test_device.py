"""To a device and back."""

import torch

from draggan.stylegan2.device import received, sent


def test_tensors_are_received_as_they_were_sent():
    a, b = sent(torch.tensor([[1.5, 2.0]]), torch.device("cpu")), torch.tensor(3.0, requires_grad=True)
    found = received(a, b)
    assert [f.tolist() for f in found] == [[[1.5, 2.0]], 3.0]
    assert not found[1].requires_grad
