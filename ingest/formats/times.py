"""Times as files write them, in columns: with and without zone, with hour 24, as numbers.

What comes out is int64 microseconds since the epoch (UTC) and which texts were no time.
"""

import re
from collections.abc import Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.errors import MappingNeeded
from node.codec.times import YEAR_1_US, YEAR_10000_US, texts_to_times
from node.records import Bools
from zring.morton import Int64s

JST = "+09:00"
EPOCH_FACTORS: Mapping[str, int] = {"epoch-s": 1_000_000, "epoch-ms": 1_000, "epoch-us": 1}
_FIELDS = (
    r"^\s*(?P<year>[0-9]{4})[-/年](?P<month>[0-9]{1,2})[-/月](?P<day>[0-9]{1,2})日?"
    r"(?:[Tt ]?\s*(?P<hour>[0-9]{1,2})(?::|時)(?:(?P<minute>[0-9]{1,2})分?"
    r"(?::(?P<second>[0-9]{1,2}))?)?(?:\.(?P<fraction>[0-9]{1,18}))?)?"
    r"\s*(?P<zone>[Zz]|[+-][0-9]{2}:?[0-9]{2})?\s*$"
)


def read_times(
    texts: pa.StringArray, *, zone: str | None = None, time_format: str | None = None
) -> tuple[Int64s, Bools]:
    """Read a column of times.

    Args:
        texts: utf8[n]; nulls count as wrong.
        zone: for texts without one: an IANA name or ±HH:MM; None makes them wrong.
        time_format: None for ISO 8601 and its Japanese relatives, or see `ColumnMapping`.
    Returns:
        int64[n] microseconds and bool[n] true for what is no time.
    Raises:
        MappingNeeded: an unknown zone.
    Cost: one parse for each distinct text.
    """
    encoded = texts.dictionary_encode()
    distinct = encoded.dictionary.cast(pa.string())
    times, bad = _read_distinct(distinct, zone, time_format)
    at = encoded.indices.fill_null(len(distinct)).to_numpy(zero_copy_only=False)
    return np.append(times, 0)[at], np.append(bad, True)[at]


def _read_distinct(
    texts: pa.StringArray, zone: str | None, time_format: str | None
) -> tuple[Int64s, Bools]:
    if time_format is not None and time_format in EPOCH_FACTORS:
        return _epoch_times(texts, EPOCH_FACTORS[time_format])
    if time_format is not None:
        return _formatted_times(texts, zone, time_format)
    times, bad = texts_to_times(texts)
    again = np.flatnonzero(bad)
    if len(again):
        times[again], bad[again] = _field_times(texts.take(pa.array(again)), zone)
    return times, bad


def _epoch_times(texts: pa.StringArray, factor: int) -> tuple[Int64s, Bools]:
    numbers = np.full(len(texts), np.nan)
    for at, text in enumerate(texts.to_pylist()):
        if re.fullmatch(r"\s*[+-]?[0-9]{1,20}(\.[0-9]{0,20})?\s*", text):
            numbers[at] = float(text)
    return _ticks_to_times(numbers, factor)


def numbers_to_times(numbers: pa.Array, factor: int) -> tuple[Int64s, Bools]:
    """Numbers of seconds, milliseconds or microseconds since the epoch; nulls are wrong.

    Args:
        numbers: int64[n] or float64[n].
        factor: microseconds in one.
    """
    if pa.types.is_integer(numbers.type):
        ticks = numbers.cast(pa.int64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False)
        bad = numbers.is_null().to_numpy(zero_copy_only=False) | (
            (ticks >= YEAR_10000_US // factor) | (ticks < YEAR_1_US // factor)
        )
        return np.where(bad, 0, ticks) * factor, bad
    return _ticks_to_times(numbers.cast(pa.float64()).to_numpy(zero_copy_only=False), factor)


def _ticks_to_times(numbers: npt.NDArray[np.float64], factor: int) -> tuple[Int64s, Bools]:
    bad = ~(np.abs(numbers) < YEAR_10000_US / factor)
    # Whole part and fraction apart, so that microseconds survive in a double.
    whole = np.floor(np.where(bad, 0.0, numbers))
    fraction = np.where(bad, 0.0, numbers) - whole
    times = whole.astype(np.int64) * factor + np.rint(fraction * factor).astype(np.int64)
    return times, bad | (times < YEAR_1_US)


def _formatted_times(
    texts: pa.StringArray, zone: str | None, time_format: str
) -> tuple[Int64s, Bools]:
    try:
        parsed = pc.strptime(texts, format=time_format, unit="us", error_is_null=True)
    except pa.ArrowInvalid as error:
        raise MappingNeeded(
            f"--time-format {time_format!r} is no strptime format: {error}"
        ) from None
    bad = parsed.is_null().to_numpy(zero_copy_only=False)
    times = parsed.view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).copy()
    if "%z" in time_format:
        return times, bad
    if zone is None:
        return times, np.ones(len(texts), np.bool_)
    return local_to_utc(times, zone), bad


