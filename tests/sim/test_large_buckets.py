"""Lives in which every bucket counts as large: ranges of hashes lose and double nothing."""

import pytest

from node.protocol import comparison, hash_ranges
from node.protocol.comparison import Pieces
from node.service.mover.exchange import Exchange, Window
from tests.sim.plan import drawn_plan
from tests.sim.runs import run

SEEDS = range(301, 306)


def test_promises_are_kept_by_ranges_of_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "LARGE_ROWS", 0)
    monkeypatch.setattr(comparison, "OFFER_ROWS_MAX", 0)
    monkeypatch.setattr(hash_ranges, "WINDOW_ROWS", 3)
    monkeypatch.setattr(hash_ranges, "RANGE_ROWS", 1)
    carry, carried = Exchange._carry_large, []

    async def noted(self: Exchange, window: Window, piece: Pieces) -> None:
        await carry(self, window, piece)
        carried.append(piece)

    monkeypatch.setattr(Exchange, "_carry_large", noted)
    for seed in SEEDS:
        life = run(seed, drawn_plan(seed, nodes=3))
        assert not life.broken, f"seed {seed}: {life.broken}\n{life.report}"
    assert len(carried) > 20, len(carried)
