"""CSV with one value a row (time, station, lat, lon, element, value, flag, source), grouped.

Records are replaced whole, so the values of one station and time must become one record: rows
are collected over a window and grouped; with `per_element` every element becomes records of its
own topic instead. The source says what the flags mean: `mdrr` and `obsdl` write 品質情報, all
others AQC; a blank flag is normal, because only values that exist are written in this shape.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.errors import UnreadableFile
from ingest.formats.csv_stream import TextBatch, read_text_batches
from ingest.formats.flags import Judged, element_arrays, judge
from ingest.formats.numbers import as_floats, read_numbers
from ingest.formats.part import BATCH_ROWS, Context, Part, Refused
from ingest.formats.table import TableMapper
from node.records import VALUE_NAMES_MAX
from zring.morton import Int64s

COLUMNS = frozenset(("time", "station", "element", "value"))
WINDOW_ROWS = 2_000_000
"""Rows that are grouped at once: some 300 MB. In a longer file that is sorted by time, the rows
of the last time wait for the next window."""
_QUALITY_SOURCES = ("mdrr", "obsdl")
_NORMAL = {"aqc": 0, "quality": 8}


@dataclass(slots=True)
class _Window:
    """Rows that wait for their group, in columns of equal length."""

    sensor: list[pa.StringArray] = field(default_factory=list)
    element: list[pa.StringArray] = field(default_factory=list)
    time: list[Int64s] = field(default_factory=list)
    lon: list[npt.NDArray[np.float64]] = field(default_factory=list)
    lat: list[npt.NDArray[np.float64]] = field(default_factory=list)
    value: list[npt.NDArray[np.float64]] = field(default_factory=list)
    flag: list[Int64s] = field(default_factory=list)
    row: list[Int64s] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.time))


def decode_long_csv(stream: BinaryIO, context: Context) -> Iterator[Part]:
    """Parts of grouped records; `Refused.row` is the row, `Part.rows` the group's first."""
    names, batches = read_text_batches(stream)
    missing = sorted(COLUMNS - set(names))
    if missing:
        raise UnreadableFile(f"the header has no column {missing[0]}")
    mapper = TableMapper(context, [name for name in names if name in (*COLUMNS, "lon", "lat")])
    window = _Window()
    written_until: int | None = None
    for batch in batches:
        refused, left_out = _collect(window, batch, mapper, context, written_until)
        if refused or left_out:
            yield _only_refused(refused, left_out)
        if len(window) >= WINDOW_ROWS:
            last = max(int(times.max()) for times in window.time if len(times))
            yield from _grouped(window, context, before=last)
            written_until = last
    yield from _grouped(window, context, before=None)


def _only_refused(refused: list[Refused], left_out: Mapping[str, int]) -> Part:
    none = pa.array([], pa.string())
    columns = dict.fromkeys(("sensor", "time", "lon", "lat"), none)
    return Part(columns, np.empty(0, np.int64), lambda _: None, tuple(refused), left_out)


def _collect(
    window: _Window,
    batch: TextBatch,
    mapper: TableMapper,
    context: Context,
    written_until: int | None,
) -> tuple[list[Refused], Counter[str]]:
    """Add the good rows of a batch; the values that flags forbid are counted."""
    texts = {name: batch.columns[name] for name in ("station", "time", "element", "value")}
    texts |= {name: batch.columns[name] for name in ("lon", "lat") if name in batch.columns}
    part = mapper.part(texts, batch.rows, batch.original, batch.refused)
    refused = list(part.refused)
    at = np.searchsorted(batch.rows, part.rows)
    time = part.columns["time"].view(pa.int64()).to_numpy()
    values = part.columns.get("value", pa.nulls(len(at), pa.float64()))
    value = as_floats(read_numbers(values.cast(pa.string()))[0])
    stored, flag, left_out = _flags(batch, at, np.isfinite(value), context)
    late = np.zeros(len(at), np.bool_)
    if written_until is not None:
        late = time < written_until
        refused.extend(
            Refused(
                int(batch.rows[at[index]]),
                "out-of-order",
                f"the records of this time were written {WINDOW_ROWS} rows ago; "
                "sort the file by time",
                batch.original(int(at[index])),
            )
            for index in np.flatnonzero(late).tolist()
        )
    good = np.flatnonzero(stored & ~late)
    taken = pa.array(good)
    window.sensor.append(part.columns["sensor"].take(taken))
    window.element.append(batch.columns["element"].take(pa.array(at[good])))
    window.time.append(time[good])
    window.lon.append(part.columns["lon"].to_numpy(zero_copy_only=False)[good])
    window.lat.append(part.columns["lat"].to_numpy(zero_copy_only=False)[good])
    window.value.append(value[good])
    window.flag.append(flag[good])
    window.row.append(part.rows[good])
    return refused, left_out


