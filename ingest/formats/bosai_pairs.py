"""`[value, flag]` pairs of JMA's bosai JSON as columns, and the station each object belongs to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from ingest.errors import UnreadableFile
from ingest.formats.flags import NO_FLAG, element_arrays, judge
from ingest.formats.part import DOCUMENT_BYTES_MAX, Context, Part, Refused
from zring.morton import Int64s

_NUMBERS = (int, float)
_FLAG_LIMIT = 1_000


def load_document(stream: Any) -> dict[str, Any]:
    """The whole file as one JSON object.

    Raises:
        UnreadableFile: too large, no JSON, no object.
    """
    data = stream.read(DOCUMENT_BYTES_MAX + 1)
    if len(data) > DOCUMENT_BYTES_MAX:
        raise UnreadableFile(f"more than {DOCUMENT_BYTES_MAX} bytes in one JSON document; split it")
    try:
        document = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise UnreadableFile(f"the file is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise UnreadableFile("the file is JSON but no object")
    return document


def pairs_to_columns(
    observations: Sequence[Mapping[str, Any]], *, keep_incomplete: bool, skip: frozenset[str]
) -> tuple[dict[str, pa.Array], Counter[str]]:
    """Value and flag columns of n objects of pairs; what is no pair is left out and counted.

    Args:
        skip: keys that are known to be no pairs.
    """
    columns: dict[str, pa.Array] = {}
    left_out: Counter[str] = Counter()
    for name in dict.fromkeys(key for entry in observations for key in entry):
        if name in skip:
            continue
        cells = [entry.get(name) for entry in observations]
        is_pair = np.array([type(cell) is list and len(cell) == 2 for cell in cells])
        left_out["not-a-pair"] += sum(
            cell is not None for cell, good in zip(cells, is_pair, strict=True) if not good
        )
        at = np.flatnonzero(is_pair)
        pairs = [cells[index] for index in at.tolist()]
        values = [_number(pair[0]) for pair in pairs]
        numbers = np.full(len(cells), np.nan)
        numbers[at] = values
        flags = np.full(len(cells), NO_FLAG, np.int64)
        flags[at] = [_flag(pair[1]) for pair in pairs]
        judged = judge(
            "aqc",
            np.isfinite(numbers)[at],
            flags[at],
            keep_incomplete=keep_incomplete,
        )
        left_out.update(judged.left_out)
        kept = element_arrays(name, numbers[at], judged)
        back = np.full(len(cells), -1, np.int64)
        back[at] = np.arange(len(at))
        take = pa.array(back, mask=back < 0)
        columns.update({key: array.take(take) for key, array in kept.items()})
    return columns, +left_out


def _number(value: Any) -> float:
    if type(value) not in _NUMBERS:
        return np.nan
    try:
        return float(value)
    except OverflowError:
        return np.nan


def _flag(value: Any) -> int:
    if value is None:
        return NO_FLAG
    # A flag that is no small number is an unknown one, and unknown flags store nothing.
    return value if type(value) is int and 0 <= value < _FLAG_LIMIT else _FLAG_LIMIT


def place_part(
    context: Context,
    stations: Sequence[str],
    time: Int64s,
    columns: dict[str, pa.Array],
    originals: Sequence[Any],
    rows: Int64s,
    left_out: Counter[str],
    *,
    refused_before: Sequence[Refused] = (),
    topic: str = "",
) -> Part:
    """Join observations with their stations; unknown stations are refused, empty ones counted."""
    sensor = pa.array(stations, pa.string())
    lon, lat, unknown = context.stations.places(sensor)
    empty = np.ones(len(sensor), np.bool_)
    for column in columns.values():
        empty &= column.is_null().to_numpy(zero_copy_only=False)
    keep = ~empty
    keep[unknown] = False
    refused = tuple(
        Refused(
            int(rows[index]),
            "unknown-station",
            f"station {stations[index]} is not in the station table; give a newer one "
            "with --stations and load the file again",
            originals[index],
        )
        for index in unknown.tolist()
        if not empty[index]
    )
    left_out["record-without-value"] += int(empty.sum())
    at = np.flatnonzero(keep)
    taken = pa.array(at)
    fixed = {
        "sensor": sensor.take(taken),
        "time": pa.array(time[at]).view(pa.timestamp("us", tz="UTC")),
        "lon": lon.take(taken),
        "lat": lat.take(taken),
    }
    values = {name: column.take(taken) for name, column in columns.items()}
    return Part(
        columns={**fixed, **values},
        rows=rows[at],
        original=lambda index: originals[int(at[index])],
        refused=(*refused_before, *refused),
        left_out=+left_out,
        topic=topic,
    )
