"""The two searches of experiment N2: about 20,000 of 2,000,000 records, five times each."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import mean
from typing import Any

from node.client import Client

ROWS_WANTED = 20_000
RUNS = 5
QUARTERS = ("SW", "NW", "SE", "NE")
"""In curve order: the cells of level 1."""


@dataclass(frozen=True, slots=True)
class Search:
    """One search: its box (degrees), and what was published for it."""

    title: str
    bbox: tuple[float, float, float, float]
    published_s: float


SEARCHES = (
    Search("in one node's area", (135.02, 33.82, 135.78, 34.58), 0.9282),
    Search("across nodes", (135.2, 33.2, 136.4, 34.4), 0.6132),
)


@dataclass(frozen=True, slots=True)
class Timing:
    """What one search took."""

    search: Search
    rows: int
    coverage: str
    mean_s: float
    best_s: float


def time_search(client: Client, collection: str, search: Search) -> Timing:
    """Run one search RUNS times, from the call to the decoded Arrow table."""
    window = _window(client, collection, search.bbox)
    times_s = []
    for _ in range(RUNS):
        start_s = time.perf_counter()
        result = client.query(collection, bbox=search.bbox, **window)
        rows = len(result)
        times_s.append(time.perf_counter() - start_s)
    return Timing(search, rows, result.coverage.state, mean(times_s), min(times_s))


def quarter_counts(client: Client, collection: str) -> dict[str, int]:
    """Records in each quarter of the domain."""
    groups = client.aggregate(collection, level=1, columns=("temp",)).table.to_pylist()
    counts = {int(group["cell"]): int(group["count"]) for group in groups}
    return {name: counts.get(cell, 0) for cell, name in enumerate(QUARTERS)}


def _window(client: Client, collection: str, bbox: tuple[float, ...]) -> dict[str, Any]:
    """The hours in the middle of the data that hold about ROWS_WANTED records of the box."""
    groups = client.aggregate(collection, bbox=bbox, step="PT1H").table
    hours = sorted(zip(groups["time"].to_pylist(), groups["count"].to_pylist(), strict=True))
    if not hours:
        now = datetime.now(UTC)
        return {"from_": now - timedelta(hours=1), "to": now}
    first = len(hours) // 3
    count = 0
    for last in range(first, len(hours)):
        count += hours[last][1]
        if count >= ROWS_WANTED:
            break
    return {"from_": hours[first][0], "to": hours[last][0] + timedelta(hours=1)}