def _field_times(texts: pa.StringArray, zone: str | None) -> tuple[Int64s, Bools]:
    """The slow way, for texts that RFC 3339 does not read."""
    parts = pc.extract_regex(texts, pattern=_FIELDS)
    bad = parts.is_null().to_numpy(zero_copy_only=False).copy()

    def number(name: str) -> Int64s:
        digits = pc.struct_field(parts, name).fill_null("")
        return pc.if_else(pc.equal(digits, ""), "0", digits).cast(pa.int64()).to_numpy()

    times, wrong = fields_to_times(
        year=number("year"),
        month=number("month"),
        day=number("day"),
        hour=number("hour"),
        minute=number("minute"),
        second=number("second"),
    )
    fraction = pc.utf8_rpad(pc.struct_field(parts, "fraction").fill_null(""), 6, "0")
    times += pc.utf8_slice_codeunits(fraction, 0, 6).cast(pa.int64()).to_numpy()
    zones = pc.struct_field(parts, "zone").fill_null("")
    bare = pc.equal(zones, "").to_numpy(zero_copy_only=False)
    offset_us = np.array([_offset_us(text) or 0 for text in zones.to_pylist()], np.int64)
    local = local_to_utc(times, zone) if zone is not None else times
    if zone is None:
        bad |= bare
    times = np.where(bare, local, times - offset_us)
    return times, bad | wrong | (times < YEAR_1_US) | (times >= YEAR_10000_US)


def fields_to_times(
    *, year: Int64s, month: Int64s, day: Int64s, hour: Int64s, minute: Int64s, second: Int64s
) -> tuple[Int64s, Bools]:
    """Local fields to microseconds as if they were UTC; hour 24 is the next day's 0:00.

    Returns:
        int64[n] and bool[n] true for days and hours that do not exist.
    """
    bad = (year < 1) | (year > 9999) | (month < 1) | (month > 12)
    months = np.where(bad, 0, (year - 1970) * 12 + month - 1)
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    after = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    bad |= (day < 1) | (day > after - first) | (hour < 0) | (hour > 24)
    bad |= (minute < 0) | (minute > 59) | (second < 0) | (second > 59)
    bad |= (hour == 24) & ((minute != 0) | (second != 0))
    seconds = ((first + day - 1) * 24 + hour) * 3600 + minute * 60 + second
    return np.where(bad, 0, seconds) * 1_000_000, bad


def local_to_utc(times: Int64s, zone: str) -> Int64s:
    """Microseconds of a zone's clocks to UTC; an hour that occurs twice is its first time.

    Raises:
        MappingNeeded: an unknown zone.
    """
    offset_us = _offset_us(zone)
    if offset_us is not None:
        return times - offset_us
    try:
        rules = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise MappingNeeded(
            f"--zone {zone!r} is unknown; write a name like Asia/Tokyo or an offset like +09:00"
        ) from None
    local = pa.array(times).view(pa.timestamp("us"))
    try:
        fixed = pc.assume_timezone(
            local, timezone=rules.key, ambiguous="earliest", nonexistent="earliest"
        )
    except pa.ArrowInvalid:
        raise MappingNeeded(
            f"--zone {zone!r}: this machine has no time zone files; install tzdata"
        ) from None
    return fixed.view(pa.int64()).to_numpy().copy()


def _offset_us(zone: str) -> int | None:
    if zone in ("Z", "z", "UTC"):
        return 0
    if zone == "Asia/Tokyo":  # without summer time since 1951; needs no time zone files
        return 9 * 3_600_000_000
    match = re.fullmatch(r"([+-])([0-9]{2}):?([0-9]{2})", zone)
    if match is None:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    return (minutes if match[1] == "+" else -minutes) * 60_000_000
