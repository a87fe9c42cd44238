"""The one door through which records come in: columns of any origin, checked, become `Rows`.

Every decoder, importer and stream ends here, so that a record is good or bad for the same
reasons and with the same words wherever it came from.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from node.codec.decoded import Decoded, Rejecter, shown
from node.codec.times import YEAR_1_US, YEAR_10000_US, lack_zone, texts_to_times
from node.codec.values import column_to_values, plain_column
from node.errors import BadRecord, BadRequest, TooLarge
from node.records import (
    RESERVED_NAMES,
    SENSOR_NAME_BYTES_MAX,
    VALUE_NAMES_MAX,
    Rows,
    check_value_name,
)
from zring.domain import Domain, degrees_to_e7
from zring.morton import Int64s

POSITION_NAMES = ("sensor", "time", "lon", "lat", "version")
"""Columns that are not values; all but `version` are required."""
CELLS_MAX = 64 << 20
"""Records times value names of one batch: half a gigabyte of numbers."""


def columns_to_rows(
    columns: Mapping[str, pa.Array | pa.ChunkedArray],
    *,
    domain: Domain,
    index_start: int = 0,
    rejecter: Rejecter | None = None,
) -> Decoded:
    """Check a batch of records and bring it into the types that are stored.

    Args:
        columns: arrays of one length: `sensor` text; `time` as timestamp with zone, int64
            microseconds since the epoch or RFC 3339 text; `lon`, `lat` numbers in degrees;
            optionally `version` whole numbers >= 0; every other name is a value
            (`node.codec.values` lists the types).
        index_start: index in the request of the first row, for rejections.
        rejecter: carries what a decoder already held against these rows; replaces `index_start`.
    Raises:
        BadRequest: columns of different lengths, or without any position column.
        TooLarge: more value names or cells than a batch may have.
    Cost: some 2 M records/s with four number columns.
    """
    fixed = {name: columns[name] for name in POSITION_NAMES if name in columns}
    values = {name: column for name, column in columns.items() if name not in POSITION_NAMES}
    return parts_to_rows(fixed, values, domain=domain, index_start=index_start, rejecter=rejecter)


def parts_to_rows(
    fixed: Mapping[str, pa.Array],
    values: Mapping[str, pa.Array],
    *,
    domain: Domain,
    index_start: int = 0,
    rejecter: Rejecter | None = None,
) -> Decoded:
    """As `columns_to_rows`, for formats that keep values apart from the fixed names."""
    count = _common_length(fixed, values)
    rejecter = rejecter or Rejecter(count, index_start=index_start)
    assert len(rejecter.bad) == count, "a rejecter of another batch"
    check_size(count, len(values))
    sensor = _sensors(fixed.get("sensor"), rejecter)
    time = _times(fixed.get("time"), rejecter)
    lon, lat = _positions(fixed.get("lon"), fixed.get("lat"), domain, rejecter)
    version = _versions(fixed.get("version"), rejecter)
    arrays = _values(values, rejecter)
    _check_not_empty(arrays, rejecter)
    return _assemble(domain, rejecter, sensor, time, lon, lat, version, arrays)


def check_size(count: int, names: int) -> None:
    """Refuse batches that would take too many columns or too much memory.

    Raises:
        TooLarge: more than VALUE_NAMES_MAX value names or CELLS_MAX cells.
    """
    if names > VALUE_NAMES_MAX:
        raise TooLarge(
            f"{names} value names in one batch are more than {VALUE_NAMES_MAX}; "
            "put what varies into a value or the sensor's name",
            field="values",
        )
    if count * names > CELLS_MAX:
        raise TooLarge(
            f"{count} records with {names} value names are more than {CELLS_MAX} cells; "
            "send fewer records at once"
        )


def _common_length(fixed: Mapping[str, pa.Array], values: Mapping[str, pa.Array]) -> int:
    lengths = {name: len(column) for name, column in (*fixed.items(), *values.items())}
    if len(set(lengths.values())) > 1:
        raise BadRequest(f"columns differ in length: {shown(lengths)}; give each the same")
    return next(iter(lengths.values()), 0)


def _assemble(
    domain: Domain,
    rejecter: Rejecter,
    sensor: pa.StringArray,
    time: Int64s,
    lon: Int64s,
    lat: Int64s,
    version: Int64s,
    values: Mapping[str, pa.Array],
) -> Decoded:
    indices = rejecter.indices
    if rejecter.bad.any():
        good = np.flatnonzero(~rejecter.bad)
        at = pa.array(good)
        indices, time, version = indices[good], time[good], version[good]
        lon, lat, sensor = lon[good], lat[good], sensor.take(at)
        taken = {name: array.take(at) for name, array in values.items()}
        values = {name: array for name, array in taken.items() if array.null_count < len(array)}
    rows = Rows.build(
        time=time,
        lon=lon.astype(np.int32),
        lat=lat.astype(np.int32),
        code=domain.positions_to_codes(lon=lon, lat=lat),
        version=version,
        sensor=sensor,
        values=values,
    )
    return Decoded(
        rows=rows,
        rejections=rejecter.rejections(),
        received=len(rejecter.bad),
        rejected_by_reason=rejecter.counts,
        indices=indices,
    )


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


def _sensors(column: pa.Array | None, rejecter: Rejecter) -> pa.StringArray:
    hint = f"give the sensor's name as text of 1 to {SENSOR_NAME_BYTES_MAX} bytes"
    column = _require("sensor", column, rejecter, hint)
    if column is None:
        return pa.array([""] * len(rejecter.bad), pa.string())
    if not (pa.types.is_string(column.type) or str(column.type) in ("large_string", "string_view")):
        _refuse_type("sensor", column, rejecter, hint)
        return pa.array([""] * len(column), pa.string())
    names = column.cast(pa.string()).fill_null("")
    sizes = pc.binary_length(names).to_numpy(zero_copy_only=False)
    rejecter.reject(
        (sizes < 1) | (sizes > SENSOR_NAME_BYTES_MAX),
        "bad-sensor",
        "sensor",
        lambda row: f"sensor={shown(names[row].as_py())} has {sizes[row]} bytes; {hint}",
    )
    return names


_TIME_HINT = 'write RFC 3339 with a zone, like "2023-07-13T05:00:00Z" or "…+09:00"'


def _times(column: pa.Array | None, rejecter: Rejecter) -> Int64s:
    column = _require("time", column, rejecter, _TIME_HINT)
    if column is None:
        return np.zeros(len(rejecter.bad), np.int64)
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        times = _timestamps(column)
    elif kind == pa.int64():
        times = column.fill_null(0).to_numpy(zero_copy_only=False)
    elif pa.types.is_string(kind) or str(kind) in ("large_string", "string_view"):
        return _text_times(column.cast(pa.string()), rejecter)
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
    ticks = column.view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
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
    numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    finite = np.isfinite(numbers)
    if not finite.all():
        rejecter.reject(
            ~finite, f"bad-{name}", name, lambda row: f"{name}={numbers[row]:g} is no place; {hint}"
        )
        numbers = np.where(finite, numbers, 0.0)
    return numbers, degrees_to_e7(np.clip(numbers, -1_000.0, 1_000.0))


def _positions(
    lon_column: pa.Array | None, lat_column: pa.Array | None, domain: Domain, rejecter: Rejecter
) -> tuple[Int64s, Int64s]:
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


def _versions(column: pa.Array | None, rejecter: Rejecter) -> Int64s:
    none = np.zeros(len(rejecter.bad), np.int64)
    if column is None:
        return none
    column = plain_column("version", column)
    if pa.types.is_null(column.type):
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
    numbers = column.fill_null(0).cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False)
    rejecter.reject(
        numbers < 0,
        "bad-version",
        "version",
        lambda row: f"version={column[row].as_py()} is out of range; {hint}",
    )
    return numbers


def _values(values: Mapping[str, pa.Array], rejecter: Rejecter) -> dict[str, pa.Array]:
    arrays = {}
    for name, column in values.items():
        array = column_to_values(name, column, rejecter)
        if array is None:
            continue
        if name in RESERVED_NAMES or not 1 <= len(name) <= 32 or not name.isascii():
            message = _name_trouble(name)
            if message is not None:
                present = array.is_valid().to_numpy(zero_copy_only=False)
                rejecter.reject(present, "bad-value-name", name, lambda _, said=message: said)  # type: ignore[misc]
                continue
        arrays[name] = array
    return arrays


def _name_trouble(name: str) -> str | None:
    try:
        check_value_name(name)
    except BadRecord as error:
        return str(error)
    return None


def _check_not_empty(values: Mapping[str, pa.Array], rejecter: Rejecter) -> None:
    if any(array.null_count == 0 for array in values.values()):
        return
    empty = np.ones(len(rejecter.bad), np.bool_)
    for array in values.values():
        empty &= array.is_null().to_numpy(zero_copy_only=False)
    rejecter.reject(
        empty,
        "no-values",
        "values",
        lambda _: "the record has no value; give at least one that is not null",
    )
