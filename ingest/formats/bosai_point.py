"""JMA's point file: one station, up to three hours in steps of ten minutes.

Keys are JST; `maxTempTime`, `minTempTime` and `gustTime` are hour and minute in UTC, though
nothing in the file says so. They become full times: the latest such moment that is not after
the slot. The station is `prefNumber` and `observationNumber`, and must agree with the name of
the file or its folder where that has one.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.errors import UnreadableFile
from ingest.formats.bosai_map import stamp_to_time
from ingest.formats.bosai_pairs import load_document, pairs_to_columns, place_part
from ingest.formats.compressed import plain_name
from ingest.formats.part import Context, Part, Refused
from node.codec.times import times_to_texts
from zring.morton import Int64s

OCCURRENCES: Mapping[str, str] = {
    "maxTempTime": "maxTemp",
    "minTempTime": "minTemp",
    "gustTime": "gust",
}
_STATION_NUMBERS = ("prefNumber", "observationNumber")
_SKIP = frozenset((*_STATION_NUMBERS, *OCCURRENCES))
_DAY_US = 86_400_000_000
_NAME = re.compile(r"(?:(\d{5})[_-])?\d{8}_\d{2}\.json")


def decode_bosai_point(stream: BinaryIO, context: Context) -> Iterator[Part]:
    """One part with a record per time; `Refused.row` counts the times."""
    expected = station_of_path(context.path)
    document = load_document(stream)
    refused: list[Refused] = []
    rows, times, stations, slots, originals = [], [], [], [], []
    for row, (stamp, slot) in enumerate(document.items(), 1):
        trouble, moment, station = _check_slot(stamp, slot, expected)
        if trouble is None:
            rows.append(row)
            times.append(moment)
            stations.append(station)
            slots.append(slot)
            originals.append({stamp: slot})
        else:
            refused.append(Refused(row, *trouble, {stamp: slot}))
    if document and len(refused) == len(document):
        raise UnreadableFile(f"no time of the file is readable: {refused[0].message}")
    time: Int64s = np.array(times, np.int64)
    columns, left_out = pairs_to_columns(slots, keep_incomplete=context.keep_incomplete, skip=_SKIP)
    for name, element in OCCURRENCES.items():
        column = _occurrences(slots, name, time)
        if element in columns and column.null_count < len(column):
            measured = columns[element].is_valid()
            columns[name] = pc.if_else(measured, column, None)
    yield place_part(
        context,
        stations,
        time,
        columns,
        originals,
        np.array(rows, np.int64),
        left_out,
        refused_before=refused,
        topic="point",
    )


def station_of_path(path: str) -> str | None:
    """The station that a path names: `44132/20241123_18.json` or `44132_20241123_18.json`."""
    match = _NAME.fullmatch(plain_name(path))
    if match is None:
        return None
    if match[1]:
        return match[1]
    folders = path.replace("\\", "/").split("/")[:-1]
    return folders[-1] if folders and re.fullmatch(r"\d{5}", folders[-1]) else None


def _check_slot(
    stamp: str, slot: Any, expected: str | None
) -> tuple[tuple[str, str] | None, int, str]:
    """Why a slot is refused (reason, message) or None; its time; its station."""
    time = stamp_to_time(stamp) if re.fullmatch(r"[0-9]{14}", stamp) else None
    if time is None:
        return ("bad-time", f"key {stamp!r} is no time YYYYMMDDHHMMSS"), 0, ""
    if not isinstance(slot, dict):
        return ("bad-shape", f"time {stamp} holds no object"), 0, ""
    numbers = [slot.get(key) for key in _STATION_NUMBERS]
    if not all(type(number) is int and 0 <= number < 1_000 for number in numbers):
        if expected is None or numbers != [None, None]:
            return ("no-station", f"prefNumber, observationNumber are {numbers}"), 0, ""
        return None, time, expected
    station = f"{numbers[0]:02d}{numbers[1]:03d}"
    if expected is not None and station != expected:
        message = f"the file is named for station {expected}, the content is of {station}"
        return ("station-mismatch", message), 0, ""
    return None, time, station


def _occurrences(slots: Sequence[Mapping[str, Any]], name: str, time: Int64s) -> pa.Array:
    """RFC 3339 texts of the latest moment not after the slot with this hour and minute (UTC)."""
    minutes = np.array([_minute_of_day(slot.get(name)) for slot in slots], np.int64)
    at = time // _DAY_US * _DAY_US + minutes * 60_000_000
    at = np.where(at > time, at - _DAY_US, at)
    texts = times_to_texts(np.where(minutes < 0, 0, at))
    return pc.if_else(pa.array(minutes >= 0), texts, None)


def _minute_of_day(cell: Any) -> int:
    if not isinstance(cell, dict):
        return -1
    hour, minute = cell.get("hour"), cell.get("minute")
    if type(hour) is not int or type(minute) is not int:
        return -1
    return hour * 60 + minute if 0 <= hour < 24 and 0 <= minute < 60 else -1
