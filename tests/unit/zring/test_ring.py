"""The ring: founding, changes, documents."""

import msgpack
import pytest

from zring.domain import DEMO_DOMAIN, WORLD, z_value
from zring.errors import DifferentCluster, InvalidDocument
from zring.morton import CODE_STOP
from zring.ring import (
    EPOCH_MAX,
    Ring,
    RingSpan,
    Settings,
    founding_ring,
    from_document,
    merge,
    to_document,
)

NODES = ["n1", "n2", "n3", "n4"]
QUARTER = CODE_STOP // 4


def four() -> Ring:
    return founding_ring("demo", DEMO_DOMAIN, 8, NODES)


@pytest.mark.parametrize(
    ("z", "owner"), [(0.0, "n1"), (0.249, "n1"), (0.49, "n2"), (0.5, "n3"), (0.75, "n4")]
)
def test_published_records_go_to_their_nodes(z: float, owner: str) -> None:
    code = int(z * CODE_STOP)
    assert z_value(code) == pytest.approx(z)
    assert four().owner_of(code) == owner


@pytest.mark.parametrize(
    ("lon", "lat", "owner"),
    [(135.1, 33.1, "n1"), (135.1, 34.1, "n2"), (136.1, 33.1, "n3"), (136.1, 34.1, "n4")],
)
def test_four_founders_own_southwest_northwest_southeast_northeast(
    lon: float, lat: float, owner: str
) -> None:
    code = DEMO_DOMAIN.position_to_code(lon=round(lon * 1e7), lat=round(lat * 1e7))
    assert four().owner_of(code) == owner


