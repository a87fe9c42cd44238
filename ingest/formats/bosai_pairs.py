"""`[value, flag]` pairs of JMA's bosai JSON as columns, and the station each object belongs to."""

import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from ingest.errors import UnreadableFile
from ingest.formats.flags import NO_FLAG, element_arrays, judge
from ingest.formats.part import DOCUMENT_BYTES_MAX, Context, Part, Refused
from zring.morton import Int64s

_NULL = type(None)
_NUMBER_OR_NULL, _INTEGER_OR_NULL = frozenset((int, float, _NULL)), frozenset((int, _NULL))
_FLAG_LIMIT = 1_000
_SMALL = frozenset((None, *range(_FLAG_LIMIT)))


def load_document(stream: Any) -> dict[str, Any]:
    """The whole file as one JSON object.

    Raises:
        UnreadableFile: too large, no JSON, no object.
    """
    data = stream.read(DOCUMENT_BYTES_MAX + 1)
    if len(data) > DOCUMENT_BYTES_MAX:
        raise UnreadableFile(f"more than {DOCUMENT_BYTES_MAX} bytes in one JSON document; split it")
    # A map is 26,000 small lists that all stay: the collector would walk through them again and
    # again while they are made, and find nothing (14 ms instead of 2).
    collecting = gc.isenabled()
    gc.disable()
    try:
        document = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise UnreadableFile(f"the file is no JSON: {error}") from None
    finally:
        if collecting:
            gc.enable()
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
        cells: list[Any] = [entry.get(name) for entry in observations]
        is_pair = np.fromiter((type(cell) is list and len(cell) == 2 for cell in cells), np.bool_)
        at = np.flatnonzero(is_pair)
        left_out["not-a-pair"] += len(cells) - cells.count(None) - len(at)
        pairs = [cells[index] for index in at.tolist()] if len(at) < len(cells) else cells
        numbers, flags = _numbers([pair[0] for pair in pairs]), _flags([pair[1] for pair in pairs])
        judged = judge("aqc", np.isfinite(numbers), flags, keep_incomplete=keep_incomplete)
        left_out.update(judged.left_out)
        kept = element_arrays(name, numbers, judged)
        back = np.full(len(cells), -1, np.int64)
        back[at] = np.arange(len(at))
        take = pa.array(back, mask=back < 0)
        columns.update({key: array.take(take) for key, array in kept.items()})
    return columns, +left_out


def _numbers(values: list[Any]) -> npt.NDArray[np.float64]:
    """float64[n], NaN for what is no number; `true` is none."""
    if _NUMBER_OR_NULL.issuperset(map(type, values)):
        try:
            return np.array(values, np.float64)  # None becomes NaN
        except OverflowError:
            pass  # an integer beyond what a float holds: find out which
    return np.array([_number(value) for value in values], np.float64)


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        return np.nan
    try:
        return float(value)
    except OverflowError:
        return np.nan


def _flags(values: list[Any]) -> Int64s:
    """int64[n]; a flag that is no small number is an unknown one, and those store nothing."""
    if not (_INTEGER_OR_NULL.issuperset(map(type, values)) and _SMALL.issuperset(values)):
        values = [
            value
            if (type(value) is int and 0 <= value < _FLAG_LIMIT) or value is None
            else _FLAG_LIMIT
            for value in values
        ]
    return np.array([NO_FLAG if value is None else value for value in values], np.int64)


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
