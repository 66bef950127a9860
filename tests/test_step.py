"""What a step costs: every row has its figures, and what it is compared with does what it says."""

import pytest
import torch

from benchmarks import step
from benchmarks.step import Row, measure, spread_pairs, table, table_of_sessions
from benchmarks.whole_network import WholeNetworkDrag
from draggan.engine.engines import ENGINES
from tests.networks import tiny_generator


@pytest.mark.parametrize("engine", ENGINES)
def test_a_row_has_its_costs(engine, monkeypatch):
    monkeypatch.setattr(step, "network", lambda name: tiny_generator(64))
    cost = measure(Row(engine, "tiny", 2, True, "cpu", "fp32", sessions=2, steps=3, baseline=0))
    assert {name for name, ms in cost.parts.items() if ms > 0} >= {"features", "tracking", "mask", "backward"}
    assert sum(cost.parts.values()) < 2 * cost.step, "no part is counted more often than it is taken"
    assert f"| {engine} | tiny | fp32 | 2 | yes |" in table([cost])


def test_sessions_have_a_table_of_their_own(monkeypatch):
    monkeypatch.setattr(step, "network", lambda name: tiny_generator(64))
    costs = [measure(Row("draggan", "tiny", 1, False, "cpu", "fp32", n, steps=1, baseline=0)) for n in (1, 2)]
    one, two = costs
    assert one.in_turns == 0 < two.in_turns
    row = f"| draggan | tiny | 1 | {one.step:.1f} | {one.memory:.0f} | {two.in_turns:.1f} / {two.step:.1f} | "
    assert row in table_of_sessions(costs)


@pytest.mark.parametrize("masked", [False, True])
def test_the_whole_network_drags_and_shows_it(masked):
    generator = tiny_generator(128)
    mask = torch.ones(128, 128).triu() if masked else None
    whole = WholeNetworkDrag(generator, generator.latent(1), spread_pairs(generator, 2), mask, lr=0.05)
    whole.step()
    picture = whole.step()
    latent = torch.cat([whole.moving.detach(), whole.fixed], dim=1)
    assert not torch.equal(latent, generator.latent(1))
    assert torch.allclose(picture, generator.render(latent), atol=1e-4)
