"""Two nodes' rings side by side."""

import io
from typing import Any

from rich.console import Console

from node.cli.ring_difference import CODES, difference_view, ring_difference

Q = CODES // 4


def document(*spans: tuple[int, str, str | None, int], **settings: Any) -> dict[str, Any]:
    return {
        "digest": "0" * 16,
        "settings": {"replicas": 2, **settings},
        "spans": [
            {"start": str(start), "owner": owner, "next": coming, "epoch": epoch}
            for start, owner, coming, epoch in spans
        ],
    }


def test_equal_rings_have_no_difference() -> None:
    ring = document((0, "n1", None, 0), (Q, "n2", None, 0))
    assert ring_difference(ring, ring) == []


def test_spans_are_cut_where_either_ring_changes_and_joined_where_both_stay() -> None:
    here = document((0, "n1", None, 0), (Q, "n2", None, 0), (3 * Q, "n4", None, 0))
    there = document((0, "n1", None, 0), (2 * Q, "n2", "n5", 3), (3 * Q, "n4", None, 0), replicas=3)
    found = ring_difference(here, there)
    assert found == [
        {
            "start": str(Q),
            "stop": str(2 * Q),
            "here": {"owner": "n2", "next": None, "epoch": 0},
            "there": {"owner": "n1", "next": None, "epoch": 0},
        },
        {
            "start": str(2 * Q),
            "stop": str(3 * Q),
            "here": {"owner": "n2", "next": None, "epoch": 0},
            "there": {"owner": "n2", "next": "n5", "epoch": 3},
        },
        {"setting": "replicas", "here": 2, "there": 3},
    ]
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(difference_view(found, here="a", there="b"))
    assert "n2 → n5 (epoch 3)" in console.export_text()
