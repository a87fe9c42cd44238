"""Routing: tables of standings, and random rings against a reading of the rules code by code."""

from random import Random

import numpy as np
import pytest

from node.protocol.routing import CELLS_TESTED_MAX, ReaderMap, Route, Standing, in_step_readers
from zring.area import Box
from zring.cover import cover
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_STOP
from zring.placement import holder_map
from zring.ring import Ring, Settings, founding_ring
from zring.span import EVERYTHING, Spans, contains, intersect, length, normalise, subtract, union

QUARTER = CODE_STOP // 4
NAMES = ("a", "b", "c", "d")
HOLDERS = (("a", "b", "c"), ("b", "a", "d"), ("c", "a", "d"), ("d", "b", "c"))


def quarters(standing: Standing) -> ReaderMap:
    return ReaderMap(DEMO_DOMAIN, [index * QUARTER for index in range(4)], HOLDERS, standing)


def quarter(index: int) -> Spans:
    return ((index * QUARTER, (index + 1) * QUARTER),)


def test_owners_read_while_all_are_in_contact() -> None:
    route = quarters(Standing(frozenset(NAMES))).route_spans(EVERYTHING)
    assert route.readers == tuple((name, quarter(i)) for i, name in enumerate(NAMES))
    assert not route.keepers and not route.missing and not route.stand_ins and not route.settling


def test_the_nearest_replica_stands_in_and_the_others_are_read_as_well() -> None:
    route = quarters(Standing(frozenset("bcd"))).route_spans(quarter(0))
    assert route.readers == (("b", quarter(0)),)
    assert route.keepers == (("c", quarter(0)),)
    assert route.stand_ins == {"a": quarter(0)}
    assert not route.settling


def test_nobody_in_contact_is_missing() -> None:
    route = quarters(Standing(frozenset("d"))).route_spans(EVERYTHING)
    assert route.missing == quarter(0)
    assert route.readers == (("d", ((QUARTER, CODE_STOP),)),)


def test_an_unfilled_owner_reads_beside_a_replica_and_never_alone() -> None:
    route = quarters(Standing(frozenset(NAMES), unfilled=frozenset("a"))).route_spans(quarter(0))
    assert route.readers == (("b", quarter(0)),)
    assert route.keepers == (("a", quarter(0)), ("c", quarter(0)))
    alone = quarters(Standing(frozenset("a"), unfilled=frozenset("a"))).route_spans(quarter(0))
    assert alone.readers == (("a", quarter(0)),) and alone.missing == quarter(0)


def test_a_keeper_reads_what_it_owes_to_the_reader() -> None:
    owed = {"a": {"d": ((100, 200), (QUARTER - 5, QUARTER + 5))}, "b": {"c": ((7, 9),)}}
    route = quarters(Standing(frozenset(NAMES), owed=owed)).route_spans(quarter(0))
    assert route.keepers == (("d", ((100, 200), (QUARTER - 5, QUARTER))),)
    assert route.settling == ((100, 200), (QUARTER - 5, QUARTER))


def test_only_reader() -> None:
    assert ReaderMap(DEMO_DOMAIN, [0], [("a",)], Standing(frozenset("a"))).only_reader == "a"
    assert quarters(Standing(frozenset(NAMES))).only_reader is None
    assert quarters(Standing(frozenset("a"))).only_reader is None


def test_hedging_needs_a_replica_in_step() -> None:
    stretches = [((0, 10), ("a", "b", "c")), ((10, 20), ("a", "c", "b"))]
    contact = frozenset(NAMES)
    assert in_step_readers(stretches, "a", Standing(contact)) == {"b": ((0, 10),), "c": ((10, 20),)}
    owed = Standing(contact, owed={"b": {"a": ((0, 5),)}})
    assert in_step_readers(stretches, "a", owed) == {"c": ((0, 20),)}
    nobody = Standing(contact, owed={"b": {"a": ((0, 5),)}, "c": {"a": ((0, 5),)}})
    assert in_step_readers(stretches, "a", nobody) is None
    assert in_step_readers(stretches, "b", Standing(contact)) is None


