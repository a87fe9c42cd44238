"""The columns that every record has (sensor, time, lon, lat, version), checked one by one.

Each function gives an array of full length; where a record was refused, what stands in it means
nothing.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from node.codec.decoded import Rejecter, shown
from node.codec.times import YEAR_1_US, YEAR_10000_US, lack_zone, texts_to_times
from node.codec.values import plain_column
from node.records import SENSOR_NAME_BYTES_MAX
from zring.domain import Domain, degrees_to_e7
from zring.morton import Int64s


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or str(kind) in ("large_string", "string_view")


def _require(name: str, column: pa.Array | None, rejecter: Rejecter, hint: str) -> pa.Array | None:
    """The column without dictionary and chunks; refuses the records where it is missing."""
    if column is not None:
        column = plain_column(name, column)
    if column is None or pa.types.is_null(column.type):
        missing = np.ones(len(rejecter.bad), np.bool_)
        column = None
    elif column.null_count:
        missing = column.is_null().to_numpy(zero_copy_only=False)
    else:
        return column
    rejecter.reject(missing, f"no-{name}", name, lambda _: f"{name} is missing; {hint}")
    return column


def _refuse_type(name: str, column: pa.Array, rejecter: Rejecter, hint: str) -> None:
    rejecter.reject(
        np.ones(len(column), np.bool_),
        f"bad-{name}",
        name,
        lambda row: f"{name}={shown(column[row].as_py())} has type {column.type}; {hint}",
    )


def column_to_sensors(column: pa.Array | None, rejecter: Rejecter) -> pa.StringArray:
    """Names as utf8[n] without nulls."""
    hint = f"give the sensor's name as text of 1 to {SENSOR_NAME_BYTES_MAX} bytes"
    column = _require("sensor", column, rejecter, hint)
    if column is None:
        return pa.array([""] * len(rejecter.bad), pa.string())
    if not _is_text(column.type):
        _refuse_type("sensor", column, rejecter, hint)
        return pa.array([""] * len(column), pa.string())
    names = column if column.type == pa.string() else column.cast(pa.string())
    if names.null_count:
        names = names.fill_null("")
    if not len(names):
        return names
    # Offsets instead of a kernel: for a single record its call would cost more than the rest.
    offsets = np.frombuffer(names.buffers()[1], np.int32, len(names) + 1, 4 * names.offset)
    sizes = offsets[1:] - offsets[:-1]
    rejecter.reject(
        (sizes < 1) | (sizes > SENSOR_NAME_BYTES_MAX),
        "bad-sensor",
        "sensor",
        lambda row: f"sensor={shown(names[row].as_py())} has {sizes[row]} bytes; {hint}",
    )
    return names


_TIME_HINT = 'write RFC 3339 with a zone, like "2023-07-13T05:00:00Z" or "…+09:00"'


def column_to_times(column: pa.Array | None, rejecter: Rejecter) -> Int64s:
    """int64[n] microseconds since the epoch, from timestamps with zone, integers or texts."""
    column = _require("time", column, rejecter, _TIME_HINT)
    if column is None:
        return np.zeros(len(rejecter.bad), np.int64)
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        times = _timestamps(column)
    elif kind == pa.int64():
        times = column.fill_null(0).to_numpy(zero_copy_only=False)
    elif _is_text(kind):
        texts = column if kind == pa.string() else column.cast(pa.string())
        return _text_times(texts, rejecter)
    else:
        hint = "give its zone (UTC)" if pa.types.is_timestamp(kind) else _TIME_HINT
        _refuse_type("time", column, rejecter, hint)
        return np.zeros(len(column), np.int64)
    rejecter.reject(
        (times < YEAR_1_US) | (times >= YEAR_10000_US),
        "bad-time",
        "time",
        lambda row: f"time={times[row]} µs since 1970 is outside the years 1 to 9999",
    )
    return times


def _timestamps(column: pa.Array) -> Int64s:
    """Microseconds; finer digits are cut off towards the past, as texts are."""
    ticks = column.view(pa.int64())
    if ticks.null_count:
        ticks = ticks.fill_null(0)
    ticks = ticks.to_numpy(zero_copy_only=False)
    unit = column.type.unit
    if unit == "us":
        return ticks
    if unit == "ns":
        return ticks // 1_000
    factor = 1_000_000 if unit == "s" else 1_000
    limit = np.iinfo(np.int64).max // factor
    return np.where(np.abs(ticks) > limit, np.iinfo(np.int64).max, ticks * factor)


def _text_times(texts: pa.StringArray, rejecter: Rejecter) -> Int64s:
    times, bad = texts_to_times(texts)
    if bad.any():
        rejecter.reject(
            bad & lack_zone(texts),
            "time-without-zone",
            "time",
            lambda row: (
                f"time={shown(texts[row].as_py())} has no zone; add Z for UTC or an offset "
                "such as +09:00"
            ),
        )
        rejecter.reject(
            bad,
            "bad-time",
            "time",
            lambda row: f"time={shown(texts[row].as_py())} is no time; {_TIME_HINT}",
        )
    return times


def _degrees(
    name: str, column: pa.Array | None, rejecter: Rejecter
) -> tuple[npt.NDArray[np.float64], Int64s]:
    """Degrees as given and in e7; what is not finite is refused and becomes 0."""
    hint = f"give {name} in degrees"
    column = _require(name, column, rejecter, hint)
    zeros = np.zeros(len(rejecter.bad))
    if column is None:
        return zeros, zeros.astype(np.int64)
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        _refuse_type(name, column, rejecter, f"{hint} as a number")
        return zeros, zeros.astype(np.int64)
    if kind != pa.float64():
        column = column.cast(pa.float64(), safe=False)
    numbers = column.to_numpy(zero_copy_only=False)
    finite = np.isfinite(numbers)
    if not finite.all():
        rejecter.reject(
            ~finite, f"bad-{name}", name, lambda row: f"{name}={numbers[row]:g} is no place; {hint}"
        )
        numbers = np.where(finite, numbers, 0.0)
    return numbers, degrees_to_e7(np.minimum(np.maximum(numbers, -1_000.0), 1_000.0))


def columns_to_positions(
    lon_column: pa.Array | None, lat_column: pa.Array | None, domain: Domain, rejecter: Rejecter
) -> tuple[Int64s, Int64s]:
    """lon and lat as int64[n] e7; positions outside the domain are refused."""
    lon_degrees, lon = _degrees("lon", lon_column, rejecter)
    lat_degrees, lat = _degrees("lat", lat_column, rejecter)
    outside = ~domain.contains(lon=lon, lat=lat)
    if outside.any():
        swapped = domain.contains(lon=lat, lat=lon)

        def describe(row: int) -> str:
            hint = (
                "swapped lon and lat? The longitude comes first"
                if swapped[row]
                else "send it to a cluster whose domain holds it"
            )
            return (
                f"lon={lon_degrees[row]:.10g}, lat={lat_degrees[row]:.10g} is outside the domain "
                f"{domain.describe()}; {hint}"
            )

        in_lon = (lon >= domain.west) & (lon <= domain.east)
        rejecter.reject(outside & ~in_lon, "outside-domain", "lon", describe)
        rejecter.reject(outside, "outside-domain", "lat", describe)
    return lon, lat


def column_to_versions(column: pa.Array | None, rejecter: Rejecter) -> Int64s:
    """int64[n]; missing ones are 0."""
    none = np.zeros(len(rejecter.bad), np.int64)
    if column is None:
        return none
    column = plain_column("version", column)
    if column.null_count == len(column):
        return none
    hint = "leave it out, or give a whole number from 0 to 2^63 - 1"
    if not pa.types.is_integer(column.type):
        present = column.is_valid().to_numpy(zero_copy_only=False)
        rejecter.reject(
            present,
            "bad-version",
            "version",
            lambda row: f"version={shown(column[row].as_py())} is no whole number; {hint}",
        )
        return none
    whole = column.fill_null(0) if column.null_count else column
    if whole.type != pa.int64():
        whole = whole.cast(pa.int64(), safe=False)
    numbers = whole.to_numpy(zero_copy_only=False)
    rejecter.reject(
        numbers < 0,
        "bad-version",
        "version",
        lambda row: f"version={column[row].as_py()} is out of range; {hint}",
    )
    return numbers
