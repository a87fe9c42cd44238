"""Routing: tables of standings, and random rings against a reading of the rules code by code."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from node.protocol.routing import CELLS_TESTED_MAX, ReaderMap, Route, Standing, in_step_readers
from zring.area import Box
from zring.cover import cover
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_STOP
from zring.placement import HolderMap, holder_map
from zring.ring import Ring, Settings, founding_ring
from zring.span import EVERYTHING, Spans, contains, intersect, length, normalise, subtract, union

QUARTER = CODE_STOP // 4
NAMES = ("a", "b", "c", "d")
HOLDERS = (("a", "b", "c"), ("b", "a", "d"), ("c", "a", "d"), ("d", "b", "c"))


def quarters(standing: Standing) -> ReaderMap:
    starts = np.array([index * QUARTER for index in range(4)])
    holders = HolderMap(starts, np.arange(4), HOLDERS, copies_wanted=3, copies_missing=0)
    return ReaderMap(DEMO_DOMAIN, holders, standing)


def quarter(index: int) -> Spans:
    return ((index * QUARTER, (index + 1) * QUARTER),)


def standing(
    contact: str, *, owed: dict[str, dict[str, Spans]] | None = None, **filled: Spans
) -> Standing:
    """Everybody in contact is filled for everything, but for those that are named."""
    spans = {name: filled.get(name, EVERYTHING) for name in contact}
    return Standing(frozenset(contact), spans, owed or {})


def test_owners_read_while_all_are_in_contact() -> None:
    route = quarters(standing("abcd")).route_spans(EVERYTHING)
    assert route.readers == tuple((name, quarter(i)) for i, name in enumerate(NAMES))
    assert not route.keepers and not route.missing and not route.stand_ins and not route.settling


def test_the_nearest_filled_replica_stands_in_alone() -> None:
    route = quarters(standing("bcd")).route_spans(quarter(0))
    assert route.readers == (("b", quarter(0)),)
    assert route.stand_ins == {"a": quarter(0)}
    assert not route.keepers and not route.settling and not route.missing
    route = quarters(standing("bcd", b=())).route_spans(quarter(0))
    assert route.readers == (("c", quarter(0)),) and not route.keepers


def test_the_node_that_is_asked_reads_what_it_has_in_step() -> None:
    readers = quarters(standing("abcd"))
    route = readers.read_by("d", readers.route_spans(EVERYTHING))
    # d holds all but the first quarter.
    assert route.readers == (("a", quarter(0)), ("d", ((QUARTER, CODE_STOP),)))
    assert not route.keepers and not route.stand_ins
    owed: dict[str, dict[str, Spans]] = {"d": {"b": quarter(1)}}
    readers = quarters(standing("abcd", owed=owed, d=((2 * QUARTER, CODE_STOP),)))
    route = readers.read_by("d", readers.route_spans(EVERYTHING))
    assert route.readers == (
        ("a", quarter(0)), ("b", quarter(1)), ("d", ((2 * QUARTER, CODE_STOP),))
    )  # fmt: skip
    route = readers.read_by("e", readers.route_spans(EVERYTHING))
    assert route.readers == tuple((name, quarter(i)) for i, name in enumerate(NAMES))


def test_a_replica_that_is_owed_something_is_not_enough_alone() -> None:
    owed: dict[str, dict[str, Spans]] = {"b": {"c": quarter(0)}}
    route = quarters(standing("bcd", owed=owed)).route_spans(quarter(0))
    assert route.readers == (("b", quarter(0)),) and route.keepers == (("c", quarter(0)),)
    assert not route.settling, "a holder keeps what it owes"


def test_nobody_in_contact_is_missing() -> None:
    route = quarters(standing("d", d=((QUARTER, CODE_STOP),))).route_spans(EVERYTHING)
    assert route.missing == quarter(0)
    assert route.readers == (("d", ((QUARTER, CODE_STOP),)),)


def test_a_former_holder_reads_until_a_holder_is_filled() -> None:
    route = quarters(standing("abcd", a=(), b=(), c=())).route_spans(quarter(0))
    assert route.readers == (("d", quarter(0)),)
    assert route.keepers == (("a", quarter(0)), ("b", quarter(0)), ("c", quarter(0)))
    assert route.settling == quarter(0) and not route.missing
    half = ((0, QUARTER // 2),)
    route = quarters(standing("abcd", a=(), b=(), c=half)).route_spans(quarter(0))
    assert route.readers == (("c", half), ("d", ((QUARTER // 2, QUARTER),)))


def test_an_unfilled_owner_never_answers_alone() -> None:
    route = quarters(standing("abcd", a=())).route_spans(quarter(0))
    assert route.readers == (("b", quarter(0)),) and not route.keepers
    assert route.stand_ins == {"a": quarter(0)}
    alone = quarters(standing("a", a=())).route_spans(quarter(0))
    assert alone.readers == (("a", quarter(0)),) and alone.missing == quarter(0)


def test_without_a_filled_holder_all_that_is_there_is_read() -> None:
    owed: dict[str, dict[str, Spans]] = {"a": {"d": quarter(0)}}
    none = quarters(standing("bd", b=(), d=(), owed=owed)).route_spans(quarter(0))
    assert none.readers == (("b", quarter(0)),) and none.keepers == (("d", quarter(0)),)
    assert none.missing == quarter(0)
    keeper = quarters(standing("d", d=(), owed=owed)).route_spans(quarter(0))
    assert not keeper.readers and keeper.keepers == (("d", quarter(0)),)


def test_a_keeper_reads_what_it_owes_to_the_reader() -> None:
    owed = {"a": {"d": ((100, 200), (QUARTER - 5, QUARTER + 5))}, "b": {"c": ((7, 9),)}}
    route = quarters(standing("abcd", owed=owed)).route_spans(quarter(0))
    assert route.keepers == (("d", ((100, 200), (QUARTER - 5, QUARTER))),)
    assert route.settling == ((100, 200), (QUARTER - 5, QUARTER)), "it may let go meanwhile"


def test_debts_of_a_member_that_cannot_be_read_leave_the_span_settling() -> None:
    now = standing("abcd", owed={"a": {"b": quarter(0)}})
    assert not quarters(now).route_spans(quarter(0)).settling
    route = quarters(now.without(frozenset("b"))).route_spans(quarter(0))
    assert route.settling == quarter(0) and not route.keepers


def test_a_member_of_whom_nothing_is_known_leaves_everything_settling() -> None:
    unheard = replace(standing("abc"), contact=frozenset(NAMES), unheard=frozenset("d"))
    route = quarters(unheard).route_spans(((5, QUARTER + 5),))
    assert route.settling == ((5, QUARTER + 5),)
    assert in_step_readers([((0, 10), HOLDERS[0])], "a", unheard) is None


def test_only_reader() -> None:
    holders = HolderMap(np.array([0]), np.array([0]), (("a", "b"),), 2, 0)

    def only(now: Standing) -> str | None:
        return ReaderMap(DEMO_DOMAIN, holders, now).only_reader

    assert only(standing("ab")) == "a"
    assert only(standing("b")) == "b"
    assert only(standing("ab", a=((0, QUARTER),))) is None
    assert only(standing("ab", owed={"a": {"b": quarter(0)}})) is None
    assert only(standing("ab", owed={"b": {"a": quarter(0)}})) == "a"
    assert only(replace(standing("ab"), unheard=frozenset("b"))) is None
    assert quarters(standing("abcd")).only_reader is None
    assert quarters(standing("a")).only_reader is None


def test_hedging_needs_a_replica_in_step() -> None:
    stretches = [((0, 10), ("a", "b", "c")), ((10, 20), ("a", "c", "b"))]
    whole = standing("abcd")
    assert in_step_readers(stretches, "a", whole) == {"b": ((0, 10),), "c": ((10, 20),)}
    owed = standing("abcd", owed={"b": {"a": ((0, 5),)}})
    assert in_step_readers(stretches, "a", owed) == {"c": ((0, 20),)}
    part = standing("abcd", b=((0, 5),))
    assert in_step_readers(stretches, "a", part) == {"c": ((0, 20),)}
    nobody = standing("abcd", owed={"b": {"a": ((0, 5),)}, "c": {"a": ((0, 5),)}})
    assert in_step_readers(stretches, "a", nobody) is None
    assert in_step_readers(stretches, "b", whole) is None


@pytest.mark.parametrize("seed", range(60))
def test_random_rings_against_the_rules(seed: int) -> None:
    rng = Random(seed)
    ring = random_ring(rng)
    holders = holder_map(ring)
    members = (*ring.members(), "keeper")
    contact = frozenset(name for name in members if rng.random() < 0.7) | {members[0]}
    now = Standing(
        contact=contact,
        filled={
            name: EVERYTHING if rng.random() < 0.4 else random_spans(rng)
            for name in sorted(contact)
            if rng.random() < 0.9
        },
        owed={
            name: {rng.choice(members): random_spans(rng)} for name in members if rng.random() < 0.3
        },
        unheard=frozenset(("keeper",)) if rng.random() < 0.1 else frozenset(),
    )
    without_debts = ReaderMap(ring.domain, holders, replace(now, owed={}))
    readers = ReaderMap(ring.domain, holders, now, before=without_debts)
    wanted = random_spans(rng)
    route = readers.route_spans(wanted)
    assigned: Spans = ()
    for _, spans in route.readers:
        assert not intersect(assigned, spans)
        assigned = union(assigned, spans)
    for _ in range(50):
        start, stop = rng.choice(wanted)
        code = rng.randrange(start, stop)
        check_code(code, holders.holders_at(code), now, route)
    unread = subtract(wanted, assigned)
    assert not subtract(unread, route.missing)


def check_code(code: int, holders: tuple[str, ...], now: Standing, route: Route) -> None:
    def inside(spans: Spans) -> bool:
        return any(start <= code < stop for start, stop in spans)

    def reads(pairs: tuple[tuple[str, Spans], ...]) -> set[str]:
        return {name for name, spans in pairs if inside(spans)}

    present = [name for name in holders if name in now.contact]
    there = [name for name in sorted(now.contact) if inside(now.filled.get(name, ()))]
    fit = [name for name in present if name in there]
    former = there[:1] if not fit else []
    reader = (fit or former or present or [None])[0]
    assert reads(route.readers) == ({reader} if reader else set())
    assert inside(route.missing) == (not there)
    assert inside(route.stand_ins.get(holders[0], ())) == (bool(there) and reader != holders[0])
    indebted = [reader] if fit else [reader, *holders]
    owing = {
        debtor
        for name in indebted
        for debtor, spans in now.owed.get(name or "", {}).items()
        if inside(spans) and debtor != reader
    }
    besides = set() if fit else set(present) - {reader}
    assert reads(route.keepers) == (owing & now.contact) | besides
    open_debts = any(name not in now.contact or name not in holders for name in owing)
    assert inside(route.settling) == (open_debts or bool(former) or bool(now.unheard))


@pytest.mark.parametrize("seed", range(30))
def test_boxes_are_routed_as_their_codes_are(seed: int) -> None:
    rng = Random(seed)
    ring = founding_ring(
        "c", DEMO_DOMAIN, 4, [f"n{i}" for i in range(rng.choice((1, 2, 4, 8, 16)))]
    )
    holders = holder_map(ring)
    everybody = dict.fromkeys(ring.members(), EVERYTHING)
    readers = ReaderMap(ring.domain, holders, Standing(frozenset(everybody), everybody))
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
    readers = quarters(standing("abcd"))
    corner = (DEMO_DOMAIN.east, DEMO_DOMAIN.north, DEMO_DOMAIN.east, DEMO_DOMAIN.north)
    assert [name for name, _ in readers.route_box(corner, None).readers] == ["d"]


def test_rings_of_many_cells_use_covers() -> None:
    rng = Random(1)
    ring = random_ring(rng)
    holders = holder_map(ring)
    everybody = dict.fromkeys(ring.members(), EVERYTHING)
    readers = ReaderMap(ring.domain, holders, Standing(frozenset(everybody), everybody))
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
