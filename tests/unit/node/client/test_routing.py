"""The client's view of the ring against an obvious twin: sample every position."""

from typing import Any

import numpy as np
import pytest

from node.client.routing import RingView
from node.errors import PeerRefused
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_STOP

QUARTERS = ("sw", "nw", "se", "ne")


def ring_document(owners: list[str], **more: Any) -> dict[str, Any]:
    """A ring of equal spans in curve order."""
    edges = [CODE_STOP * index // len(owners) for index in range(len(owners) + 1)]
    return {
        "cluster": "test",
        "domain": DEMO_DOMAIN.degrees(),
        "grain_level": 8,
        "digest": "0011",
        "spans": [
            {"start": str(start), "stop": str(stop), "owner": owner, "next": None, "epoch": 0}
            for start, stop, owner in zip(edges, edges[1:], owners, strict=False)
        ],
        "nodes": [
            {"id": name, "url": f"http://{name}:7070/", "state": "alive"}
            for name in sorted(set(owners))
        ],
        **more,
    }


def e7(*degrees: float) -> tuple[int, ...]:
    return tuple(round(degree * 10_000_000) for degree in degrees)


def names_of(view: RingView, box: tuple[int, ...]) -> set[str]:
    return {view.names[index] for index in view.box_owners(box)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("box", "owners"),
    [
        ((135.1, 33.1, 135.2, 33.2), {"sw"}),
        ((135.1, 33.9, 135.2, 34.2), {"nw"}),
        ((136.0, 33.1, 136.6, 33.2), {"se"}),
        ((135.8, 33.8, 136.6, 34.6), {"ne"}),
        ((135.1, 33.1, 135.2, 34.2), {"sw", "nw"}),
        ((135.1, 33.1, 136.2, 33.2), {"sw", "se"}),
        ((135.0, 33.0, 136.6, 34.6), set(QUARTERS)),
        ((130.0, 30.0, 135.1, 33.1), {"sw"}),
        ((10.0, 10.0, 11.0, 11.0), set(QUARTERS)),
    ],
)
def test_a_box_has_the_owners_of_its_quarters(box: tuple[float, ...], owners: set[str]) -> None:
    view = RingView.from_json(ring_document(list(QUARTERS)))
    assert names_of(view, e7(*box)) == owners


def test_owners_of_random_boxes_hold_every_position_of_a_scattered_ring() -> None:
    rng = np.random.default_rng(7)
    owners = [f"n{index}" for index in rng.integers(0, 5, 256)]
    view = RingView.from_json(ring_document(owners))
    exact = 0
    for _ in range(200):
        west, east = np.sort(rng.uniform(135.0, 136.6, 2))
        south, north = np.sort(rng.uniform(33.0, 34.6, 2))
        if rng.random() < 0.5:
            east, north = west + 0.05, south + 0.05
        lon, lat = np.meshgrid(np.linspace(west, east, 40), np.linspace(south, north, 40))
        positions = view.position_owners(
            lon=np.rint(lon.ravel() * 1e7).astype(np.int64),
            lat=np.rint(lat.ravel() * 1e7).astype(np.int64),
        )
        sampled = {view.names[index] for index in set(positions[positions >= 0].tolist())}
        found = names_of(view, e7(west, south, east, north))
        assert sampled <= found
        exact += found == sampled
    assert exact > 150


def test_positions_outside_the_domain_have_no_owner() -> None:
    view = RingView.from_json(ring_document(list(QUARTERS)))
    lon = np.array([1_350_000_000, 1_300_000_000, 1_366_000_000])
    lat = np.array([330_000_000, 330_000_000, 346_000_000])
    owners = view.position_owners(lon=lon, lat=lat)
    assert [view.names[owner] if owner >= 0 else None for owner in owners] == ["sw", None, "ne"]


def test_a_box_of_several_owners_goes_to_them_in_turn_and_never_to_one_that_is_away() -> None:
    document = ring_document(list(QUARTERS))
    for node in document["nodes"]:
        node["state"] = "away" if node["id"] == "sw" else "alive"
    view = RingView.from_json(document)
    urls = {view.url_for_box(None) for _ in range(8)}
    assert urls == {"http://nw:7070", "http://se:7070", "http://ne:7070"}
    inside_sw = e7(135.1, 33.1, 135.2, 33.2)
    assert view.url_for_box(inside_sw) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("broken", [{"spans": None}, {"domain": [1, 2]}, {"nodes": [3]}, {}])
def test_a_document_that_is_no_ring_is_refused(broken: dict[str, Any]) -> None:
    document = ring_document(["a"], **broken) if broken else {}
    with pytest.raises(PeerRefused):
        RingView.from_json(document)
