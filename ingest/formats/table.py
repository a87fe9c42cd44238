"""Columns of a generic file (CSV, JSON lines, Parquet …) mapped to the columns of records."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.formats.column_mapping import FIXED, NULL_TEXTS, ColumnMapping
from ingest.formats.numbers import read_numbers, whole_if_possible
from ingest.formats.part import Context, Part, Refusals, Refused, RefusedMany
from ingest.formats.times import EPOCH_FACTORS, local_to_utc, numbers_to_times, read_times
from node.records import Bools
from zring.morton import Int64s

_BOOLEANS = ("true", "false")
_TIME_TYPE = pa.timestamp("us", tz="UTC")


class TableMapper:
    """Turns batches of one file into parts; remembers what type each text column has.

    A column of texts is a number when all cells of the first batch that has any are numbers;
    later cells that are none refuse their rows instead of changing the column. Not so where
    `guess` is off: there a text is a text unless the mapping gives the column a type.
    """

    def __init__(self, context: Context, columns: list[str], *, guess: bool = True) -> None:
        self._context, self._guess = context, guess
        self._mapping: ColumnMapping = context.mapping
        self._resolved = self._mapping.resolve(columns)
        self._types: dict[str, str] = dict(self._mapping.types)

    @property
    def resolved(self) -> Mapping[str, str]:
        """Name of ours → column of the file."""
        return self._resolved

    def part(
        self,
        columns: Mapping[str, pa.Array],
        rows: Int64s,
        original: Callable[[int], Any],
        refused: tuple[Refused, ...] = (),
    ) -> Part:
        """The records of one batch of n rows."""
        batch = _Batch(rows, original)
        values = {
            name: self._value(name, _plain(columns[column]), batch, guess=self._guess)
            for name, column in self._resolved.items()
            if name not in FIXED and column in columns
        }
        sensor = self._sensor(columns, len(rows))
        time = self._time(columns, batch)
        lon, lat = self._position(columns, sensor, batch)
        for name, text in self._mapping.constants.items():
            if name not in FIXED:
                values[name] = self._value(name, pa.array([text] * len(rows)), batch, guess=True)
        every = {"sensor": sensor, "time": time, "lon": lon, "lat": lat} | {
            name: column for name, column in values.items() if column is not None
        }
        if not batch.bad.any():
            return Part(every, rows, original, refused)
        every_refused = Refusals(refused, batch.refused)
        keep = np.flatnonzero(~batch.bad)
        taken = pa.array(keep)
        return Part(
            {name: column.take(taken) for name, column in every.items()},
            rows[keep],
            lambda index: original(int(keep[index])),
            every_refused,
        )

    def _sensor(self, columns: Mapping[str, pa.Array], count: int) -> pa.StringArray:
        if "sensor" in self._mapping.constants:
            return pa.array([self._mapping.constants["sensor"]] * count, pa.string())
        column = _plain(columns[self._resolved["sensor"]])
        if pa.types.is_floating(column.type):
            column = whole_if_possible(column.cast(pa.float64()))
        return pc.utf8_trim_whitespace(column.cast(pa.string()))

    def _time(self, columns: Mapping[str, pa.Array], batch: "_Batch") -> pa.Array:
        if "time" in self._mapping.constants:
            column = pa.array([self._mapping.constants["time"]] * len(batch.rows), pa.string())
        else:
            column = _plain(columns[self._resolved["time"]])
        zone = self._mapping.zone
        if pa.types.is_timestamp(column.type):
            if column.type.tz is not None or zone is None:
                return column  # without zone: refused by the check that all records pass
            ticks = column.cast(pa.timestamp("us"), safe=False).view(pa.int64())
            local = ticks.fill_null(0).to_numpy(zero_copy_only=False)
            valid = column.is_valid()
            return pc.if_else(valid, pa.array(local_to_utc(local, zone)), None).view(_TIME_TYPE)
        time_format = self._mapping.time_format
        if pa.types.is_integer(column.type) and time_format in (None, "epoch-us"):
            return column.cast(pa.int64())
        texts = column.cast(pa.string())
        if time_format is not None and time_format in EPOCH_FACTORS and not _is_text(column):
            times, bad = numbers_to_times(column, EPOCH_FACTORS[time_format])
        else:
            times, bad = read_times(texts, zone=zone, time_format=time_format)
        hint = (
            f"{time_format} does not read it"
            if time_format is not None
            else "give --zone for times without zone, or --time-format "
            f"(strptime, or {', '.join(EPOCH_FACTORS)})"
        )
        batch.refuse(bad, "bad-time", lambda at: f"time {texts[at].as_py()!r}: {hint}")
        return pa.array(times).view(_TIME_TYPE)

    def _position(
        self, columns: Mapping[str, pa.Array], sensor: pa.StringArray, batch: "_Batch"
    ) -> tuple[pa.Array, pa.Array]:
        constants = self._mapping.constants
        if all(name in self._resolved or name in constants for name in ("lon", "lat")):
            return self._degrees("lon", columns, batch), self._degrees("lat", columns, batch)
        lon, lat, unknown = self._context.stations.places(sensor)
        missing = np.zeros(len(batch.rows), np.bool_)
        missing[unknown] = True
        batch.refuse(
            missing,
            "unknown-station",
            lambda at: (
                f"sensor {sensor[at].as_py()!r} has no position in the file and is not in the "
                "station table; give --stations, or --map lon=…,lat=…"
            ),
        )
        return lon, lat

    def _degrees(
        self, name: str, columns: Mapping[str, pa.Array], batch: "_Batch"
    ) -> pa.DoubleArray:
        if name in self._mapping.constants:
            column = pa.array([self._mapping.constants[name]] * len(batch.rows), pa.string())
        else:
            column = _plain(columns[self._resolved[name]])
        if not _is_text(column):
            return column
        numbers, bad = read_numbers(column)
        batch.refuse(bad, f"bad-{name}", lambda at: f"{name} {column[at].as_py()!r} is no number")
        return numbers

    def _value(
        self, name: str, column: pa.Array, batch: "_Batch", *, guess: bool
    ) -> pa.Array | None:
        """A typed column; None where nothing stands in it."""
        if not _is_text(column) or not (guess or name in self._types):
            return column
        texts = pc.if_else(
            pc.is_in(column, value_set=pa.array(sorted(NULL_TEXTS))), None, column.cast(pa.string())
        )
        if texts.null_count == len(texts):
            return None
        kind = self._types.get(name)
        if kind is None:
            kind = self._types[name] = _type_of(texts)
        if kind == "text":
            return texts
        if kind == "boolean":
            lowered = pc.ascii_lower(texts)
            fits = pc.is_in(lowered, value_set=pa.array(_BOOLEANS))
            bad = pc.and_(texts.is_valid(), pc.invert(fits)).to_numpy(zero_copy_only=False)
            typed = pc.if_else(fits, pc.equal(lowered, "true"), None)
        else:
            numbers, bad = read_numbers(texts)
            typed = whole_if_possible(numbers)
        batch.refuse(
            bad,
            "bad-value",
            lambda at: (
                f"{name} {texts[at].as_py()!r} is no {kind}, as the cells above it are; "
                f"correct it, or give the column the type text in a --mapping file"
            ),
        )
        return typed


class _Batch:
    """Which rows of a batch are refused, once each."""

    def __init__(self, rows: Int64s, original: Callable[[int], Any]) -> None:
        self.rows, self._original = rows, original
        self.bad: Bools = np.zeros(len(rows), np.bool_)
        self.refused: list[RefusedMany] = []

    def refuse(self, mask: Bools, reason: str, describe: Callable[[int], str]) -> None:
        at = np.flatnonzero(mask & ~self.bad)
        if len(at):
            self.refused.append(RefusedMany(reason, at, self.rows, describe, self._original))
            self.bad |= mask


def _plain(column: Any) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column


def _is_text(column: pa.Array) -> bool:
    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def _type_of(texts: pa.StringArray) -> str:
    if not read_numbers(texts)[1].any():
        # 007 is a name, not seven.
        padded = pc.match_substring_regex(texts, r"^\s*0[0-9]").fill_null(False)
        return "text" if pc.any(padded).as_py() else "number"
    lowered = pc.ascii_lower(texts)
    is_boolean = pc.or_(texts.is_null(), pc.is_in(lowered, value_set=pa.array(_BOOLEANS)))
    return "boolean" if pc.all(is_boolean).as_py() else "text"
