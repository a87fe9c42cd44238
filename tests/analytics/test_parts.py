"""The parts below the readers, without Spark's processes: tasks, conditions, types, coverage."""

import socket
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql.datasource import (
    EqualNullSafe,
    EqualTo,
    Filter,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    IsNotNull,
    IsNull,
    LessThan,
    LessThanOrEqual,
    Not,
    StringContains,
    StringStartsWith,
)
from pyspark.sql.types import StructType

from analytics.errors import BadOption, CoverageInsufficient
from analytics.source.cluster import Holdings, Ring
from analytics.source.conditions import narrow
from analytics.source.coverage import CoverageRule
from analytics.source.fields import arrow_schema, read_fields, spark_schema
from analytics.source.options import read_options, write_options
from analytics.source.pages import nearest_first
from analytics.source.selection import Selection, degrees_text, least_e7, most_e7
from analytics.source.slices import Cut, plan_slices
from analytics.source.widening import fit
from node.client.result import AnswerCoverage
from node.client.routing import RingView
from node.records import JSON
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_STOP
from zring.span import EVERYTHING, intersect, normalise

KINDS = {"temp": "number", "name": "text", "ok": "boolean", "raw": "bytes", "odd": "json"}
FIELDS = read_fields(spark_schema(KINDS, None), KINDS)
DAY_US = 86_400_000_000
QUARTER = CODE_STOP // 4


def parse(text: str) -> StructType:
    """A schema from `name type, …`."""
    schema = StructType()
    for field in text.split(", "):
        schema = schema.add(*field.split(" "))
    return schema