@pytest.mark.parametrize("count", [1, 3, 5, 7, 64])
def test_founders_get_equal_spans_on_grains(count: int) -> None:
    ring = founding_ring("demo", DEMO_DOMAIN, 3, [f"n{index:02}" for index in range(count)])
    grains = [(span.stop - span.start) // ring.grain_codes for span in ring.spans]
    assert sum(grains) == 64 and max(grains) - min(grains) <= 1
    assert ring.owners() == ring.members() == tuple(f"n{index:02}" for index in range(count))


@pytest.mark.parametrize("founders", [[], ["a", "a"], [f"n{i}" for i in range(5)], [""], ["\n"]])
def test_no_founders(founders: list[str]) -> None:
    with pytest.raises(InvalidDocument):
        founding_ring("demo", DEMO_DOMAIN, 1, founders)


def test_a_change_takes_a_new_epoch_and_cuts_spans() -> None:
    ring = four().assign(((0, QUARTER // 4), (QUARTER // 2, QUARTER + QUARTER // 4)), owner="n9")
    assert ring.owned("n9") == ((0, QUARTER // 4), (QUARTER // 2, QUARTER + QUARTER // 4))
    assert ring.owned("n1") == ((QUARTER // 4, QUARTER // 2),)
    assert ring.epoch == 1 and ring.span_at(CODE_STOP - 1).epoch == 0
    assert ring.members() == ("n1", "n2", "n3", "n4", "n9")


def test_a_move_is_two_changes() -> None:
    span = ((0, QUARTER // 2),)
    announced = four().announce(span, next="n9")
    assert announced.owned("n1") == ((0, QUARTER),) and announced.expected("n9") == span
    assert "n9" in announced.members() and "n9" not in announced.owners()
    done = announced.hand_over(span)
    assert done.owned("n9") == span and done.expected("n9") == () and done.epoch == 2


def test_a_change_that_changes_nothing_keeps_the_digest() -> None:
    ring = four()
    assert ring.assign(((0, QUARTER),), owner="n1").digest() == ring.digest()


def test_neighbours_with_equal_values_are_joined() -> None:
    spans = tuple(
        RingSpan(start * QUARTER, (start + 1) * QUARTER, "a", None, 0) for start in range(4)
    )
    ring = Ring("demo", DEMO_DOMAIN, 8, Settings(), spans)
    assert ring.spans == (RingSpan(0, CODE_STOP, "a", None, 0),)


@pytest.mark.parametrize(
    "spans",
    [
        (),
        (RingSpan(0, QUARTER, "a", None, 0),),
        (RingSpan(0, 5, "a", None, 0), RingSpan(5, CODE_STOP, "b", None, 0)),
        (RingSpan(0, QUARTER, "a", None, 0), RingSpan(QUARTER * 2, CODE_STOP, "b", None, 0)),
        (RingSpan(0, CODE_STOP, "", None, 0),),
        (RingSpan(0, CODE_STOP, "a", "x" * 200, 0),),
        (RingSpan(0, CODE_STOP, "a", None, -1),),
        (RingSpan(0, CODE_STOP, "a\ud800", None, 0),),
    ],
)
def test_no_rings(spans: tuple[RingSpan, ...]) -> None:
    with pytest.raises(InvalidDocument):
        Ring("demo", DEMO_DOMAIN, 8, Settings(), spans)


def test_an_epoch_has_an_end() -> None:
    ring = Ring("d", DEMO_DOMAIN, 8, Settings(), (RingSpan(0, CODE_STOP, "a", None, EPOCH_MAX),))
    with pytest.raises(InvalidDocument, match="epoch"):
        ring.assign(((0, QUARTER),), owner="b")


def test_settings_are_checked_and_sorted() -> None:
    assert Settings(archives=("b", "a", "b")).archives == ("a", "b")
    for wrong in (
        {"placement": "nearby"},
        {"replicas": -1},
        {"replicas": 1000},
        {"far_copies": -1},
        {"archives": ("",)},
        {"expiry_days": {"rain": 1 << 40}},
    ):
        with pytest.raises(InvalidDocument):
            Settings(**wrong)  # type: ignore[arg-type]


def test_expiry_days_never_go_back() -> None:
    early = four().with_settings(expiry_days={"rain": 10, "wind": 3})
    late = four().with_settings(expiry_days={"rain": 7, "snow": 1}).with_settings(replicas=1)
    merged = merge(early, late)
    assert merged.settings.expiry_days == {"rain": 10, "wind": 3, "snow": 1}
    assert merged.settings.replicas == 1 and merged == merge(late, early)


def test_another_cluster_is_never_merged() -> None:
    for other in (
        founding_ring("other", DEMO_DOMAIN, 8, NODES),
        founding_ring("demo", WORLD, 8, NODES),
        founding_ring("demo", DEMO_DOMAIN, 7, NODES),
    ):
        with pytest.raises(DifferentCluster):
            merge(four(), other)


def test_the_digest_is_the_same_everywhere() -> None:
    assert four().digest() == 0x54FA5F3CB7074EA4
    assert len(to_document(four())) < 250


def test_unknown_fields_are_ignored() -> None:
    plain = msgpack.unpackb(to_document(four()))
    plain["colour"] = "blue"
    plain["settings"]["mood"] = 3
    assert from_document(msgpack.packb(plain)) == four()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("version", True),
        ("cluster", 5),
        ("domain", [0, 0, 0, 0]),
        ("domain", [1, 2, 3]),
        ("grain_level", 0),
        ("grain_level", 32),
        ("settings", None),
        ("nodes", ["a"]),
        ("starts", [0, 5, 5, 9]),
        ("starts", [1, 2, 3, 4]),
        ("starts", []),
        ("starts", [0]),
        ("owners", [0, 1, 2, -1]),
        ("nexts", [0, 0, 0, 4]),
        ("epochs", [0, 0, 0, 1.5]),
        ("epochs", [0, 0, 0, 1 << 60]),
        ("epochs", [0, 0, 0, True]),
    ],
)
def test_wrong_fields_are_refused(field: str, value: object) -> None:
    plain = msgpack.unpackb(to_document(four()))
    plain[field] = value
    with pytest.raises(InvalidDocument):
        from_document(msgpack.packb(plain))
    del plain[field]
    with pytest.raises(InvalidDocument):
        from_document(msgpack.packb(plain))
