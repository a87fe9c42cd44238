"""The judges themselves: each kind of fault is seen, and nothing else is."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from node.client.result import AnswerCoverage, Result
from tests.recovery.disks import look_at_stores
from tests.recovery.hand_over import Backlog, MovedRecords, percentile_ms
from tests.recovery.load import Load
from tests.recovery.operator import OperatorNodes
from tests.recovery.scripts import Z_VALUES, position_of
from tests.recovery.truth import Truth
from tests.recovery.verdict import Stores, Verdict
from zring.domain import DEMO_DOMAIN, z_value
from zring.placement import holder_map
from zring.ring import Settings, founding_ring

NAMES = ("a", "b", "c", "d")
COUNT = 1_000
RING = founding_ring("test", DEMO_DOMAIN, 8, NAMES, Settings(replicas=1))
HOLDERS = holder_map(RING)
ALL = frozenset(NAMES)


class Disks:
    """A cluster of which only the disks are looked at."""

    names = NAMES

    def __init__(self, tables: dict[str, pa.Table]) -> None:
        self._tables = tables

    @contextmanager
    def client(self, name: str, *, timeout_s: float = 1.0) -> Iterator[Any]:
        yield self
        self.name = name

    def stored(self, collection: str) -> pa.Table:
        return self._tables[next(self._turn)]

    def look(self, truth: Truth) -> Stores:
        self._turn = iter(NAMES)
        return look_at_stores(self, NAMES, truth, HOLDERS)  # type: ignore[arg-type]


@pytest.fixture
def truth() -> Truth:
    made = Truth.scattered(COUNT, DEMO_DOMAIN, seed=3)
    made.send(0, COUNT)
    made.acknowledge(0, COUNT, door="a", disks=1, reach=ALL)
    return made


@pytest.fixture
def tables(truth: Truth) -> dict[str, pa.Table]:
    """Every record on its holders."""
    table = truth.table(0, COUNT)
    digests = pa.array(np.arange(COUNT, dtype=np.uint64) + np.uint64(7))
    table = table.append_column("digest", digests).append_column(
        "deleted", pa.array(np.zeros(COUNT, np.bool_))
    )
    held = [HOLDERS.holders_at(code) for code in truth.code.tolist()]
    return {name: table.filter(pa.array([name in nodes for nodes in held])) for name in NAMES}


def test_disks_as_they_should_be(truth: Truth, tables: dict[str, pa.Table]) -> None:
    stores = Disks(tables).look(truth)
    assert stores.right
    assert stores.stored == COUNT
    assert sum(count.records for count in stores.nodes.values()) == 2 * COUNT


def test_every_kind_of_wrong_disk_is_seen(truth: Truth, tables: dict[str, pa.Table]) -> None:
    whole = tables["a"]
    missing = Disks({**tables, "a": whole.slice(1)}).look(truth)
    assert (missing.nodes["a"].missing, missing.lost, missing.right) == (1, 0, False)
    twice = Disks({**tables, "a": pa.concat_tables([whole, whole.slice(0, 2)])}).look(truth)
    assert (twice.nodes["a"].twice, twice.right) == (2, False)
    everything = pa.concat_tables([tables["a"], tables["d"]])
    assert Disks({**tables, "a": everything}).look(truth).nodes["a"].misplaced
    digests = whole["digest"].to_numpy() + np.uint64(1)
    other = whole.set_column(whole.column_names.index("digest"), "digest", pa.array(digests))
    assert sum(count.altered for count in Disks({**tables, "a": other}).look(truth).nodes.values())
    nothing = {name: table.slice(0, 0) for name, table in tables.items()}
    assert Disks(nothing).look(truth).lost == COUNT


def judged(truth: Truth, table: pa.Table, state: Any, **details: Any) -> Verdict:
    """The verdict on one answer over all records."""
    verdict = Verdict("test", "")
    load = Load(Disks({}), truth, verdict, DEMO_DOMAIN, HOLDERS)  # type: ignore[arg-type]
    coverage = AnswerCoverage(state, {"as_of": "2999-01-01T00:00:00Z", **details})
    load.judge("a", (0, COUNT), None, 1 << 62, Result(table, coverage))
    return verdict


def test_words_are_held_to_what_they_promise(truth: Truth) -> None:
    whole, short = truth.table(0, COUNT), truth.table(1, COUNT)
    assert judged(truth, whole, "complete").passed
    assert judged(truth, short, "complete").words_wrong == 1
    assert judged(truth, short, "local").words_wrong == 1
    everywhere, elsewhere = [[-180, -90, 180, 90]], [[0, 0, 1, 1]]
    assert judged(truth, short, "settling", settling=everywhere).passed
    assert judged(truth, short, "partial", missing=everywhere).passed
    assert judged(truth, short, "settling", settling=elsewhere).words_wrong == 1
    assert judged(truth, short, "partial", missing=elsewhere).words_wrong == 1
    assert judged(truth, whole, "partial").answers_wrong == 1, "it must name the area"
    assert judged(truth, whole, "complete", settling=elsewhere).answers_wrong == 1
    assert judged(truth, short, "complete", as_of="1999-01-01T00:00:00Z").passed
    away = {"d": "2024-01-01T00:00:00Z"}
    assert judged(truth, whole, "complete", away=away).answers_wrong == 1


def test_records_twice_or_from_nowhere_are_wrong_whatever_the_word(truth: Truth) -> None:
    whole = truth.table(0, COUNT)
    assert judged(truth, pa.concat_tables([whole, whole.slice(0, 1)]), "partial").answers_wrong
    moved = whole.set_column(2, "lon", pa.array(whole["lon"].to_numpy() + 1e-7))
    assert judged(truth, moved, "partial").answers_wrong


def test_what_a_node_that_is_away_may_have_taken_need_not_be_there(truth: Truth) -> None:
    def certain(*away: str) -> list[bool]:
        found = truth.certain(0, COUNT, before_us=1 << 62, away=frozenset(away), holders=HOLDERS)
        return list(found.tolist())

    held = [set(HOLDERS.holders_at(code)) for code in truth.code.tolist()]
    assert all(certain())
    assert certain("d") == ["d" not in nodes for nodes in held]
    assert not any(certain("a")), "a was the door of all"
    truth.acknowledge(0, COUNT, door="a", disks=2, reach=ALL)
    assert certain("a", "b") == [bool(nodes - {"a", "b"}) for nodes in held]
    truth.acknowledge(0, COUNT, door="a", disks=1, reach=frozenset("ad"))
    assert all(certain("b", "c")), "taken on this side of the cut"


def test_which_part_of_a_backlog_came_first_is_seen(
    truth: Truth, tables: dict[str, pa.Table]
) -> None:
    # "b" missed what others took: all that it holds, since "a" was the door of everything.
    whole = tables["b"]
    times = whole["time"].cast(pa.int64()).to_numpy()
    newest, oldest = whole.filter(times > np.median(times)), whole.filter(times <= np.median(times))
    for first, is_right in ((newest, True), (oldest, False)):
        disk = Disks({})
        looks = iter((whole.slice(0, 0), first, whole))
        disk.stored = lambda _, looks=looks: next(looks)  # type: ignore
        backlog = Backlog(truth, HOLDERS, "b", first=0, last=COUNT)
        assert len(backlog.numbers) == len(whole)
        seen = [backlog.look(disk, "b", truth) for _ in range(3)]  # type: ignore[arg-type]
        assert seen == [False, False, True]
        assert backlog.newest_first == is_right


def test_moved_records_are_counted_across_restarts() -> None:
    said = iter((b"5", b"9", b"2", b"2"))

    class Metrics(Disks):
        def client(self, name: str) -> Any:  # type: ignore[override]
            return nullcontext(self)

        def metrics(self) -> str:
            return f"# TYPE\nzring_records_moved_total {next(said).decode()}\n"

    moved = MovedRecords(Metrics({}), ["a"])  # type: ignore[arg-type]
    for _ in range(3):
        moved.look()
    assert "         6   copies" in moved.text(), "4, then 2 after a restart"


def test_a_percentile_needs_enough_answers_of_its_own_time() -> None:
    taken = [(float(at), 0.001 * at) for at in range(200)]
    assert percentile_ms(taken, start_s=0, stop_s=100) == pytest.approx(98.01)
    assert percentile_ms(taken, start_s=0, stop_s=49) is None


def test_positions_of_z_values_lie_where_they_say() -> None:
    for value in Z_VALUES:
        lon, lat = position_of(DEMO_DOMAIN, value)
        code = DEMO_DOMAIN.position_to_code(lon=lon, lat=lat)
        assert value <= z_value(code) < value + 1e-3
        assert RING.owner_of(code) == NAMES[int(4 * value)]


def test_commands_of_an_own_cluster_get_the_values_of_its_nodes(tmp_path: Path) -> None:
    said = tmp_path / "said"
    file = tmp_path / "cluster.toml"
    file.write_text(
        '[[node]]\nname = "a"\nurl = "http://127.0.0.1:9"\nhost = "h1"\n'
        '[[node]]\nname = "b"\nurl = "http://127.0.0.1:9"\nhost = "h2"\n'
        f'[commands]\ncut = "echo cut {{host}} >>{said}"\nheal = "echo heal {{host}} >>{said}"\n'
        f'cut_way = "echo {{source[host]}} {{target[host]}} >>{said}"\nheal_way = "true"\n'
        'stop = "false"\npause = "true"\n'
    )
    nodes = OperatorNodes(file)
    assert nodes.actions == {"cut", "cut_way", "stop"}, "a pause without an end is none"
    nodes.cut("b")
    nodes.cut_way("a", "b")
    with pytest.raises(RuntimeError, match="stop of a"):
        nodes.stop("a")
    nodes.close()
    assert said.read_text().splitlines() == ["cut h2", "h1 h2", "heal h2"]
