"""Records for streams, and what jobs must make of them, computed the slow and obvious way."""

import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson

START = datetime(2024, 5, 1, tzinfo=UTC)
WEST, SOUTH, SIDE = 135.0, 33.0, 1.6


def make_stream(seconds: int, *, sensors: int = 6, seed: int = 3) -> list[dict[str, Any]]:
    """A record of each sensor every five seconds, in order of time."""
    rng = np.random.default_rng(seed)
    records = []
    for second in range(0, seconds, 5):
        time = START + timedelta(seconds=second)
        records += [
            {
                "sensor": f"s{number}",
                "time": time.isoformat().replace("+00:00", "Z"),
                "lon": round(WEST + SIDE * (number + 0.41) / sensors, 4),
                "lat": round(SOUTH + SIDE * ((number * 0.37 + 0.1) % 1.0), 4),
                "values": {"temp": round(20 + float(rng.normal()), 2)},
            }
            for number in range(sensors)
        ]
    return records


def shuffled(records: list[dict[str, Any]], *, seconds: int, seed: int) -> list[dict[str, Any]]:
    """The same, each record up to so many seconds later in the order."""
    rng = np.random.default_rng(seed)
    late = [
        (datetime.fromisoformat(record["time"]).timestamp() + float(rng.uniform(0, seconds)), index)
        for index, record in enumerate(records)
    ]
    return [records[index] for _, index in sorted(late)]


def bodies(records: list[dict[str, Any]]) -> list[bytes | None]:
    """As messages."""
    return [orjson.dumps(record) for record in records]


def expected_windows(
    records: list[dict[str, Any]], *, length_s: int, slide_s: int, level: int, complete_s: float
) -> dict[tuple[str, datetime], dict[str, float]]:
    """(Name, start) → metrics, of the windows that end by `complete_s` after START."""
    groups: dict[tuple[str, datetime], list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        second = (datetime.fromisoformat(record["time"]) - START).total_seconds()
        x = int((record["lon"] - WEST) / SIDE * (1 << level))
        y = int((record["lat"] - SOUTH) / SIDE * (1 << level))
        cell = sum(
            ((x >> bit) & 1) << (2 * bit + 1) | ((y >> bit) & 1) << (2 * bit)
            for bit in range(level)
        )
        name = f"cell-{level}-{cell}/temp/{length_s}s"
        name += f"-by-{slide_s}s" if slide_s != length_s else ""
        first = math.floor(second / slide_s) * slide_s
        while first > second - length_s:
            if first + length_s <= complete_s:
                groups[name, START + timedelta(seconds=first)].append(record)
            first -= slide_s
    made = {}
    for key, group in groups.items():
        numbers = [record["values"]["temp"] for record in group]
        made[key] = {
            "count": len(numbers),
            "mean": sum(numbers) / len(numbers),
            "min": min(numbers),
            "max": max(numbers),
            "sensors": len({record["sensor"] for record in group}),
        }
    return made
