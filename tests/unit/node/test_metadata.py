"""Metadata are outside identity, version, content and digest."""

import numpy as np
import pyarrow as pa
import pytest

from node.codec.columns import columns_to_rows
from node.codec.decode import decode_records
from node.codec.decoded import Decoded
from node.config import Limits
from node.errors import BadRecord
from node.metadata import METADATA_NAMES, check_metadata_name, chosen_values
from node.records import (
    Rows,
    check_value_name,
    concat_rows,
    join_sorted,
    newest_rows,
    record_digests,
    sort_rows,
)
from zring.domain import DEMO_DOMAIN


def decode(**values: object) -> Decoded:
    count = 2
    columns = {
        "sensor": pa.array([f"s{number}" for number in range(count)]),
        "time": pa.array([1_689_249_600_000_000] * count),
        "lon": pa.array([135.5] * count),
        "lat": pa.array([33.5] * count),
        **{name: pa.array(cells) for name, cells in values.items()},
    }
    return columns_to_rows(columns, domain=DEMO_DOMAIN)


def rows(source: str, **values: object) -> Rows:
    return decode(temp=[1.5, 2.5], **{"@source": [source] * 2, **values}).rows


def test_digests_do_not_see_metadata() -> None:
    one, other, bare = (
        rows("kafka"),
        rows("mqtt", **{"@sequence": [7, None]}),
        decode(temp=[1.5, 2.5]),
    )
    assert (record_digests("c", one) == record_digests("c", bare.rows)).all()
    assert (record_digests("c", one) == record_digests("c", other)).all()


@pytest.mark.parametrize("join", [lambda parts: sort_rows(concat_rows(parts)), join_sorted])
def test_of_equal_records_the_first_is_kept(join: object) -> None:
    first, again = rows("first"), rows("again")
    kept = newest_rows(join([first, again]))  # type: ignore[operator]
    assert kept.values["@source"].to_pylist() == ["first"] * 2
    single = newest_rows(join([first.slice(1, 2), again]))  # type: ignore[operator]
    assert sorted(single.values["@source"].to_pylist()) == ["again", "first"]


def test_a_newer_version_brings_its_own() -> None:
    first = rows("first")
    columns = {**first.values, "@source": pa.array(["corrected"] * 2)}
    newer = Rows.build(
        time=first.time, lon=first.lon, lat=first.lat, code=first.code, sensor=first.sensor,
        values=columns, version=np.array([1, 0], np.int64),
    )  # fmt: skip
    kept = newest_rows(sort_rows(concat_rows([first, newer])))
    found = dict(zip(kept.sensor.to_pylist(), kept.values["@source"].to_pylist(), strict=True))
    assert found == {"s0": "corrected", "s1": "first"}


def test_other_names_with_the_prefix_are_refused() -> None:
    for name in METADATA_NAMES:
        check_value_name(name)
        check_metadata_name(name)
    with pytest.raises(BadRecord, match=r"'@temp' begins with '@'.*@ingested.*for example temp"):
        check_value_name("@temp")
    refused = decode(temp=[1.0, 2.0], **{"@": [1, None]})
    assert refused.rejected_by_reason == {"bad-value-name": 1}


def test_a_record_of_metadata_alone_is_empty() -> None:
    decoded = decode(temp=[1.0, None], **{"@source": ["a", "b"]})
    assert decoded.rejected_by_reason == {"no-values": 1}
    body = (
        b'{"sensor":"a","time":"2023-07-13T05:00:00Z","lon":135.1,"lat":34.1,'
        b'"values":{"@sequence":1}}'
    )
    single = decode_records("application/json", body, DEMO_DOMAIN, Limits())
    assert single.rejected_by_reason == {"no-values": 1}


@pytest.mark.parametrize(
    ("name", "cells", "kept"),
    [
        ("@sequence", [3, None], [3, None]),
        ("@ingested", [3.0, 4.0], [3, 4]),
        ("@stream", [3, 4], ["3", "4"]),
        ("@source", ["a", None], ["a", None]),
    ],
)
def test_each_has_one_type(name: str, cells: list[object], kept: list[object]) -> None:
    decoded = decode(temp=[1.0, 2.0], **{name: cells})
    assert decoded.rows.values[name].to_pylist() == kept


@pytest.mark.parametrize(
    ("name", "cells"), [("@sequence", ["x", None]), ("@ingested", [0.5, None])]
)
def test_what_is_of_another_type_is_refused(name: str, cells: list[object]) -> None:
    decoded = decode(temp=[1.0, 2.0], **{name: cells})
    assert decoded.rejected_by_reason == {"bad-metadata": 1}
    assert decoded.rejections[0].field == name


def test_which_values_are_chosen() -> None:
    values = {"temp": 1, "@source": 2, "@stream": 3}
    assert chosen_values(values, None, None) == values
    assert chosen_values(values, None, ()) == {"temp": 1}
    assert chosen_values(values, None, ("@stream",)) == {"temp": 1, "@stream": 3}
    assert chosen_values(values, ("@source", "x"), ()) == {"@source": 2}
