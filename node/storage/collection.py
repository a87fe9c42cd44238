"""What an engine knows of a collection without reading it: counts, bounds, types of values."""

from collections.abc import Mapping

from node.records import TYPE_NAMES, Rows
from node.storage.engine import CollectionStatistics


def widened(known: CollectionStatistics | None, rows: Rows) -> CollectionStatistics:
    """The statistics after these rows came in: one record more for each, bounds widened.

    A name that came with two different types is "json" from then on.
    """
    assert len(rows), "no rows say nothing"
    here = CollectionStatistics(
        records=len(rows),
        time_min=int(rows.time.min()),
        time_max=int(rows.time.max()),
        west=int(rows.lon.min()),
        south=int(rows.lat.min()),
        east=int(rows.lon.max()),
        north=int(rows.lat.max()),
        value_types={name: TYPE_NAMES[column.type] for name, column in rows.values.items()},
    )
    return here if known is None else _joined(known, here)


def _joined(one: CollectionStatistics, other: CollectionStatistics) -> CollectionStatistics:
    return CollectionStatistics(
        records=one.records + other.records,
        time_min=min(one.time_min, other.time_min),
        time_max=max(one.time_max, other.time_max),
        west=min(one.west, other.west),
        south=min(one.south, other.south),
        east=max(one.east, other.east),
        north=max(one.north, other.north),
        value_types=joined_types(one.value_types, other.value_types),
    )


def joined_types(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """Types by name; a name that has two is "json"."""
    joined = dict(one)
    for name, kind in other.items():
        if joined.setdefault(name, kind) != kind:
            joined[name] = "json"
    return joined


def with_records(known: CollectionStatistics, records: int) -> CollectionStatistics:
    """The same bounds and types with another count."""
    return CollectionStatistics(
        records,
        known.time_min,
        known.time_max,
        known.west,
        known.south,
        known.east,
        known.north,
        known.value_types,
    )
