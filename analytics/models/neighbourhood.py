"""Who stands around a station, by direction and distance."""

from dataclasses import dataclass

import numpy as np

from analytics.models.grid import Float64s, Places
from analytics.models.network import Float32s

KM_PER_DEGREE = 111.2
DIRECTIONS = 8
RINGS_KM: tuple[tuple[float, float], ...] = ((45.0, 30.0), (110.0, 50.0), (220.0, 90.0))
"""Distance of the points that are looked at in each direction, and how far a station may be from
such a point. Weather comes with 30 to 70 km/h: the rings are what arrives in 1, 3 and 6 hours."""
NEAR_KM = 30.0
"""Reach of the one point at the station itself."""
STATIONS_PER_POINT = 6
SOFTENING_KM = 5.0
"""Keeps one station that happens to stand at a point from outweighing the others."""
ROWS_AT_ONCE = 400
POINTS = 1 + DIRECTIONS * len(RINGS_KM)


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """For each station and each point around it, the nearest other stations.

    Attributes:
        index: intp[stations, points, STATIONS_PER_POINT], into the stations of the grid.
        weight: float32 of the same shape; 0 where there are fewer.
    """

    index: Places
    weight: Float32s

    def near(self) -> "Neighbourhood":
        """Only the point at the station itself and the first ring."""
        points = slice(0, 1 + DIRECTIONS)
        return Neighbourhood(self.index[:, points], self.weight[:, points])

    def mean(self, series: Float32s) -> Float32s:
        """float32[stations, points, times] of float32[stations, times]; NaN without any value."""
        total = np.zeros((*self.index.shape[:2], series.shape[1]), np.float32)
        known = np.zeros_like(total)
        there = np.isfinite(series)
        filled = np.where(there, series, np.float32(0))
        weights = there.astype(np.float32)
        for place in range(self.index.shape[2]):
            share = self.weight[:, :, place, None]
            total += share * filled[self.index[:, :, place]]
            known += share * weights[self.index[:, :, place]]
        with np.errstate(invalid="ignore"):
            return np.where(known > 0, total / known, np.float32(np.nan))


def neighbourhood_of(*, lon: Float64s, lat: Float64s, candidates: Places) -> Neighbourhood:
    """Of all stations, among the candidates (those that measure an element).

    Cost: stations × candidates × POINTS.
    """
    count = len(lon)
    index = np.zeros((count, POINTS, STATIONS_PER_POINT), np.intp)
    weight = np.zeros(index.shape, np.float32)
    if len(candidates):
        for start in range(0, count, ROWS_AT_ONCE):
            rows = np.arange(start, min(start + ROWS_AT_ONCE, count))
            index[rows], weight[rows] = _nearest(lon, lat, rows, candidates)
    return Neighbourhood(index, weight)


def _nearest(
    lon: Float64s, lat: Float64s, rows: Places, candidates: Places
) -> tuple[Places, Float32s]:
    """Both arrays of `Neighbourhood` for some of the stations."""
    east_km = (lon[candidates] - lon[rows, None]) * KM_PER_DEGREE
    east_km *= np.cos(np.radians(lat[rows, None]))
    north_km = (lat[candidates] - lat[rows, None]) * KM_PER_DEGREE
    # Never the station itself, nor another one on its very place.
    itself = (candidates == rows[:, None]) | (np.hypot(east_km, north_km) < 0.01)
    kept = min(STATIONS_PER_POINT, len(candidates))
    index = np.zeros((len(rows), POINTS, STATIONS_PER_POINT), np.intp)
    weight = np.zeros(index.shape, np.float32)
    for point, (point_east_km, point_north_km, reach_km) in enumerate(_points()):
        distance_km = np.hypot(east_km - point_east_km, north_km - point_north_km)
        distance_km[itself] = np.inf
        nearest = np.argsort(distance_km, axis=1, kind="stable")[:, :kept]
        near_km = np.take_along_axis(distance_km, nearest, axis=1)
        index[:, point, :kept] = candidates[nearest]
        weight[:, point, :kept] = np.where(near_km < reach_km, 1 / (SOFTENING_KM + near_km), 0)
    return index, weight


def _points() -> list[tuple[float, float, float]]:
    """East and north (km) of each point, and its reach."""
    points = [(0.0, 0.0, NEAR_KM)]
    for distance_km, reach_km in RINGS_KM:
        for direction in range(DIRECTIONS):
            angle = 2 * np.pi * direction / DIRECTIONS
            points.append((distance_km * np.cos(angle), distance_km * np.sin(angle), reach_km))
    return points
