"""From Python arguments to the query part of a URL."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from node.errors import BadRequest
from zring.domain import degrees_to_e7

Time = str | datetime
BoundingBox = Sequence[float]
SAFE = ",:/.-_*"
"""Characters of values that need no quoting in a query string."""


@lru_cache(maxsize=1_024)
def collection_path(collection: str) -> str:
    """`/collections/{collection}` with the name quoted."""
    return f"/collections/{quote(collection, safe='')}"


def query_string(
    *,
    bbox: BoundingBox | None = None,
    datetime: str | None = None,
    from_: Time | None = None,
    to: Time | None = None,
    sensors: Iterable[str] | str | None = None,
    filter: str | None = None,
    columns: Iterable[str] | None = None,
    metadata: bool = False,
    more: Mapping[str, Any] | None = None,
) -> str:
    """The parameters that are given, as `a=b&c=d`; times without a zone are refused here.

    Raises:
        BadRequest: names the argument.
    """
    parts = []
    if bbox is not None:
        parts.append("bbox=" + ",".join(map(repr, map(float, bbox))))
    if datetime is not None:
        parts.append("datetime=" + quote(datetime, safe=SAFE))
    if from_ is not None:
        parts.append("from=" + quote(time_text(from_, "from_"), safe=SAFE))
    if to is not None:
        parts.append("to=" + quote(time_text(to, "to"), safe=SAFE))
    if sensors is not None:
        names = (sensors,) if isinstance(sensors, str) else sensors
        parts.append("sensor=" + ",".join(quote(name, safe="") for name in names))
    if filter is not None:
        parts.append("filter=" + quote(filter, safe=SAFE))
    if columns is not None:
        parts.append("columns=" + ",".join(quote(name, safe="") for name in columns))
    if metadata:
        parts.append("metadata=true")
    if more:
        parts.extend(
            f"{name}={quote(str(value), safe=SAFE)}"
            for name, value in more.items()
            if value is not None
        )
    return "&".join(parts)


def time_text(value: Time, name: str) -> str:
    """A time as RFC 3339."""
    if isinstance(value, str):
        return value
    if value.tzinfo is None:
        raise BadRequest(
            f"{name}={value} has no zone; write for example "
            "datetime(2023, 7, 13, tzinfo=timezone.utc)",
            field=name,
        )
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def box_to_e7(bbox: BoundingBox | None) -> tuple[int, int, int, int] | None:
    """The box for routing only: None where the node has to judge it (6 numbers, upside down)."""
    if bbox is None or len(bbox) != 4:
        return None
    if not all(-360.0 <= edge <= 360.0 for edge in bbox):
        return None
    west, south, east, north = (degrees_to_e7(float(edge)) for edge in bbox)
    return (west, south, east, north) if west <= east and south <= north else None
