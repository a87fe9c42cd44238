"""Every query parameter in one table: how it is read, and how OpenAPI and the docs describe it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args
from urllib.parse import unquote_plus

from node.api.parsing import (
    parse_bbox,
    parse_choice,
    parse_datetime,
    parse_duration,
    parse_flag,
    parse_integer,
    parse_latitude,
    parse_longitude,
    parse_names,
    parse_number,
    parse_polygon,
    parse_spans,
    parse_time,
    refused,
)
from node.errors import BadRequest
from node.filter import parse_filter
from node.query import COVERAGE_ORDER, ROWS_PER_PAGE_MAX, ReaderChoice
from zring.morton import AXIS_BITS

LIMIT_ALL = -1
"""What `limit=all` is read as."""
NEAREST_MAX = 1_000
"""Sensors of one `nearest`."""
FORMAT_NAMES = ("json", "geojson", "ndjson", "csv", "arrow", "parquet")
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
PARAMETERS_MAX = 64
"""Pairs of one query string."""

Parse = Callable[[str, str], Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter: its reader, its OpenAPI schema and what it means."""

    name: str
    parse: Parse
    schema: Mapping[str, Any]
    description: str
    explode: bool | None = None


def _text(name: str, text: str) -> str:
    return text


def _limit(name: str, text: str) -> int:
    if text == "all":
        return LIMIT_ALL
    over = 'ask for less or follow the "next" link'
    return parse_integer(name, text, least=1, most=ROWS_PER_PAGE_MAX, over=over)


def _filter(name: str, text: str) -> Mapping[str, Any]:
    try:
        return parse_filter(text)
    except BadRequest as error:
        raise BadRequest(str(error), field=error.field or name) from None


def _radius(name: str, text: str) -> float:
    radius_m = parse_number(name, text)
    if radius_m <= 0:
        raise refused(name, text, "is not above 0; give metres")
    return radius_m


def _crs(name: str, text: str) -> str:
    if text not in (CRS84, f"<{CRS84}>", f"[{CRS84}]"):
        raise refused(name, text, f"is not offered; all coordinates are in {CRS84}")
    return text


def _cell(name: str, text: str) -> float:
    return parse_number(name, text)


_TIME_SCHEMA = {"type": "string", "format": "date-time"}
_NAMES_SCHEMA = {"type": "array", "items": {"type": "string", "minLength": 1}}
_CRS_SCHEMA = {"type": "string", "format": "uri", "enum": [CRS84]}

