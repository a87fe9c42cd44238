"""Replicas that know different things of one record are equal."""

import pyarrow as pa

from node.query import AggregateQuery, Query
from node.records import Rows
from node.storage.engine import Engine, Scan
from zring.span import EVERYTHING

from .conftest import Bench, Play, make_rows


def marked(rows: Rows, source: str) -> Rows:
    return rows.with_values({**rows.values, "@source": pa.array([source] * len(rows))})


def sources(engine: Engine) -> set[str]:
    return set(engine.scan(Scan("c")).rows.values["@source"].to_pylist())


async def digest(engine: Engine) -> object:
    found = await engine.digests(
        "c", level=0, spans=EVERYTHING, day_start=-(1 << 31), day_stop=1 << 31, by_day=False
    )
    return found.total()


def test_after_a_cut_each_side_keeps_its_own(play: Play) -> None:
    async def test(bench: Bench) -> None:
        names = sorted(bench.cluster.nodes)
        rows = make_rows(60)
        bench.cluster.network.split(names[:1], names[1:])
        for name in names:
            await bench.service(name).write("c", marked(rows, name), timeout_ms=20_000)
        bench.cluster.network.heal()
        await bench.wait_settled()
        engines = [bench.service(name).engine for name in names]
        assert await digest(engines[0]) == await digest(engines[1])
        assert [sources(engine) for engine in engines] == [{name} for name in names]

    play(test, nodes=2, replicas=1)


def test_answers_leave_metadata_out_unless_asked(play: Play) -> None:
    async def test(bench: Bench) -> None:
        rows = make_rows(60)
        first, *_ = bench.services
        values = {**marked(rows, "kafka").values, "@sequence": pa.array(range(60))}
        await first.write("c", rows.with_values(values), w="all")
        await bench.wait_settled()
        by_source = {"op": "=", "args": [{"property": "@source"}, "kafka"]}
        for service in bench.services:
            for ask in (service.read, service.latest):
                for query in (Query("c"), Query("c", filter=by_source)):
                    answer = await ask(query)
                    assert len(answer.rows)
                    assert set(answer.rows.values) == set(rows.values)
                both = await ask(Query("c", columns=("@source", "@sequence")))
                assert set(both.rows.values) == {"@source", "@sequence"}
                assert len((await ask(Query("c", metadata=True))).rows.values) == len(values)
            for query in (Query("c"), Query("c", filter=by_source)):
                table = (await service.aggregate(AggregateQuery(query))).table
                assert not [name for name in table.column_names if "@" in name]
            named = await service.aggregate(AggregateQuery(Query("c", columns=("@sequence",))))
            assert named.table.column("@sequence_max").to_pylist() == [59.0]

    play(test)
