"""Times as files write them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import MappingNeeded
from ingest.formats.times import fields_to_times, read_times

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _read(text: str, **options: str) -> datetime | None:
    times, bad = read_times(pa.array([text], pa.string()), **options)
    return None if bad[0] else EPOCH + timedelta(microseconds=int(times[0]))


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2023-07-13T05:00:00Z", None, "2023-07-13T05:00:00+00:00"),
        ("2023-07-13T14:00:00+09:00", None, "2023-07-13T05:00:00+00:00"),
        ("2023-07-13 14:00:00.25+0900", None, "2023-07-13T05:00:00.250000+00:00"),
        ("2023-07-13T14:00", "Asia/Tokyo", "2023-07-13T05:00:00+00:00"),
        ("2023-07-13T14:00:00Z", "Asia/Tokyo", "2023-07-13T14:00:00+00:00"),
        ("2020/10/1 1:00:00", "+09:00", "2020-09-30T16:00:00+00:00"),
        ("2020/10/2 00:00:00", "+09:00", "2020-10-01T15:00:00+00:00"),
        ("2020/10/1 24:00:00", "+09:00", "2020-10-01T15:00:00+00:00"),
        ("2020年10月1日24時", "+09:00", "2020-10-01T15:00:00+00:00"),
        ("2020年12月31日24時", "+09:00", "2020-12-31T15:00:00+00:00"),
        ("2020年10月1日1時", "Asia/Tokyo", "2020-09-30T16:00:00+00:00"),
        ("2020/10/1", "+09:00", "2020-09-30T15:00:00+00:00"),
        ("1970-01-01T00:00:00Z", None, "1970-01-01T00:00:00+00:00"),
        ("2099-12-31T23:59:59Z", None, "2099-12-31T23:59:59+00:00"),
        ("2023-07-01T12:00", "Europe/Berlin", "2023-07-01T10:00:00+00:00"),
        ("2023-01-01T12:00", "Europe/Berlin", "2023-01-01T11:00:00+00:00"),
        ("2023-10-29T02:30", "Europe/Berlin", "2023-10-29T00:30:00+00:00"),
    ],
)
def test_times_that_files_write(text, zone, expected):
    assert _read(text, **({"zone": zone} if zone else {})) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "text",
    ["", "now", "2023-02-30T00:00:00Z", "2023-13-01", "2023-07-13T25:00", "2023/7/13 24:01",
     "2023-07-13T10:60", "0000-01-01T00:00Z", "13/07/2023"],
)  # fmt: skip
def test_texts_that_are_no_time(text):
    assert _read(text, zone="UTC") is None


def test_a_time_without_zone_needs_one():
    assert _read("2023-07-13T14:00:00") is None


@pytest.mark.parametrize(
    ("text", "time_format", "microseconds"),
    [
        ("1689224400", "epoch-s", 1_689_224_400_000_000),
        ("1689224400.25", "epoch-s", 1_689_224_400_250_000),
        ("1689224400123", "epoch-ms", 1_689_224_400_123_000),
        ("-1", "epoch-us", -1),
        ("99999999999999999999", "epoch-s", None),
        ("12:00", "epoch-s", None),
    ],
)
def test_times_as_numbers(text, time_format, microseconds):
    times, bad = read_times(pa.array([text]), time_format=time_format)
    assert (None if bad[0] else int(times[0])) == microseconds


def test_a_format_of_ones_own():
    assert _read("13.07.2023 14:00", zone="+09:00", time_format="%d.%m.%Y %H:%M") == datetime(
        2023, 7, 13, 5, tzinfo=UTC
    )
    assert _read("2023-07-13", zone="+09:00", time_format="%d.%m.%Y") is None


def test_an_unknown_zone_is_named():
    with pytest.raises(MappingNeeded, match="Mars/Olympus"):
        _read("2023-07-13T14:00", zone="Mars/Olympus")


def test_nulls_count_as_wrong():
    assert read_times(pa.array([None, "2023-07-13T05:00:00Z"]))[1].tolist() == [True, False]


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(
        lambda time: time.replace(microsecond=0)
    )
)
def test_fields_agree_with_the_calendar(moment):
    fields = {
        name: np.array([getattr(moment, name)], np.int64)
        for name in ("year", "month", "day", "hour", "minute", "second")
    }
    times, bad = fields_to_times(**fields)
    expected = (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    assert not bad[0]
    assert int(times[0]) == expected
