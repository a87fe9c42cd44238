"""JMA's "past weather data" download (data.csv): hourly, daily or for periods of days.

The file has station names, no ids and no positions: the user says which station a name is.
Hourly values belong to the hour that ends at their time; a day's and a period's time is its
first moment in Japan, and a period's last day is the value `periodEnd`.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.errors import MappingNeeded, UnreadableFile
from ingest.formats.obsdl_cells import group_columns
from ingest.formats.obsdl_header import Group, Header, parse_header
from ingest.formats.obsdl_names import element_key
from ingest.formats.part import TABLE_BYTES_MAX, Context, Part, Refused
from ingest.formats.text import decode_text
from ingest.formats.times import JST, fields_to_times, local_to_utc, read_times
from node.codec.times import times_to_texts
from node.records import Bools
from zring.morton import Int64s

PERIOD_END = "periodEnd"


def decode_obsdl(stream: BinaryIO, context: Context) -> Iterator[Part]:
    """One part for each station of the file; `Refused.row` is the line."""
    data = stream.read(TABLE_BYTES_MAX + 1)
    if len(data) > TABLE_BYTES_MAX:
        raise UnreadableFile(f"more than {TABLE_BYTES_MAX} bytes; JMA's downloads are smaller")
    lines = decode_text(data).split("\n")
    try:
        rows = list(csv.reader(lines))
    except csv.Error as error:
        raise UnreadableFile(f"the file is no CSV: {error}") from None
    header = parse_header(rows)
    ids = _station_ids(header, context)
    body, numbers, refused = _data_rows(rows, header)
    cells = [list(column) for column in zip(*body, strict=True)] if body else []
    time, bad = _times(cells[: header.time_columns], header) if body else _no_times()
    hourly = _is_hourly(rows[header.data_start], header)
    refused += [
        Refused(numbers[at], "bad-time", "the row has no time", ",".join(body[at]))
        for at in np.flatnonzero(bad).tolist()
    ]
    for station, sensor in enumerate(ids):
        groups = [group for group in header.groups if group.station == station]
        columns, left_out = _station_columns(groups, cells, header, context, hourly=hourly)
        if header.period and body:
            columns[PERIOD_END] = _dates(cells[1])
        part = _station_part(context, sensor, time, ~bad, columns, body, numbers, left_out)
        topic = "period" if header.period else "hourly" if hourly else "daily"
        yield replace(part, refused=tuple(refused), topic=topic)
        refused = []  # a line is refused once, whatever the number of its stations


def _no_times() -> tuple[Int64s, Bools]:
    return np.empty(0, np.int64), np.empty(0, np.bool_)


def _station_ids(header: Header, context: Context) -> tuple[str, ...]:
    """The ids of the file's stations.

    Raises:
        MappingNeeded: names what is missing and which ids the station table offers.
    """
    if context.station_ids:
        if len(context.station_ids) != len(header.stations):
            raise MappingNeeded(
                f"--station-ids has {len(context.station_ids)} ids, the file has the stations "
                f"{', '.join(header.stations)}; give one id for each, in this order"
            )
        return context.station_ids
    used: Counter[str] = Counter()
    ids = []
    for name in header.stations:
        known = context.station_names.get(name, ())
        if used[name] >= len(known):
            offered = context.stations.names.get(name, ())
            hint = f" (the station table has {', '.join(offered)})" if offered else ""
            raise MappingNeeded(
                f"the file names the station {name!r} and no id; give --station-name {name}=ID"
                f"{hint}; if several stations share it, {name}=ID+ID in the order of the columns"
            )
        ids.append(known[used[name]])
        used[name] += 1
    return tuple(ids)


def _data_rows(
    rows: Sequence[list[str]], header: Header
) -> tuple[list[list[str]], list[int], list[Refused]]:
    """Data rows of full width, their line numbers, and the others."""
    width = 1 + max(
        column
        for group in header.groups
        for measured in group.measured
        for column in (
            measured.column,
            measured.quality,
            measured.no_phenomenon,
            measured.homogeneity,
        )
        if column is not None
    )
    body, numbers, refused = [], [], []
    for line, row in enumerate(rows[header.data_start :], header.data_start + 1):
        if not row or not any(row):
            continue
        if len(row) < width:
            message = f"{len(row)} cells, the header has {width}"
            refused.append(Refused(line, "bad-width", message, ",".join(row)))
            continue
        body.append(row[:width])
        numbers.append(line)
    return body, numbers, refused


def _times(columns: Sequence[list[str]], header: Header) -> tuple[Int64s, Bools]:
    if not header.split:
        return read_times(pa.array(columns[0], pa.string()), zone=JST)
    parts = [_integers(column) for column in columns]
    zeros = np.zeros(len(columns[0]), np.int64)
    ones = zeros + 1
    year, month, day, hour, minute = (
        parts[at] if at < len(parts) else default
        for at, default in enumerate((zeros, ones, ones, zeros, zeros))
    )
    time, bad = fields_to_times(
        year=year, month=month, day=day, hour=hour, minute=minute, second=zeros
    )
    return local_to_utc(time, JST), bad


def _dates(texts: Sequence[str]) -> pa.Array:
    """ISO dates, null for what is none."""
    times, bad = read_times(pa.array(texts, pa.string()), zone="UTC")
    dates = pc.utf8_slice_codeunits(times_to_texts(np.where(bad, 0, times)), 0, 10)
    return pc.if_else(pa.array(~bad), dates, None)


def _integers(cells: Sequence[str]) -> Int64s:
    """int64[n]; what is no small number becomes -1, which no field of a time allows."""
    return np.array(
        [int(cell) if cell.strip().isdecimal() and len(cell) < 6 else -1 for cell in cells],
        np.int64,
    )


def _is_hourly(first_row: Sequence[str], header: Header) -> bool:
    if header.split:
        return header.time_columns >= 4
    return "時" in first_row[0] or ":" in first_row[0]


def _station_columns(
    groups: Sequence[Group],
    cells: Sequence[list[str]],
    header: Header,
    context: Context,
    *,
    hourly: bool,
) -> tuple[dict[str, pa.Array], Counter[str]]:
    columns: dict[str, pa.Array] = {}
    left_out: Counter[str] = Counter()
    if not cells:
        return columns, left_out
    for group in groups:
        key = element_key(group.label, hourly=hourly)
        again = sum(name == key or name.startswith(f"{key}_again") for name in columns)
        added, dropped = group_columns(
            group,
            f"{key}_again{again}" if again else key,
            cells,
            has_roles=header.has_roles,
            keep_incomplete=context.keep_incomplete,
        )
        columns.update(added)
        left_out.update(dropped)
    return columns, left_out


def _station_part(
    context: Context,
    sensor: str,
    time: Int64s,
    good: Bools,
    columns: Mapping[str, pa.Array],
    body: Sequence[list[str]],
    numbers: Sequence[int],
    left_out: Counter[str],
) -> Part:
    place = context.stations.positions.get(sensor)
    if place is None:
        raise MappingNeeded(
            f"station {sensor} is not in the station table; give one that has it with --stations"
        )
    empty = np.ones(len(time), np.bool_)
    for name, column in columns.items():
        if name != PERIOD_END:
            empty &= column.is_null().to_numpy(zero_copy_only=False)
    left_out["record-without-value"] += int((empty & good).sum())
    at = np.flatnonzero(good & ~empty)
    taken = pa.array(at)
    return Part(
        columns={
            "sensor": pa.array([sensor] * len(at), pa.string()),
            "time": pa.array(time[at]).view(pa.timestamp("us", tz="UTC")),
            "lon": pa.array(np.full(len(at), place[0])),
            "lat": pa.array(np.full(len(at), place[1])),
            **{name: column.take(taken) for name, column in columns.items()},
        },
        rows=np.array(numbers, np.int64)[at],
        original=lambda index: ",".join(body[int(at[index])]),
        left_out=+left_out,
    )
