"""Filters: text to JSON, JSON to a mask, against a dumb evaluation row by row."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from node.errors import BadRequest
from node.filter import FILTER_BYTES_MAX, filter_mask, filter_names, parse_filter
from node.records import JSON, Rows
from zring.domain import DEMO_DOMAIN

TEMPERATURES = [21.5, None, 30.0, -4.0, 30.5, 12.0]
COUNTS = [1, 2, None, 4, 5, 6]
NAMES = ["rain", "sun", None, "rainbow", "fog", "Rain"]
WET = [True, False, None, True, False, False]


@pytest.fixture(scope="module")
def rows() -> Rows:
    lon = np.linspace(1_350_000_000, 1_360_000_000, 6).astype(np.int32)
    lat = np.linspace(330_000_000, 340_000_000, 6).astype(np.int32)
    return Rows.build(
        time=np.arange(6, dtype=np.int64) * 86_400_000_000,
        lon=lon,
        lat=lat,
        code=DEMO_DOMAIN.positions_to_codes(lon=lon, lat=lat),
        sensor=pa.array(["A", "B", "C", "A", "B", "C"]),
        values={
            "temp": pa.array(TEMPERATURES, pa.float64()),
            "count": pa.array(COUNTS, pa.int64()),
            "name": pa.array(NAMES),
            "wet": pa.array(WET),
            "odd": pa.ExtensionArray.from_storage(JSON, pa.array(["1", None, "2", "3", "4", "5"])),
        },
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("temp > 20", [0, 2, 4]),
        ("temp > 20 AND NOT name = 'rain'", [4]),
        ("temp >= 30 OR count = 4", [2, 3, 4]),
        ("temp BETWEEN 12 AND 30", [0, 2, 5]),
        ("count IN (1, 5, 7)", [0, 4]),
        ("count IN (2.5)", []),
        ("NOT count IN (1, 5)", [1, 3, 5]),
        ("name LIKE 'rain%'", [0, 3]),
        ("NOT name LIKE 'rain%'", [1, 4, 5]),
        ("name IS NULL", [2]),
        ("name IS NOT NULL AND temp IS NULL", [1]),
        ("wet = TRUE", [0, 3]),
        ("wet <> TRUE", [1, 4, 5]),
        ("sensor = 'A'", [0, 3]),
        ("sensor IN ('A', 'C') AND temp < 15", [3, 5]),
        ("time >= TIMESTAMP('1970-01-03T00:00:00Z')", [2, 3, 4, 5]),
        ("time < DATE('1970-01-02')", [0]),
        ("lon < 135.5", [0, 1, 2]),
        ("lat > 33.5", [3, 4, 5]),
        ("temp + count > 30", [4]),
        ("temp - 1.5 = 20", [0]),
        ("temp * 2 > count / 2", [0, 4, 5]),
        ("absent > 3", []),
        ("NOT absent > 3", []),
        ("absent IS NULL", [0, 1, 2, 3, 4, 5]),
        ("temp = 'warm'", []),
        ("NOT temp = 'warm'", []),
        ("temp > count", [0, 4, 5]),
        ("name = 'fog' OR absent = 1", [4]),
    ],
)
def test_mask(rows: Rows, text: str, expected: list[int]) -> None:
    assert np.flatnonzero(filter_mask(rows, parse_filter(text))).tolist() == expected


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "=", "<>"])
def test_comparisons_against_python(rows: Rows, operator: str) -> None:
    python = {"=": "==", "<>": "!="}.get(operator, operator)
    for limit in (-4, 12, 21.5, 30, 31):
        mask = filter_mask(rows, parse_filter(f"temp {operator} {limit}"))
        dumb = [
            value is not None and bool(eval(f"{value} {python} {limit}")) for value in TEMPERATURES
        ]
        assert mask.tolist() == dumb


def test_no_rows(rows: Rows) -> None:
    none = rows.slice(0, 0)
    assert filter_mask(none, parse_filter("temp > 1 AND name LIKE 'a%'")).tolist() == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "temp >",
        "temp",
        "42",
        "temp = ",
        "S_INTERSECTS(geometry, POINT(1 2))",
        "CASEI(name) = 'a'",
        "temp > 1 " + "AND temp > 1 " * 2_000,
        "(" * 300 + "temp > 1" + ")" * 300,
        "time > TIMESTAMP('yesterday')",
        "x" * (FILTER_BYTES_MAX + 1),
        "name LIKE count",
        "\x00",
        "temp > 1; DROP TABLE records",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_filter(text)
    assert caught.value.field == "filter"


def test_names() -> None:
    expression: Any = parse_filter("temp > 1 AND (sensor = 'A' OR NOT rain IN (1, 2))")
    assert filter_names(expression) == {"temp", "sensor", "rain"}
