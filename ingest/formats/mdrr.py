"""JMA's "latest weather data" CSV (mdrr): all stations at one time, one row each.

Names of columns contain the date for some elements ("今日の…", "11日の…"), so columns are found
by parts of their names. `現在値` is whatever the file is about, which the file's name says
(pre1h00_….csv). Times are JST and midnight is sometimes hour 24.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.errors import MappingNeeded, UnreadableFile
from ingest.formats.bosai_pairs import place_part
from ingest.formats.compressed import plain_name
from ingest.formats.flags import NO_FLAG, element_arrays, judge
from ingest.formats.numbers import as_floats, read_numbers
from ingest.formats.obsdl_names import DIRECTION_CODES
from ingest.formats.part import TABLE_BYTES_MAX, Context, Part, Refused
from ingest.formats.text import decode_text
from ingest.formats.times import JST, fields_to_times, local_to_utc
from node.codec.times import times_to_texts
from node.records import Bools
from zring.morton import Int64s

STATION = "観測所番号"
_NOW = ("現在時刻(年)", "現在時刻(月)", "現在時刻(日)", "現在時刻(時)", "現在時刻(分)")
_CURRENT = "現在値"
_QUALITY = "の品質情報"
_MOMENT = "起時"
_ELEMENT_OF_FILE: Mapping[str, str] = {
    "pre1h": "precipitation1h",
    "pre3h": "precipitation3h",
    "pre6h": "precipitation6h",
    "pre12h": "precipitation12h",
    "pre24h": "precipitation24h",
    "pre48h": "precipitation48h",
    "pre72h": "precipitation72h",
    "snc": "snow",
    "sndall": "snow",
    "snd3h": "snow3h",
    "snd6h": "snow6h",
    "snd12h": "snow12h",
    "snd24h": "snow24h",
}
_DAY_ELEMENTS = (
    ("最高気温", "dayMaxTemp"),
    ("最低気温", "dayMinTemp"),
    ("最大瞬間風速", "dayMaxGust"),
    ("最大風速", "dayMaxWind"),
)
_DAY_PREFIX = re.compile(r"(今日|\d{1,2}日)の")


@dataclass(frozen=True, slots=True)
class _Column:
    """A value column with its flag column and, for extremes of a day, its occurrence time."""

    key: str
    at: int
    quality: int | None
    moment: tuple[int, int] | None
    is_direction: bool


def decode_mdrr(stream: BinaryIO, context: Context) -> Iterator[Part]:
    """One part; `Refused.row` is the line."""
    data = stream.read(TABLE_BYTES_MAX + 1)
    if len(data) > TABLE_BYTES_MAX:
        raise UnreadableFile(f"more than {TABLE_BYTES_MAX} bytes; JMA's tables are smaller")
    try:
        rows = list(csv.reader(decode_text(data).split("\n")))
    except csv.Error as error:
        raise UnreadableFile(f"the file is no CSV: {error}") from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    missing = [name for name in (STATION, *_NOW) if name not in header]
    if missing:
        raise UnreadableFile(f"the header has no column {missing[0]}")
    columns = _find_columns(header, plain_name(context.path))
    body, lines, refused = _body(rows, len(header))
    cells = [[row[at].strip() for row in body] for at in range(len(header))]
    time, bad = _times(header, cells)
    refused += [
        Refused(lines[at], "bad-time", "現在時刻 is no time", ",".join(body[at]))
        for at in np.flatnonzero(bad).tolist()
    ]
    values, left_out = _values(columns, cells, time, keep_incomplete=context.keep_incomplete)
    good = np.flatnonzero(~bad)
    taken = pa.array(good)
    stations = cells[header.index(STATION)]
    yield place_part(
        context,
        [stations[at].zfill(5) for at in good.tolist()],
        time[good],
        {name: column.take(taken) for name, column in values.items()},
        [",".join(body[at]) for at in good.tolist()],
        np.array(lines, np.int64)[good],
        left_out,
        refused_before=refused,
        topic=columns[0].key,
    )


def _body(
    rows: Sequence[list[str]], width: int
) -> tuple[list[list[str]], list[int], list[Refused]]:
    body, lines, refused = [], [], []
    for line, row in enumerate(rows[1:], 2):
        if not any(row):
            continue
        if len(row) != width:
            message = f"{len(row)} cells, the header has {width}"
            refused.append(Refused(line, "bad-width", message, ",".join(row)))
            continue
        body.append(row)
        lines.append(line)
    return body, lines, refused


def _find_columns(header: Sequence[str], name: str) -> list[_Column]:
    """Columns that hold observations of now or of today, not records of other years."""
    found = []
    current = _element_of_file(name)
    for at, label in enumerate(header):
        if _QUALITY in label or _MOMENT in label or "昨日" in label:
            continue
        if label.startswith(_CURRENT):
            if current is None:
                raise MappingNeeded(
                    f"what 現在値 is stands only in the file's name, and {name!r} does not say; "
                    f"let it begin as JMA's do: {', '.join(_ELEMENT_OF_FILE)}"
                )
            key = current
        elif _DAY_PREFIX.match(label):
            key = _day_key(label, current)
        else:
            continue
        is_direction = "風向" in label
        base = re.sub(r"[（(][^）)]*[)）]$", "", label)
        found.append(
            _Column(
                key=key + "Direction" if is_direction else key,
                at=at,
                quality=header.index(base + _QUALITY) if base + _QUALITY in header else None,
                moment=_moment_columns(header, base),
                is_direction=is_direction,
            )
        )
    if not found:
        raise UnreadableFile("no column holds a current value or a value of today")
    return found


def _element_of_file(name: str) -> str | None:
    match = re.match(r"(pre\d{1,2}h|snd\d{1,2}h|sndall|snc)", name)
    return _ELEMENT_OF_FILE.get(match[1]) if match else None


def _day_key(label: str, current: str | None) -> str:
    for part, key in _DAY_ELEMENTS:
        if part in label:
            return key
    if "最大値" in label and current is not None:
        return "dayMax" + current[0].upper() + current[1:]
    return _DAY_PREFIX.sub("day_", re.sub(r"[（(][^）)]*[)）]$", "", label))


def _moment_columns(header: Sequence[str], base: str) -> tuple[int, int] | None:
    hours = [at for at, label in enumerate(header) if label.startswith(f"{base}{_MOMENT}（時）")]
    minutes = [at for at, label in enumerate(header) if label.startswith(f"{base}{_MOMENT}（分）")]
    return (hours[0], minutes[0]) if hours and minutes else None


def _times(header: Sequence[str], cells: Sequence[Sequence[str]]) -> tuple[Int64s, Bools]:
    year, month, day, hour, minute = (_integers(cells[header.index(name)]) for name in _NOW)
    time, bad = fields_to_times(
        year=year, month=month, day=day, hour=hour, minute=minute, second=np.zeros_like(year)
    )
    return local_to_utc(time, JST), bad


def _integers(cells: Sequence[str]) -> Int64s:
    return np.array(
        [int(cell) if cell.isdecimal() and len(cell) < 6 else -1 for cell in cells], np.int64
    )


def _values(
    columns: Sequence[_Column],
    cells: Sequence[Sequence[str]],
    time: Int64s,
    *,
    keep_incomplete: bool,
) -> tuple[dict[str, pa.Array], Counter[str]]:
    values: dict[str, pa.Array] = {}
    left_out: Counter[str] = Counter()
    for column in columns:
        texts = cells[column.at]
        if column.is_direction:
            numbers = np.array([DIRECTION_CODES.get(text, np.nan) for text in texts])
        else:
            numbers = as_floats(read_numbers(pa.array(texts, pa.string()))[0])
        flags = (
            np.where([bool(text) for text in texts], 8, NO_FLAG)
            if column.quality is None
            else _flags(cells[column.quality])
        )
        judged = judge("quality", np.isfinite(numbers), flags, keep_incomplete=keep_incomplete)
        left_out.update(judged.left_out)
        added = element_arrays(column.key, numbers, judged)
        values.update(added)
        if column.moment is not None and added:
            hour, minute = (cells[at] for at in column.moment)
            values.update(_moments(column.key, time, hour, minute, judged.keep))
    return values, left_out


def _flags(texts: Sequence[str]) -> Int64s:
    known = {code: int(code) for code in "0123456789"} | {"": NO_FLAG}
    return np.array([known.get(text, 99) for text in texts], np.int64)


def _moments(
    key: str, time: Int64s, hours: Sequence[str], minutes: Sequence[str], keep: Bools
) -> dict[str, pa.Array]:
    """`<key>Time` in UTC: hour and minute of the Japanese day that `time` belongs to."""
    hour, minute = _integers(hours), _integers(minutes)
    good = keep & (hour >= 0) & (hour <= 24) & (minute >= 0) & (minute < 60)
    if not good.any():
        return {}
    day_us, offset_us = 86_400_000_000, 9 * 3_600_000_000
    # 0:00 is the end of the day before; its extremes are of that day.
    day = (time + offset_us - 1) // day_us * day_us - offset_us
    moment = np.where(good, day + (hour * 60 + minute) * 60_000_000, 0)
    return {f"{key}Time": pc.if_else(pa.array(good), times_to_texts(moment), None)}
