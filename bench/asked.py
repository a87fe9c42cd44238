"""The questions of the figures, for each data set."""

from dataclasses import dataclass

import numpy as np

from bench.dataset import Dataset
from bench.question import DAY_US, Oracle, Question, question

SMALL_QUESTIONS = 400
SMALL_WIDTH, SMALL_HEIGHT = 0.12, 0.18
SQUARE = (135.0, 33.0, 136.6, 34.6)
INSIDE = (135.15, 33.95, 135.75, 34.55)
ACROSS = (135.5, 33.5, 136.1, 34.1)
FIRST_DAY = "2025-03-01"

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Asked:
    """What one data set is asked.

    Attributes:
        inside: about 20,000 rows in the area of one of four nodes (north-west).
        across: about 20,000 rows of all four quarters.
        month: about 75,000 rows of the whole square: a month of the real records.
        small: boxes of about 100 rows; one or two stations and two days of the real records.
    """

    inside: Question
    across: Question
    month: Question
    small: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class _Days:
    inside: float
    across: float
    month: float
    small: float


_DAYS = {
    "stations": _Days(inside=27, across=34, month=31, small=2),
    "vehicles": _Days(inside=57, across=57, month=31, small=5),
}
"""Chosen so that answers of all data sets have the same sizes; others are searched."""


def asked_of(dataset: Dataset) -> Asked:
    """The questions for this data set."""
    oracle = Oracle(dataset)
    days = _DAYS.get(dataset.name) or _searched_days(oracle)
    return Asked(
        inside=question(INSIDE, FIRST_DAY, days.inside),
        across=question(ACROSS, FIRST_DAY, days.across),
        month=question(SQUARE, FIRST_DAY, days.month),
        small=_small(oracle, days=days.small),
    )


def _searched_days(oracle: Oracle) -> _Days:
    def days_for(box: Box, rows: int) -> float:
        hours = 1
        while hours < 1_000 and len(oracle.matches(question(box, FIRST_DAY, hours / 24))) < rows:
            hours += 1
        return hours / 24

    station = (135.163 - SMALL_WIDTH / 2, 34.228 - SMALL_HEIGHT / 2,
               135.163 + SMALL_WIDTH / 2, 34.228 + SMALL_HEIGHT / 2)  # fmt: skip
    return _Days(
        inside=days_for(INSIDE, 20_000),
        across=days_for(ACROSS, 20_000),
        month=days_for(SQUARE, 75_000),
        small=days_for(station, 100),
    )


def _small(oracle: Oracle, *, days: float) -> tuple[Question, ...]:
    """Boxes around random sensors' places at random days, none of them empty."""
    rng = np.random.default_rng(1)
    places = np.unique(np.stack([oracle.lon, oracle.lat], axis=1), axis=0)
    asked: list[Question] = []
    while len(asked) < SMALL_QUESTIONS:
        lon, lat = places[rng.integers(len(places))]
        time = oracle.time[rng.integers(len(oracle.time))]
        one = _box_around(float(lon), float(lat), int(time // DAY_US * DAY_US), days)
        if len(oracle.matches(one)):
            asked.append(one)
    return tuple(asked)


def _box_around(lon: float, lat: float, time_start: int, days: float) -> Question:
    west, south, east, north = SQUARE
    return Question(
        round(max(west, lon - SMALL_WIDTH / 2), 4),
        round(max(south, lat - SMALL_HEIGHT / 2), 4),
        round(min(east, lon + SMALL_WIDTH / 2), 4),
        round(min(north, lat + SMALL_HEIGHT / 2), 4),
        time_start,
        time_start + int(days * DAY_US),
    )
