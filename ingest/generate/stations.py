"""Observations of the 40 stations: what each measures, with gaps and flags, in time order.

The shares of the four quarters (by records) are those of the real files; stations of a quarter
that has more than its share lose the difference in gaps of three hours, as outages do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingest.amedas import square_stations
from ingest.generate.fronts import counters
from ingest.generate.noise import Floats, Int64s, uniform
from ingest.generate.weather import STEP_S, Fields, weather_fields

QUARTER_SHARES: Mapping[str, float] = {"SW": 0.150, "NW": 0.500, "SE": 0.047, "NE": 0.303}
"""Of the records; the real single-value records have 15.0, 49.9, 4.7 and 30.3 %."""
VALUE_NAMES = (
    "temp",
    "precipitation10m",
    "precipitation1h",
    "wind",
    "windDirection",
    "sun10m",
    "humidity",
    "pressure",
)
_ELEMENT_OF = {"precipitation10m": "precipitation", "precipitation1h": "precipitation"} | {
    "sun10m": "sun"
}
FLAGGED_NAMES = ("temp", "precipitation10m")
_PRESENT_MOST = 0.985
_OUTAGE_STEPS = 18
_MISSING_SHARE = 0.001
_DOUBTFUL_SHARE = 0.0008
_INCOMPLETE_SHARE = 0.0002
STEPS_PER_BATCH = 2048


@dataclass(frozen=True, slots=True)
class Stations:
    """The stations as columns; `measures[name]` is bool[s], `present` the share of steps kept."""

    ids: pa.StringArray
    lon: Floats
    lat: Floats
    altitude_m: Floats
    measures: Mapping[str, npt.NDArray[np.bool_]]
    present: Floats


def square(*, by_value: bool) -> Stations:
    """The 40 stations; shares of the quarters hold by record, or by single value."""
    stations = square_stations()
    measures = {
        name: np.array([_ELEMENT_OF.get(name, name) in station.elements for station in stations])
        for name in VALUE_NAMES
    }
    weight = np.sum(list(measures.values()), axis=0) if by_value else np.ones(len(stations))
    quarter = np.array([station.quarter for station in stations])
    present = np.zeros(len(stations))
    for name, share in QUARTER_SHARES.items():
        present[quarter == name] = share / weight[quarter == name].sum()
    return Stations(
        ids=pa.array([station.id for station in stations], pa.string()),
        lon=np.array([station.lon for station in stations]),
        lat=np.array([station.lat for station in stations]),
        altitude_m=np.array([float(station.altitude_m) for station in stations]),
        measures=measures,
        present=present * (_PRESENT_MOST / present.max()),
    )


def observations(seed: int, start_s: int, stations: Stations) -> Iterator[pa.RecordBatch]:
    """Endless batches of some 60,000 records: sensor, time, lon, lat, values, flags.

    A value that a station does not measure, or that is missing, is null; a flag is null where
    the value is normal, 1 where it is doubtful, 4 where its period is not complete.
    """
    first = -(-start_s // STEP_S)
    while True:
        step = np.arange(first, first + STEPS_PER_BATCH)
        yield _batch(seed, step, stations)
        first += STEPS_PER_BATCH


def _batch(seed: int, step: Int64s, stations: Stations) -> pa.RecordBatch:
    count = len(stations.ids)
    fields = weather_fields(
        seed, step, lon=stations.lon, lat=stations.lat, altitude_m=stations.altitude_m
    )
    outage = uniform(seed, 10, (step // _OUTAGE_STEPS)[:, None], counters(count))
    at = np.flatnonzero(outage < stations.present)
    station = at % count
    columns: dict[str, pa.Array] = {
        "sensor": stations.ids.take(pa.array(station)),
        "time": pa.array(step[at // count] * (STEP_S * 1_000_000)).view(
            pa.timestamp("us", tz="UTC")
        ),
        "lon": pa.array(stations.lon[station]),
        "lat": pa.array(stations.lat[station]),
    }
    chance = uniform(seed, 11, step[:, None], counters(count)).ravel()[at]
    for index, (name, values) in enumerate(_named(fields).items()):
        # One draw a record decides all its gaps and flags: each name has its own slice of [0, 1).
        draw = np.mod(chance + index / len(VALUE_NAMES), 1.0)
        absent = ~stations.measures[name][station] | (draw < _MISSING_SHARE)
        columns[name] = pa.array(values.ravel()[at], mask=absent)
        if name in FLAGGED_NAMES:
            columns[f"{name}_flag"] = _flags(draw - _MISSING_SHARE, absent)
    return pa.RecordBatch.from_pydict(columns)


def _flags(draw: Floats, absent: npt.NDArray[np.bool_]) -> pa.Array:
    doubtful = draw < _DOUBTFUL_SHARE
    flagged = (draw < _DOUBTFUL_SHARE + _INCOMPLETE_SHARE) & ~absent
    return pa.array(np.where(doubtful, 1, 4), mask=~flagged)


def _named(fields: Fields) -> Mapping[str, npt.NDArray[np.generic]]:
    return {
        "temp": fields.temp,
        "precipitation10m": fields.precipitation10m,
        "precipitation1h": fields.precipitation1h,
        "wind": fields.wind,
        "windDirection": fields.wind_direction,
        "sun10m": fields.sun10m,
        "humidity": fields.humidity,
        "pressure": fields.pressure,
    }