_TABLE = (
    Parameter(
        "f",
        lambda name, text: parse_choice(name, text, FORMAT_NAMES),
        {"type": "string", "enum": list(FORMAT_NAMES)},
        "Format of the answer; without it the Accept header decides, and GeoJSON where that "
        "leaves it open.",
    ),
    Parameter(
        "bbox",
        parse_bbox,
        {
            "type": "array",
            "items": {"type": "number"},
            "oneOf": [{"minItems": 4, "maxItems": 4}, {"minItems": 6, "maxItems": 6}],
        },
        "west,south,east,north in degrees (CRS84), edges included; of six numbers the heights "
        "are ignored.",
        explode=False,
    ),
    Parameter(
        "datetime",
        parse_datetime,
        {"type": "string"},
        "An instant, or an interval a/b with both ends included; .. is an open end. RFC 3339 "
        "with zone.",
    ),
    Parameter("from", parse_time, _TIME_SCHEMA, "Earliest time, included; instead of `datetime`."),
    Parameter("to", parse_time, _TIME_SCHEMA, "Time that is not included any more."),
    Parameter("sensor", parse_names, _NAMES_SCHEMA, "Only these sensors.", explode=False),
    Parameter("filter", _filter, {"type": "string"}, "CQL2 text over values and properties."),
    Parameter(
        "filter-lang",
        lambda name, text: parse_choice(name, text, ("cql2-text",)),
        {"type": "string", "enum": ["cql2-text"]},
        "Language of `filter`.",
    ),
    Parameter("columns", parse_names, _NAMES_SCHEMA, "Only these values.", explode=False),
    Parameter(
        "metadata",
        parse_flag,
        {"type": "boolean", "default": False},
        "With what is known beside the values: @ingested, @sequence, @source, @stream.",
    ),
    Parameter(
        "limit",
        _limit,
        {
            "oneOf": [
                {"type": "integer", "minimum": 1, "maximum": ROWS_PER_PAGE_MAX},
                {"type": "string", "enum": ["all"]},
            ]
        },
        f"Records of one page, at most {ROWS_PER_PAGE_MAX}; `all` streams the whole answer as "
        "arrow, ndjson or csv.",
    ),
    Parameter("cursor", _text, {"type": "string"}, 'Where to go on; part of the "next" link.'),
    Parameter(
        "timeout_ms",
        partial(parse_integer, least=1, most=86_400_000),
        {"type": "integer", "minimum": 1},
        "After this the client has no more use for the answer; all work on it stops.",
    ),
    Parameter(
        "require",
        lambda name, text: parse_choice(name, text, COVERAGE_ORDER),
        {"type": "string", "enum": list(COVERAGE_ORDER)},
        "Worst coverage that is acceptable; anything worse is a 503.",
    ),
    Parameter(
        "spans",
        parse_spans,
        {"type": "array", "items": {"type": "string", "pattern": "^[0-9]+-[0-9]+$"}},
        "Only codes in these half-open intervals start-stop (parallel readers).",
        explode=False,
    ),
    Parameter(
        "reader",
        lambda name, text: parse_choice(name, text, get_args(ReaderChoice)),
        {"type": "string", "enum": list(get_args(ReaderChoice)), "default": "owner"},
        "Who reads: the `owner` of each code, or the node that is `asked` as far as it has the "
        "same records (archives, readers beside a replica).",
    ),
    Parameter("crs", _crs, _CRS_SCHEMA, "Coordinates of the answer."),
    Parameter("bbox-crs", _crs, _CRS_SCHEMA, "Coordinates of `bbox`."),
    Parameter("lon", parse_longitude, {"type": "number"}, "Longitude of the place, degrees."),
    Parameter("lat", parse_latitude, {"type": "number"}, "Latitude of the place, degrees."),
    Parameter(
        "k",
        partial(parse_integer, least=1, most=NEAREST_MAX),
        {"type": "integer", "minimum": 1, "maximum": NEAREST_MAX, "default": 1},
        "How many sensors.",
    ),
    Parameter("radius_m", _radius, {"type": "number"}, "Radius of the circle, metres."),
    Parameter(
        "polygon", parse_polygon, {"type": "string"}, "Polygon as WKT or GeoJSON, lon before lat."
    ),
    Parameter(
        "level",
        partial(parse_integer, least=0, most=AXIS_BITS),
        {"type": "integer", "minimum": 0, "maximum": AXIS_BITS},
        "Level of the cells; each level halves their sides.",
    ),
    Parameter(
        "cell",
        _cell,
        {"type": "number"},
        "Width of the cells in degrees, where a level has that width; instead of `level`.",
    ),
    Parameter("step", parse_duration, {"type": "string"}, "Width of a time step, such as PT1H."),
    Parameter(
        "fence",
        parse_flag,
        {"type": "boolean", "default": False},
        "Only sensors that come into `bbox` or go out of it.",
    ),
    Parameter(
        "last_event_id",
        _text,
        {"type": "string"},
        "Id of the last event that was received: go on after it. The header counts more.",
    ),
    Parameter(
        "w",
        lambda name, text: parse_choice(name, text, ("one", "quorum", "all")),
        {"type": "string", "enum": ["one", "quorum", "all"], "default": "one"},
        "On how many nodes the records are durable when the reply is sent.",
    ),
    Parameter(
        "replace",
        parse_flag,
        {"type": "boolean", "default": False},
        "The records correct stored ones: they get a new version.",
    ),
)

PARAMETERS: Mapping[str, Parameter] = {parameter.name: parameter for parameter in _TABLE}

Pairs = list[tuple[str, str]]


def read_parameters(raw_query: str, allowed: frozenset[str]) -> tuple[dict[str, Any], Pairs]:
    """Parse a query string.

    Returns:
        name → value, and the pairs as they were sent, quoted (for links and cursors).
    Raises:
        BadRequest: an unknown or repeated parameter, or one that cannot be read.
    """
    values: dict[str, Any] = {}
    pairs: Pairs = []
    if not raw_query:
        return values, pairs
    parts = raw_query.split("&")
    if len(parts) > PARAMETERS_MAX:
        raise BadRequest(
            f"the query string has more than {PARAMETERS_MAX} parameters; each may come once"
        )
    for part in parts:
        raw_name, _, raw_text = part.partition("=")
        name = _unquoted(raw_name)
        if name not in allowed:
            if not part:
                continue
            known = ", ".join(sorted(allowed)) or "none"
            raise refused(name, _unquoted(raw_text), f"is no parameter here; known are: {known}")
        if name in values:
            why = "comes twice; give each parameter once, lists with commas"
            raise refused(name, _unquoted(raw_text), why)
        parse = PARAMETERS[name].parse
        # Names may hold quoted commas, so lists of names are split before they are unquoted.
        text = raw_text if parse is parse_names else _unquoted(raw_text)
        values[name] = parse(name, text)
        pairs.append((name, raw_text))
    return values, pairs


def _unquoted(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest("the query string is not UTF-8; quote it percent by percent") from None
