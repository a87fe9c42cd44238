"""What one reader is asked for: a query turned into a scan, an exact test and a filter.

The wire form is a map of plain values; readers ignore fields that they do not know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from node.errors import BadRequest
from node.filter import check_filter, filter_mask, filter_names
from node.metadata import chosen_values, is_metadata
from node.query import TIME_MAX, TIME_MIN, Query
from node.records import FIXED_NAMES, Key, Rows
from node.storage.engine import Scan
from zring.area import Area, Box, area_from_dict, area_to_dict
from zring.errors import InvalidArea
from zring.morton import CODE_STOP
from zring.span import Spans, normalise

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows that one reader should return.

    Attributes:
        scan: what the engine tests itself: box, spans, time, sensors.
        exact: the area where it is no box, for the exact test.
        filter: CQL2 as JSON, to be applied to newest versions only.
    """

    scan: Scan
    exact: Area | None = None
    filter: Mapping[str, Any] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether every row of the scan is wanted."""
        return self.exact is None and self.filter is None

    def wanted(self, rows: Rows) -> Rows:
        """The rows that pass the exact test and the filter."""
        if self.exact is not None and len(rows):
            rows = rows.where(self.exact.contains(lon=rows.lon, lat=rows.lat))
        if self.filter is not None and len(rows):
            rows = rows.where(filter_mask(rows, self.filter))
        return rows


def select(
    query: Query,
    spans: Spans | None,
    *,
    deletions: bool = False,
    columns: tuple[str, ...] | None = None,
    grouped: bool = False,
) -> Selection:
    """The selection of one reader.

    Args:
        spans: what this reader answers for; None is everything the area holds.
        deletions: rows of several readers will be compared: deletions come along, and the
            filter waits until the newest versions are chosen.
        columns: value names to return, where not those of the query and its filter.
        grouped: rows will only be counted and summed: their order and, but for a filter that
            looks at them, the sensors' names are not needed.
    """
    area = query.area
    if area is None:
        west, south, east, north = -(1 << 31), -(1 << 31), (1 << 31) - 1, (1 << 31) - 1
    else:
        west, south, east, north = area.bounds
    return Selection(
        scan=Scan(
            query.collection,
            query.time_start,
            query.time_stop,
            west,
            south,
            east,
            north,
            spans,
            query.sensors,
            columns_needed(query) if columns is None else columns,
            deletions,
            sensor_names=not grouped or _looks_at_names(query.filter),
            ordered=not grouped,
            metadata=_metadata_needed(query),
        ),
        exact=None if area is None or isinstance(area, Box) else area,
        filter=None if deletions else query.filter,
    )


def _looks_at_names(filter_json: Mapping[str, Any] | None) -> bool:
    return filter_json is not None and "sensor" in filter_names(filter_json)


def columns_needed(query: Query) -> tuple[str, ...] | None:
    """Value names that must be read: those asked for and those that the filter looks at."""
    if query.columns is None or query.filter is None:
        return query.columns
    names = filter_names(query.filter) - set(FIXED_NAMES)
    return tuple(dict.fromkeys((*query.columns, *sorted(names))))


def _metadata_needed(query: Query) -> tuple[str, ...] | None:
    """Metadata that must be read where no columns are named; None is all."""
    if query.metadata:
        return None
    if query.filter is None:
        return ()
    return tuple(sorted(name for name in filter_names(query.filter) if is_metadata(name)))


def project(rows: Rows, query: Query) -> Rows:
    """Only the values asked for: after a filter that needed others, and from whoever sent more."""
    if query.columns is None and (query.metadata or not any(map(is_metadata, rows.values))):
        return rows
    if query.columns is not None and query.filter is None:
        return rows
    return rows.with_values(chosen_values(rows.values, query.columns, ()))


def query_to_header(query: Query) -> dict[str, Any]:
    """The query as plain values, without what each message gives anew (spans, after, limit)."""
    return {
        "collection": query.collection,
        "area": None if query.area is None else area_to_dict(query.area),
        "time": [query.time_start, query.time_stop],
        "sensors": None if query.sensors is None else sorted(query.sensors),
        "filter": query.filter,
        "columns": None if query.columns is None else list(query.columns),
        "metadata": query.metadata,
    }


def header_to_query(header: Mapping[str, Any]) -> Query:
    """Undo `query_to_header` and read spans, after and limit.

    Raises:
        BadRequest: a field is absent or of another type.
    """
    try:
        time_start, time_stop = header["time"]
        area, sensors, columns = header["area"], header["sensors"], header["columns"]
        after, spans = header.get("after"), header.get("spans")
        limit, filter_ = header.get("limit"), header["filter"]
        if limit is not None and _checked(limit, int) < 1:
            raise ValueError(f"limit {limit} is below 1")
        if filter_ is not None:
            check_filter(filter_)
        return Query(
            collection=_checked(header["collection"], str),
            area=None if area is None else area_from_dict(area),
            time_start=_bounded(time_start, TIME_MIN, TIME_MAX),
            time_stop=_bounded(time_stop, TIME_MIN, TIME_MAX),
            sensors=None
            if sensors is None
            else frozenset(_checked(name, str) for name in _checked(sensors, list)),
            filter=filter_,
            columns=None
            if columns is None
            else tuple(_checked(name, str) for name in _checked(columns, list)),
            limit=limit,
            after=None if after is None else _key(after),
            spans=None if spans is None else _spans(spans),
            timeout_ms=_checked(header["deadline_ms"], int),
            metadata=bool(header.get("metadata", False)),
        )
    except (KeyError, TypeError, ValueError, AssertionError, InvalidArea) as error:
        raise BadRequest(f"query between nodes is malformed: {error}", field="query") from None


def header_to_relied_on(header: Mapping[str, Any]) -> Spans:
    """The codes of which a reader must have all that there is.

    Raises:
        BadRequest: it is no list of spans.
    """
    try:
        return _spans(header.get("relied_on", []))
    except (TypeError, ValueError, AssertionError) as error:
        raise BadRequest(f"relied_on is malformed: {error}", field="relied_on") from None


def _spans(plain: Any) -> Spans:
    return normalise((int(start), int(stop)) for start, stop in plain)


def _key(plain: Any) -> Key:
    code, time, sensor_hash = plain
    return Key(
        _bounded(code, 0, CODE_STOP),
        _bounded(time, TIME_MIN, TIME_MAX),
        _bounded(sensor_hash, 0, (1 << 64) - 1),
    )


def _bounded(value: Any, low: int, high: int) -> int:
    number: int = _checked(value, int)
    if not low <= number <= high:
        raise ValueError(f"{number} is not between {low} and {high}")
    return number


def _checked(value: Any, kind: Callable[..., Any]) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
