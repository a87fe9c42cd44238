"""The one door through which records come in: columns of any origin, checked, become `Rows`.

Every decoder, importer and stream ends here, so that a record is good or bad for the same
reasons and with the same words wherever it came from.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from node.codec.decoded import Decoded, Rejecter, shown
from node.codec.fixed_columns import (
    column_to_sensors,
    column_to_times,
    column_to_versions,
    columns_to_positions,
)
from node.codec.metadata_values import metadata_column
from node.codec.values import column_to_values
from node.errors import BadRecord, BadRequest, TooLarge
from node.metadata import is_metadata
from node.records import VALUE_NAMES_MAX, Rows, check_value_name
from zring.domain import Domain
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
    sensor = column_to_sensors(fixed.get("sensor"), rejecter)
    time = column_to_times(fixed.get("time"), rejecter)
    lon, lat = columns_to_positions(fixed.get("lon"), fixed.get("lat"), domain, rejecter)
    version = column_to_versions(fixed.get("version"), rejecter)
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


def _values(values: Mapping[str, pa.Array], rejecter: Rejecter) -> dict[str, pa.Array]:
    arrays = {}
    for name, column in values.items():
        array = column_to_values(name, column, rejecter)
        if array is None:
            continue
        trouble = _name_trouble(name)
        if trouble is None:
            arrays[name] = metadata_column(name, array, rejecter) if is_metadata(name) else array
        else:
            present = array.is_valid().to_numpy(zero_copy_only=False)
            rejecter.reject_all(present, "bad-value-name", name, trouble)
    return arrays


def _name_trouble(name: str) -> str | None:
    try:
        check_value_name(name)
    except BadRecord as error:
        return str(error)
    return None


def _check_not_empty(values: Mapping[str, pa.Array], rejecter: Rejecter) -> None:
    measured = [array for name, array in values.items() if not is_metadata(name)]
    if any(array.null_count == 0 for array in measured):
        return
    empty = np.ones(len(rejecter.bad), np.bool_)
    for array in measured:
        empty &= array.is_null().to_numpy(zero_copy_only=False)
    rejecter.reject(
        empty,
        "no-values",
        "values",
        lambda _: "the record has no value; give at least one that is not null",
    )