@pytest.mark.parametrize("seed", range(40))
def test_random_rings_against_the_rules(seed: int) -> None:
    rng = Random(seed)
    ring = random_ring(rng)
    holders = holder_map(ring)
    members = ring.members()
    standing = Standing(
        contact=frozenset(name for name in members if rng.random() < 0.7) | {members[0]},
        unfilled=frozenset(name for name in members if rng.random() < 0.1),
        owed={
            name: {rng.choice(members): random_spans(rng)} for name in members if rng.random() < 0.3
        },
    )
    readers = ReaderMap(ring.domain, holders.starts.tolist(), holders.holders, standing)
    wanted = random_spans(rng)
    route = readers.route_spans(wanted)
    assigned: Spans = ()
    for _, spans in route.readers:
        assert not intersect(assigned, spans)
        assigned = union(assigned, spans)
    for _ in range(50):
        start, stop = rng.choice(wanted)
        code = rng.randrange(start, stop)
        check_code(code, holders.holders_at(code), standing, route)
    unread = subtract(wanted, assigned)
    assert not subtract(unread, route.missing)


def check_code(code: int, holders: tuple[str, ...], standing: Standing, route: Route) -> None:
    present = [name for name in holders if name in standing.contact]
    filled = [name for name in present if name not in standing.unfilled]
    expected = (filled or present or [None])[0]

    def reads(pairs: tuple[tuple[str, Spans], ...]) -> set[str]:
        return {name for name, spans in pairs if any(start <= code < stop for start, stop in spans)}

    assert reads(route.readers) == ({expected} if expected else set())
    assert any(a <= code < b for a, b in route.missing) == (not filled)
    owing = {
        keeper
        for keeper, spans in standing.owed.get(expected or "", {}).items()
        if any(start <= code < stop for start, stop in spans)
    }
    beside = set() if expected == holders[0] and filled else set(present) - {expected}
    assert reads(route.keepers) == owing | beside


@pytest.mark.parametrize("seed", range(30))
def test_boxes_are_routed_as_their_codes_are(seed: int) -> None:
    rng = Random(seed)
    ring = founding_ring(
        "c", DEMO_DOMAIN, 4, [f"n{i}" for i in range(rng.choice((1, 2, 4, 8, 16)))]
    )
    holders = holder_map(ring)
    standing = Standing(frozenset(ring.members()))
    readers = ReaderMap(ring.domain, holders.starts.tolist(), holders.holders, standing)
    assert readers.exact
    west, east = sorted(rng.randint(DEMO_DOMAIN.west, DEMO_DOMAIN.east) for _ in range(2))
    south, north = sorted(rng.randint(DEMO_DOMAIN.south, DEMO_DOMAIN.north) for _ in range(2))
    by_box = readers.route_box((west, south, east, north), None)
    by_cover = readers.route_spans(cover(DEMO_DOMAIN, Box(west, south, east, north)))
    # The cover is a superset: whoever is found by the box is found by it.
    assert {name for name, _ in by_box.readers} <= {name for name, _ in by_cover.readers}
    for _ in range(50):
        lon, lat = rng.randint(west, east), rng.randint(south, north)
        code = DEMO_DOMAIN.position_to_code(lon=lon, lat=lat)
        reader = [name for name, spans in by_box.readers if contains(spans, np.array([code]))[0]]
        assert reader == [ring.owner_of(code)]


def test_upper_edges_of_the_domain_are_routed() -> None:
    readers = quarters(Standing(frozenset(NAMES)))
    corner = (DEMO_DOMAIN.east, DEMO_DOMAIN.north, DEMO_DOMAIN.east, DEMO_DOMAIN.north)
    assert [name for name, _ in readers.route_box(corner, None).readers] == ["d"]


def test_rings_of_many_cells_use_covers() -> None:
    rng = Random(1)
    ring = random_ring(rng)
    holders = holder_map(ring)
    standing = Standing(frozenset(ring.members()))
    readers = ReaderMap(ring.domain, holders.starts.tolist(), holders.holders, standing)
    assert not readers.exact and len(ring.spans) > CELLS_TESTED_MAX


def random_ring(rng: Random) -> Ring:
    names = [f"n{index}" for index in range(rng.randint(2, 6))]
    ring = founding_ring("c", DEMO_DOMAIN, 4, names, Settings(replicas=rng.randint(0, 3)))
    for name in names:
        grains = [(g * ring.grain_codes, (g + 1) * ring.grain_codes) for g in range(256)]
        ring = ring.assign(normalise(rng.sample(grains, 25)), owner=name)
    return ring


def random_spans(rng: Random) -> Spans:
    spans = normalise(
        (start, start + rng.randrange(1, CODE_STOP // 8))
        for start in (rng.randrange(CODE_STOP * 7 // 8) for _ in range(rng.randint(1, 6)))
    )
    assert length(spans)
    return spans