def _flags(
    batch: TextBatch, at: Int64s, is_value: npt.NDArray[np.bool_], context: Context
) -> tuple[npt.NDArray[np.bool_], Int64s, Counter[str]]:
    taken = pa.array(at)
    count = len(at)
    if "flag" not in batch.columns:
        return is_value, np.zeros(count, np.int64), Counter()
    texts = pc.utf8_trim_whitespace(batch.columns["flag"].take(taken))
    plain = pc.match_substring_regex(texts, "^[0-9]{1,2}$")
    blank = pc.equal(texts, "").to_numpy(zero_copy_only=False)
    codes = pc.if_else(plain, texts, "99").cast(pa.int64()).to_numpy(zero_copy_only=False)
    quality = np.zeros(count, np.bool_)
    if "source" in batch.columns:
        sources = pa.array(_QUALITY_SOURCES)
        named = pc.is_in(batch.columns["source"].take(taken), value_set=sources)
        quality = named.to_numpy(zero_copy_only=False)
    stored, flag = np.zeros(count, np.bool_), np.zeros(count, np.int64)
    left_out: Counter[str] = Counter()
    for system, mask in (("quality", quality), ("aqc", ~quality)):
        own = np.flatnonzero(mask)
        own_codes = np.where(blank[own], _NORMAL[system], codes[own])
        judged = judge(system, is_value[own], own_codes, keep_incomplete=context.keep_incomplete)
        stored[own], flag[own] = judged.keep, judged.flag
        left_out.update(judged.left_out)
    return stored, flag, left_out


def _grouped(window: _Window, context: Context, *, before: int | None) -> Iterator[Part]:
    """Empty the window into records; rows of the time `before` and later stay in it."""
    if not len(window):
        return
    joined = _joined(window)
    if before is not None:
        stay = np.flatnonzero(joined["time"] >= before)
        go = np.flatnonzero(joined["time"] < before)
        for name in _Window.__slots__:
            getattr(window, name).append(_taken(joined[name], stay))
        joined = {name: _taken(column, go) for name, column in joined.items()}
    if len(joined["time"]):
        yield from _records(joined, context)


def _joined(window: _Window) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for name in _Window.__slots__:
        pieces = getattr(window, name)
        arrow = isinstance(pieces[0], pa.Array)
        joined[name] = pa.concat_arrays(pieces) if arrow else np.concatenate(pieces)
        pieces.clear()
    return joined


def _taken(column: Any, at: Int64s) -> Any:
    return column.take(pa.array(at)) if isinstance(column, pa.Array) else column[at]


def _records(joined: Mapping[str, Any], context: Context) -> Iterator[Part]:
    sensors = joined["sensor"].dictionary_encode()
    elements = joined["element"].dictionary_encode()
    station = sensors.indices.to_numpy()
    element = elements.indices.to_numpy()
    names = elements.dictionary.to_pylist()
    if len(names) > VALUE_NAMES_MAX:
        raise UnreadableFile(f"{len(names)} elements are more than {VALUE_NAMES_MAX}")
    time = joined["time"]
    if context.per_element:
        for code, name in enumerate(names):
            own = np.flatnonzero(element == code)
            order = own[np.lexsort((station[own], time[own]))]
            yield from _group(joined, order, station, element, [name], name)
    else:
        yield from _group(joined, np.lexsort((station, time)), station, element, names, "")


def _group(
    joined: Mapping[str, Any],
    order: Int64s,
    station: npt.NDArray[np.int32],
    element: npt.NDArray[np.int32],
    names: list[str],
    topic: str,
) -> Iterator[Part]:
    """Records of the rows `order`, which are sorted by (time, station)."""
    time, near = joined["time"][order], station[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (time[1:] != time[:-1]) | (near[1:] != near[:-1])
    group = np.cumsum(new) - 1
    count = int(group[-1]) + 1
    first = order[np.flatnonzero(new)]
    codes = np.zeros(len(order), np.int64) if topic else element[order].astype(np.int64)
    repeated = len(order) - len(np.unique(group * len(names) + codes))
    taken = pa.array(first)
    columns: dict[str, pa.Array] = {
        "sensor": joined["sensor"].take(taken),
        "time": pa.array(joined["time"][first]).view(pa.timestamp("us", tz="UTC")),
        "lon": pa.array(joined["lon"][first]),
        "lat": pa.array(joined["lat"][first]),
    }
    for code, name in enumerate(names):
        own = np.flatnonzero(codes == code)
        values, flags = np.full(count, np.nan), np.zeros(count, np.int64)
        # Backwards, so that of a value that is written twice the first one stays.
        back = own[::-1]
        values[group[back]] = joined["value"][order[back]]
        flags[group[back]] = joined["flag"][order[back]]
        columns.update(element_arrays(name, values, Judged(np.isfinite(values), flags, {})))
    left_out = {"repeated-value": repeated} if repeated else {}
    yield from _slices(columns, joined["row"][first], topic, left_out)


def _slices(
    columns: Mapping[str, pa.Array], rows: Int64s, topic: str, left_out: Mapping[str, int]
) -> Iterator[Part]:
    for start in range(0, len(rows), BATCH_ROWS):
        piece = {name: column.slice(start, BATCH_ROWS) for name, column in columns.items()}

        def original(index: int, piece: Mapping[str, pa.Array] = piece) -> dict[str, Any]:
            return {name: column[index].as_py() for name, column in piece.items()}

        yield Part(piece, rows[start : start + BATCH_ROWS], original, (), left_out, topic)
        left_out = {}
