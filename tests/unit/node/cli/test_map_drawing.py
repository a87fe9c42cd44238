"""The ring in characters."""

from typing import Any

from node.cli.map_drawing import area_shares, draw_ring
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_STOP


def document(owners: str) -> dict[str, Any]:
    edges = [CODE_STOP * index // len(owners) for index in range(len(owners) + 1)]
    return {
        "domain": DEMO_DOMAIN.degrees(),
        "digest": "00",
        "nodes": [],
        "spans": [
            {"start": str(start), "stop": str(stop), "owner": owner}
            for start, stop, owner in zip(edges, edges[1:], owners, strict=False)
        ],
    }


def test_letters_stand_where_the_areas_are_north_up() -> None:
    lines = draw_ring(document("sune"), columns=8, coloured=False).plain.splitlines()
    # Names in order: e, n, s, u become A, B, C, D; quarters in curve order are SW, NW, SE, NE.
    assert lines[0] == "DDDDAAAA"
    assert "CCCCBBBB" in lines
    assert lines[-2].split() == ["A", "e", "B", "n", "C", "s", "D", "u"]


def test_colours_and_shares() -> None:
    drawing = draw_ring(document("aaab"), columns=8)
    assert "▀" in drawing.plain
    assert area_shares(document("aaab")) == {"a": 0.75, "b": 0.25}
