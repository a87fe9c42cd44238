"""Where stations stand: JMA's tables, or any CSV with id, lon and lat.

Positions are degrees and decimal minutes in JMA's tables; deg + min / 60 in every importer, so
that the same station is the same place whichever file it came from.
"""

import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import orjson
import pyarrow as pa

from ingest.amedas import square_stations
from ingest.errors import MappingNeeded, UnreadableFile
from ingest.formats.text import decode_text
from zring.morton import Int64s

_MASTER_COLUMNS = ("観測所番号", "緯度(度)", "緯度(分)", "経度(度)", "経度(分)", "観測所名")
_ID_COLUMNS = ("id", "station", "station_id", "sensor", "amdno")


@dataclass(frozen=True, slots=True)
class StationTable:
    """Positions by id, and ids by name.

    Attributes:
        positions: id → (lon, lat) in degrees.
        names: name in any language → ids; a name may belong to several stations.
        repeated: ids that a table had twice (instruments at two spots); the first spot counts.
    """

    positions: Mapping[str, tuple[float, float]]
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    repeated: tuple[str, ...] = ()

    @classmethod
    def build(cls, stations: Iterable[tuple[str, float, float, Iterable[str]]]) -> Self:
        """From (id, lon, lat, names), in the order of a table."""
        positions: dict[str, tuple[float, float]] = {}
        names: dict[str, tuple[str, ...]] = {}
        repeated = []
        for station, lon, lat, own_names in stations:
            if not (math.isfinite(lon) and math.isfinite(lat)):
                raise UnreadableFile(f"station {station!r} has no position")
            if station in positions:
                repeated.append(station)
                continue
            positions[station] = (lon, lat)
            for name in dict.fromkeys(filter(None, own_names)):
                names[name] = (*names.get(name, ()), station)
        return cls(positions, names, tuple(dict.fromkeys(repeated)))

    @classmethod
    def of_square(cls) -> Self:
        """The 40 stations that come with the package."""
        return cls.build((s.id, s.lon, s.lat, s.names) for s in square_stations())

    def places(self, sensors: pa.StringArray) -> tuple[pa.Array, pa.Array, Int64s]:
        """Longitudes and latitudes (float64[n], null where unknown), and rows that are unknown.

        Cost: one look-up for each distinct sensor.
        """
        encoded = sensors.dictionary_encode()
        known = [self.positions.get(name) for name in encoded.dictionary.to_pylist()]
        lon = pa.array([None if place is None else place[0] for place in known], pa.float64())
        lat = pa.array([None if place is None else place[1] for place in known], pa.float64())
        lon, lat = lon.take(encoded.indices), lat.take(encoded.indices)
        return lon, lat, np.flatnonzero(lon.is_null().to_numpy(zero_copy_only=False))


def read_station_table(data: bytes) -> StationTable:
    """Read amedastable.json, ame_master.csv or a CSV with id, lon, lat.

    Raises:
        UnreadableFile: none of them.
        MappingNeeded: a CSV without these columns.
    """
    if data.lstrip()[:1] == b"{":
        return _read_json(data)
    lines = decode_text(data).split("\n")
    try:
        rows = [row for row in csv.reader(lines) if any(row)]
    except csv.Error as error:
        raise UnreadableFile(f"the station table is no CSV: {error}") from None
    if not rows:
        raise UnreadableFile("the station table is empty")
    header = [cell.strip() for cell in rows[0]]
    if "観測所番号" in header and "緯度(度)" in header:
        return _read_master(header, rows[1:])
    return _read_plain(header, rows[1:])


def _read_json(data: bytes) -> StationTable:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnreadableFile(f"the station table is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise UnreadableFile("the station table is no JSON object of stations")
    return StationTable.build(
        (
            station,
            _degrees(station, entry, "lon"),
            _degrees(station, entry, "lat"),
            [str(entry.get(key) or "") for key in ("enName", "kjName", "knName")],
        )
        for station, entry in document.items()
    )


def _degrees(station: str, entry: Any, key: str) -> float:
    pair = entry.get(key) if isinstance(entry, dict) else None
    if not (isinstance(pair, list) and len(pair) == 2):
        raise UnreadableFile(f"station {station!r} has {key}={pair!r}, not [degrees, minutes]")
    return _from_minutes(station, pair[0], pair[1])


def _from_minutes(station: str, degrees: Any, minutes: Any) -> float:
    try:
        return round(float(degrees) + float(minutes) / 60.0, 7)
    except (TypeError, ValueError, OverflowError):
        raise UnreadableFile(
            f"station {station!r} has position {degrees!r}, {minutes!r}; degrees and minutes"
        ) from None


def _read_master(header: list[str], rows: list[list[str]]) -> StationTable:
    # 30 ids occur twice (rain here, wind there): the first row is the main site.
    at = {name: header.index(name) for name in _MASTER_COLUMNS if name in header}
    missing = [name for name in _MASTER_COLUMNS if name not in at]
    if missing:
        raise UnreadableFile(f"the station list has no column {missing[0]}")
    width = max(at.values()) + 1
    stations = []
    for row in rows:
        if len(row) < width or not re.fullmatch(r"\d{4,5}", row[at["観測所番号"]]):
            continue
        station = row[at["観測所番号"]].zfill(5)
        lat = _from_minutes(station, row[at["緯度(度)"]], row[at["緯度(分)"]])
        lon = _from_minutes(station, row[at["経度(度)"]], row[at["経度(分)"]])
        stations.append((station, lon, lat, [row[at["観測所名"]]]))
    return StationTable.build(stations)


def _read_plain(header: list[str], rows: list[list[str]]) -> StationTable:
    lowered = [name.lower() for name in header]
    station_at = next((lowered.index(name) for name in _ID_COLUMNS if name in lowered), None)
    if station_at is None or "lon" not in lowered or "lat" not in lowered:
        raise MappingNeeded(
            f"the station table needs the columns id, lon, lat; it has {', '.join(header[:20])}"
        )
    lon_at, lat_at = lowered.index("lon"), lowered.index("lat")
    names_at = [at for at, name in enumerate(lowered) if "name" in name]
    stations = []
    for line, row in enumerate(rows, 2):
        try:
            lon, lat = float(row[lon_at]), float(row[lat_at])
            names = [row[at] for at in names_at if at < len(row)]
            stations.append((row[station_at], lon, lat, names))
        except (ValueError, IndexError):
            raise UnreadableFile(f"line {line} of the station table has no position") from None
    return StationTable.build(stations)
