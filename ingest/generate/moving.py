"""20,000 vehicles that never stand at the same place twice.

Each vehicle drives a closed curve of two incommensurable waves around its own centre, so that
its position is a function of time. One minute passes between two reports of a vehicle, and
vehicles report spread over that minute.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ingest.generate.fronts import counters
from ingest.generate.noise import Floats, uniform

VEHICLES = 20_000
INTERVAL_US = 60_000_000
_WEST, _SOUTH, _SIDE = 135.0, 33.0, 1.6
_METRES_PER_DEGREE_LAT = 111_320.0
_METRES_PER_DEGREE_LON = 92_300.0  # at 34 degrees north


def vehicles(seed: int, start_s: int) -> Iterator[pa.RecordBatch]:
    """Endless batches of one report per vehicle: sensor, time, lon, lat, speed, heading, temp."""
    draws = uniform(seed, 20, counters(VEHICLES)[:, None], counters(8))
    reach = 0.01 + 0.09 * draws[:, 2]
    track = _Track(draws, reach)
    names = pa.array([f"vehicle-{index:05d}" for index in range(VEHICLES)], pa.string())
    offset_us = np.arange(VEHICLES, dtype=np.int64) * (INTERVAL_US // VEHICLES)
    minute_us = start_s * 1_000_000
    while True:
        time_us = minute_us + offset_us
        lon, lat = track.position(time_us / 1e6)
        east, north = track.position(time_us / 1e6 + 1.0)
        east_m = (east - lon) * _METRES_PER_DEGREE_LON
        north_m = (north - lat) * _METRES_PER_DEGREE_LAT
        speed = np.hypot(east_m, north_m) * 3.6
        heading = np.mod(np.rint(np.degrees(np.arctan2(east_m, north_m))), 360).astype(np.int64)
        temp = 22.0 - 6.0 * (lat - 33.8) + 4.0 * draws[:, 7]
        yield pa.RecordBatch.from_pydict(
            {
                "sensor": names,
                "time": pa.array(time_us).view(pa.timestamp("us", tz="UTC")),
                "lon": pa.array(np.round(lon, 7)),
                "lat": pa.array(np.round(lat, 7)),
                "speed": pa.array(np.round(speed, 1)),
                "heading": pa.array(heading),
                "temp": pa.array(np.round(temp, 1)),
            }
        )
        minute_us += INTERVAL_US


class _Track:
    """Where each vehicle is at a time in seconds (float64[20,000])."""

    def __init__(self, draws: Floats, reach: Floats) -> None:
        room = _SIDE - 2.0 * 0.125  # the longest reach and its wobble stay inside the square
        self._lon = _WEST + 0.125 + room * draws[:, 0]
        self._lat = _SOUTH + 0.125 + room * draws[:, 1]
        self._reach = reach
        # Up to about 20 m/s on the smallest and the largest curve alike.
        turn = 2.0e-4 / np.maximum(reach, 0.01)
        self._turn_lon = turn * (0.2 + 0.8 * draws[:, 3])
        self._turn_lat = turn * (0.2 + 0.8 * draws[:, 4])
        self._phase_lon = 2.0 * np.pi * draws[:, 5]
        self._phase_lat = 2.0 * np.pi * draws[:, 6]

    def position(self, time_s: Floats) -> tuple[Floats, Floats]:
        """Longitudes and latitudes."""
        lon_angle = self._turn_lon * time_s + self._phase_lon
        lat_angle = self._turn_lat * time_s + self._phase_lat
        lon = self._lon + self._reach * (np.sin(lon_angle) + 0.2 * np.sin(2.71 * lat_angle))
        lat = self._lat + self._reach * (np.sin(lat_angle) + 0.2 * np.sin(2.71 * lon_angle))
        return lon, lat
