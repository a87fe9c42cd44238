"""JMA's map file: all stations at one time, which only the file's name says (in JST).

`{"65042": {"temp": [27.1, 0], …}, …}`. Elements without an instrument are absent, except snow1h
to snow24h, which every station has as `[0, null]`; unknown element keys are kept as they are.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from ingest.errors import MappingNeeded, UnreadableFile
from ingest.formats.bosai_pairs import load_document, pairs_to_columns, place_part
from ingest.formats.compressed import plain_name
from ingest.formats.part import Context, Part, Refused
from ingest.formats.times import JST, fields_to_times, local_to_utc

_NAME = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})\.json")


def stamp_to_time(digits: str) -> int | None:
    """YYYYMMDDHHMMSS in JST as microseconds since the epoch; None when there is no such time."""
    fields = [
        np.array([int(digits[start:stop])], np.int64)
        for start, stop in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))
    ]
    year, month, day, hour, minute, second = fields
    time, bad = fields_to_times(
        year=year, month=month, day=day, hour=hour, minute=minute, second=second
    )
    return None if bad[0] else int(local_to_utc(time, JST)[0])


def decode_bosai_map(stream: BinaryIO, context: Context) -> Iterator[Part]:
    """One part with a record per station; `Refused.row` counts the stations."""
    name = plain_name(context.path)
    match = _NAME.fullmatch(name)
    time = stamp_to_time("".join(match.groups())) if match else None
    if time is None:
        raise MappingNeeded(
            f"the time of a map file is only in its name, and {name!r} has none; "
            "name it YYYYMMDDHHMMSS.json (Japanese time), as it was downloaded"
        )
    document = load_document(stream)
    refused = []
    stations, observations, rows = [], [], []
    for row, (station, entry) in enumerate(document.items(), 1):
        if isinstance(entry, dict):
            stations.append(station)
            observations.append(entry)
            rows.append(row)
        else:
            message = f"station {station!r} holds no object of pairs"
            refused.append(Refused(row, "bad-shape", message, {station: entry}))
    if document and not observations:
        raise UnreadableFile("no member of the object holds observations of a station")
    columns, left_out = pairs_to_columns(
        observations, keep_incomplete=context.keep_incomplete, skip=frozenset()
    )
    originals = [{station: entry} for station, entry in zip(stations, observations, strict=True)]
    yield place_part(
        context,
        stations,
        np.full(len(stations), time, np.int64),
        columns,
        originals,
        np.array(rows, np.int64),
        left_out,
        refused_before=refused,
    )
