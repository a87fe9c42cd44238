"""The ring against a dict of grains; the laws of merging; any bytes."""

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zring.domain import DEMO_DOMAIN
from zring.errors import InvalidDocument
from zring.ring import Ring, RingSpan, Settings, founding_ring, from_document, merge, to_document
from zring.span import normalise

LEVEL = 2
GRAINS = 4**LEVEL
GRAIN = (1 << 62) // GRAINS
names = st.sampled_from(["a", "b", "c"])
cells = st.tuples(st.integers(0, 3), names, st.none() | names)

ring_settings = st.builds(
    Settings,
    epoch=st.integers(0, 2),
    placement=st.sampled_from(["halo", "edge"]),
    replicas=st.integers(0, 2),
    archives=st.lists(st.sampled_from(["x", "y"]), max_size=2).map(tuple),
    expiry_days=st.dictionaries(st.sampled_from(["rain", "wind"]), st.integers(0, 3)),
)


@st.composite
def rings(draw: st.DrawFn) -> Ring:
    values = draw(st.lists(cells, min_size=GRAINS, max_size=GRAINS))
    spans = tuple(
        RingSpan(at * GRAIN, (at + 1) * GRAIN, owner, following, epoch)
        for at, (epoch, owner, following) in enumerate(values)
    )
    return Ring("laws", DEMO_DOMAIN, LEVEL, draw(ring_settings), spans)


def as_dict(ring: Ring) -> dict[int, tuple[int, str, str | None]]:
    found = (ring.span_at(at * GRAIN) for at in range(GRAINS))
    return {at: (span.epoch, span.owner, span.next) for at, span in enumerate(found)}


def is_normal(ring: Ring) -> bool:
    return all(
        one.rank() != other.rank() for one, other in zip(ring.spans, ring.spans[1:], strict=False)
    )


@settings(derandomize=True, deadline=None, max_examples=200)
@given(rings(), rings(), rings())
def test_merging_is_commutative_associative_idempotent(a: Ring, b: Ring, c: Ring) -> None:
    assert merge(a, a) == a
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, b).digest() == merge(b, a).digest()
    assert merge(merge(a, b), b) == merge(a, b)
    assert is_normal(merge(a, b))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(rings(), rings())
def test_merging_equals_merging_dicts(a: Ring, b: Ring) -> None:
    mine, theirs = as_dict(a), as_dict(b)
    expected = {
        at: max(mine[at], theirs[at], key=lambda cell: (cell[0], cell[1], cell[2] or ""))
        for at in range(GRAINS)
    }
    assert as_dict(merge(a, b)) == expected


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    rings(),
    st.lists(st.tuples(st.integers(0, GRAINS), st.integers(0, GRAINS)), max_size=4),
    names,
    st.none() | names,
)
def test_assigning_equals_changing_a_dict(
    ring: Ring, ranges: list[tuple[int, int]], owner: str, following: str | None
) -> None:
    before = as_dict(ring)
    spans = normalise((start * GRAIN, stop * GRAIN) for start, stop in ranges)
    changed = ring.assign(spans, owner=owner, next=following)
    for at, (epoch, *value) in as_dict(changed).items():
        inside = any(start <= at < stop for start, stop in ranges)
        if inside and before[at][1:] != (owner, following):
            assert (epoch, *value) == (ring.epoch + 1, owner, following)
        else:
            assert (epoch, *value) == before[at]
    # A change always wins against the ring that it was made on.
    assert merge(ring, changed) == changed
    assert is_normal(changed)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(rings())
def test_documents_come_back(ring: Ring) -> None:
    again = from_document(to_document(ring))
    assert again == ring and again.digest() == ring.digest()
    assert to_document(again) == to_document(ring)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_the_one_error(document: bytes) -> None:
    with pytest.raises(InvalidDocument):
        from_document(document)


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text()
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(
    st.sampled_from(
        [
            "version",
            "cluster",
            "domain",
            "grain_level",
            "settings",
            "nodes",
            "starts",
            "owners",
            "nexts",
            "epochs",
            "settings.epoch",
            "settings.archives",
            "settings.expiry_days",
            "settings.placement",
            "settings.replicas",
            "settings.far_copies",
        ]
    ),
    plain_values,
)
def test_any_field_may_be_anything(field: str, value: object) -> None:
    ring = founding_ring("demo", DEMO_DOMAIN, LEVEL, ["a", "b"])
    plain = msgpack.unpackb(to_document(ring))
    *path, last = field.split(".")
    target = plain["settings"] if path else plain
    target[last] = value
    try:
        read = from_document(msgpack.packb(plain))
    except InvalidDocument:
        return
    assert from_document(to_document(read)) == read


@settings(derandomize=True, deadline=None, max_examples=200)
@given(rings(), st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_byte_decodes_or_raises(ring: Ring, at: int, byte: int) -> None:
    document = bytearray(to_document(ring))
    document[at % len(document)] = byte
    try:
        read = from_document(bytes(document))
    except InvalidDocument:
        return
    assert from_document(to_document(read)) == read
    assert replace(read) == read