def ring(*, archives: tuple[str, ...] = (), scattered: bool = False) -> Ring:
    pieces = 1_024 if scattered else 4
    starts = [index * (CODE_STOP // pieces) for index in range(pieces)]
    names = ["n1", "n2", "n3", "n4"]
    document = {
        "digest": "d",
        "domain": DEMO_DOMAIN.degrees(),
        "spans": [{"start": str(s), "owner": names[i % 4]} for i, s in enumerate(starts)],
        "nodes": [
            {"id": name, "url": f"http://{name}", "state": "alive"} for name in (*names, *archives)
        ],
    }
    return Ring(RingView.from_json(document), archives)


HOLDINGS = Holdings(KINDS, 10_000_000, 0, 10 * DAY_US - 1)


@pytest.mark.parametrize("cut", [
    Cut(None, None, "owner"), Cut(None, 7, "owner"), Cut(DAY_US * 3, None, "owner"),
])  # fmt: skip
@pytest.mark.parametrize("scattered", [False, True])
def test_tasks_cover_every_code_and_time_once(cut: Cut, scattered: bool) -> None:
    selection = Selection().within_time(start=DAY_US // 2)
    slices = plan_slices(ring(scattered=scattered), HOLDINGS, selection, cut)
    by_time: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for part in slices:
        by_time.setdefault((part.time_start, part.time_stop), []).extend(part.spans)
        assert len(part.urls) == 4
    for spans in by_time.values():
        assert normalise(spans) == EVERYTHING
        assert sum(stop - start for start, stop in spans) == CODE_STOP
    times = sorted(by_time)
    assert times[0][0] == selection.time_start and times[-1][1] == selection.time_stop
    assert all(before[1] == after[0] for before, after in pairwise(times))
    assert len(times) == (4 if cut.slice_us else 1 if scattered else {None: 3, 7: 2}[cut.tasks])


def test_a_box_asks_only_the_owners_that_it_touches() -> None:
    south_west = Selection().within_lon(least=0, most=least_e7(135.5)).within_lat(
        most=least_e7(33.5)
    )  # fmt: skip
    slices = plan_slices(ring(), HOLDINGS, south_west, Cut(None, 1, "owner"))
    assert {part.urls[0] for part in slices} == {"http://n1"}
    assert all(intersect(part.spans, ((0, QUARTER),)) == part.spans for part in slices)
    nowhere = Selection().within_lon(least=least_e7(150.0))
    assert plan_slices(ring(), HOLDINGS, nowhere, Cut(None, 1, "owner")) == []


def test_archives_are_asked_first_where_they_are_wanted() -> None:
    cut = Cut(None, 1, "archive")
    slices = plan_slices(ring(archives=("hub",)), HOLDINGS, Selection(), cut)
    assert {part.urls[0] for part in slices} == {"http://hub"}
    with pytest.raises(BadOption, match="no archive is in contact"):
        plan_slices(ring(), HOLDINGS, Selection(), cut)


def test_nodes_that_take_no_connection_are_asked_last() -> None:
    with ExitStack() as stack:
        near, full, gone = (stack.enter_context(socket.socket()) for _ in range(3))
        for listener in (near, full, gone):
            listener.bind(("127.0.0.1", 0))
        near.listen()
        # A queue that is full lets a connection wait, like a node that hangs or lies far away.
        full.listen(0)
        waiting = stack.enter_context(socket.create_connection(full.getsockname()))
        urls = ["http://{}:{}".format(*one.getsockname()) for one in (full, gone, near)]
        assert nearest_first(urls) == (urls[2], urls[0], urls[1])
        assert waiting.getpeername() == full.getsockname()


def test_too_many_tasks_are_refused() -> None:
    with pytest.raises(BadOption, match="longer timeSlice"):
        plan_slices(ring(), HOLDINGS, Selection(), Cut(60_000_000, None, "owner"))


def test_edges_in_e7_mean_what_degrees_mean() -> None:
    rng = np.random.default_rng(5)
    positions = rng.integers(-1_800_000_000, 1_800_000_000, 200)
    for position in positions.tolist():
        for degrees in (position / 1e7, np.nextafter(position / 1e7, 400), position / 1e7 + 3e-8):
            near = [position + step for step in range(-3, 4)]
            expected = {
                "ge": [p for p in near if p / 1e7 >= degrees],
                "lt": [p for p in near if p / 1e7 < degrees],
            }
            assert least_e7(degrees) == expected["ge"][0]
            assert most_e7(degrees, below=True) == expected["lt"][-1]
            assert least_e7(degrees, above=True) == most_e7(degrees) + 1
        assert round(float(degrees_text(position)) * 1e7) == position


TAKEN: list[tuple[Filter, str]] = [
    (GreaterThan(("temp",), 30), '"temp" > 30.0'),
    (EqualNullSafe(("temp",), 3), '("temp" IS NOT NULL AND "temp" = 3.0)'),
    (EqualNullSafe(("temp",), None), '"temp" IS NULL'),
    (In(("temp",), (1, 2.5)), '"temp" IN (1.0, 2.5)'),
    (Not(In(("name",), ("a", "it's"))), "NOT (\"name\" IN ('a', 'it''s'))"),
    (Not(EqualTo(("lon",), 135.5)), 'NOT ("lon" = 135.5)'),
    (EqualTo(("ok",), True), '"ok" = TRUE'),
    (IsNotNull(("name",)), '"name" IS NOT NULL'),
    (StringStartsWith(("sensor",), "s1"), "\"sensor\" LIKE 's1%'"),
    (LessThan(("sensor",), "m"), "\"sensor\" < 'm'"),
]
LEFT: list[Filter] = [
    EqualTo(("odd",), "1"),
    IsNull(("odd",)),
    EqualTo(("raw",), b"x"),
    GreaterThan(("temp",), float("nan")),
    EqualTo(("temp",), 1 << 60),
    StringContains(("name",), "100%"),
    In(("temp",), (1, None)),
    EqualTo(("version",), 0),
    EqualTo(("time",), datetime(2023, 7, 1)),
    EqualTo(("unknown",), 1),
    EqualTo(("deep", "er"), 1),
]


@pytest.mark.parametrize(("condition", "text"), TAKEN, ids=[text for _, text in TAKEN])
def test_conditions_become_texts(condition: Filter, text: str) -> None:
    selection, left = narrow(Selection(), [condition], FIELDS)
    assert (selection.filter, left) == (text, [])


@pytest.mark.parametrize("condition", LEFT, ids=[repr(condition) for condition in LEFT])
def test_conditions_that_mean_something_else_stay(condition: Filter) -> None:
    selection, left = narrow(Selection(), [condition], FIELDS)
    assert selection == Selection() and left == [condition]


def test_bounds_narrow_the_question() -> None:
    moment = datetime(1970, 1, 2, tzinfo=UTC)
    conditions: list[Filter] = [
        GreaterThanOrEqual(("lon",), 135.2), LessThan(("lat",), 34.0),
        GreaterThan(("time",), moment), LessThanOrEqual(("time",), moment.replace(day=3)),
        In(("sensor",), ("a", "b", None)), Not(EqualTo(("sensor",), "b")),
    ]  # fmt: skip
    selection, left = narrow(Selection(), conditions, FIELDS)
    assert left == []
    assert (selection.west, selection.north) == (1_352_000_000, 339_999_999)
    assert (selection.time_start, selection.time_stop) == (DAY_US + 1, 2 * DAY_US + 1)
    assert selection.sensors == {"a", "b"}
    assert selection.filter == "NOT (\"sensor\" = 'b')"
    names = In(("sensor",), tuple(f"sensor-{number}" for number in range(1_000)))
    assert narrow(Selection(), [names], FIELDS)[1] == [names]


def test_pages_of_any_types_fit_one_schema() -> None:
    schema = parse("sensor string, temp double, name string, ok boolean, raw binary, odd string")
    fields = read_fields(schema, KINDS)
    json = pa.ExtensionArray.from_storage(
        JSON, pa.array(['"x"', "2", "true", '{"base64":"AAE="}', None])
    )
    page = pa.table({"sensor": ["s"] * 5} | dict.fromkeys(KINDS, json))
    found = fit(page, fields, arrow_schema(schema)).to_pydict()
    assert found["temp"] == [None, 2.0, None, None, None]
    assert found["name"] == ["x", "2", "true", '{"base64":"AAE="}', None]
    assert found["ok"] == [None, None, True, None, None]
    assert found["raw"] == [None, None, None, b"\x00\x01", None]
    assert found["odd"] == ['"x"', "2", "true", '{"base64":"AAE="}', None]
    page = pa.table({"sensor": ["s"] * 2, "temp": [1, 2], "name": [1.5, None], "ok": [b"", None],
                     "raw": [True, False], "odd": [True, None]})  # fmt: skip
    found = fit(page, fields, arrow_schema(schema)).to_pydict()
    assert (found["temp"], found["name"], found["ok"]) == ([1.0, 2.0], ["1.5", None], [None, None])
    assert (found["raw"], found["odd"]) == ([None, None], ["true", None])
    assert fit(pa.table({"sensor": ["s"]}), fields, arrow_schema(schema)).num_columns == 6


def test_narrower_numbers_are_null_where_they_do_not_fit() -> None:
    schema = parse("temp long, small integer, single float")
    fields = read_fields(schema, {"temp": "number", "small": "number", "single": "number"})
    page = pa.table({"temp": [1.0, 2.5, 2.0**63, None], "small": [1, 1 << 31, -(1 << 31), 7],
                     "single": [0.5, 1e300, 3.0, 1.0]})  # fmt: skip
    found = fit(page, fields, arrow_schema(schema)).to_pydict()
    assert found["temp"] == [1, None, None, None]
    assert found["small"] == [1, None, -(1 << 31), 7]
    assert found["single"][0] == 0.5
    with pytest.raises(BadOption, match=r"temp cannot be read as date; choose one of double"):
        read_fields(parse("temp date"), KINDS)
    with pytest.raises(BadOption, match="lon cannot be read as float; choose one of double"):
        read_fields(parse("lon float"), KINDS)


def test_coverage_is_judged_by_the_line_that_was_set(caplog: pytest.LogCaptureFixture) -> None:
    details = {"as_of": "2024-01-01T00:00:00Z", "settling": [[135.0, 33.0, 135.8, 33.8]] * 10}
    settling = AnswerCoverage("settling", details)
    rule = CoverageRule("weather", "settling")
    rule.judge(AnswerCoverage("complete"))
    assert not caplog.text
    rule.judge(settling)
    rule.judge(settling)
    assert caplog.text.count("records may still be under way in (135, 33)-(135.8, 33.8)") == 1
    assert "and 2 more areas; as of 2024-01-01T00:00:00Z" in caplog.text
    with pytest.raises(CoverageInsufficient, match="accept it with require=settling"):
        CoverageRule("weather", "local").judge(settling)


def test_options_know_no_case_and_keep_the_token_to_themselves() -> None:
    options = read_options(
        {"URL": "a:1, https://b:2/", "Path": "weather", "TOKEN": "secret", "timeSlice": "P1D"}
    )
    assert options.access.urls == ("http://a:1", "https://b:2")
    assert options.collection == "weather" and options.slice_us == DAY_US
    assert "secret" not in repr(options)
    with pytest.raises(BadOption, match="option url is missing"):
        write_options({"collection": "c"})
    with pytest.raises(BadOption, match="option bbox is unknown here"):
        write_options({"url": "a:1", "collection": "c", "bbox": "1,2,3,4"})
    with pytest.raises(BadOption, match="exclude each other"):
        read_options({"url": "a:1", "path": "c", "datetime": "..", "from": "2024-01-01T00:00:00Z"})
