"""Texts of a query string as values, with messages that name the parameter and the way out."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

import orjson

from node.errors import BadRequest
from node.query import TIME_MAX, TIME_MIN
from node.records import SENSOR_NAME_BYTES_MAX
from zring.area import Area, Box, polygon_from_geojson, polygon_from_wkt
from zring.domain import E7_PER_DEGREE, degrees_to_e7
from zring.morton import CODE_STOP

NAMES_MAX = 1_000
"""Sensors or columns named in one request."""
SPANS_MAX = 1_000
"""Spans named in one request: readers in parallel ask for a few each."""
SHOWN_CHARACTERS_MAX = 80

_NUMBER = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,18})?"
    r"([Zz]|[+ -][0-9]{2}:[0-9]{2})"
)
_TIME_WITHOUT_ZONE = re.compile(r"[0-9]{4}-[0-9]{2}(-[0-9]{2}([Tt ][0-9:.]+)?)?")
_DURATION = re.compile(
    r"P(?:(?P<weeks>[0-9]{1,5})W)?(?:(?P<days>[0-9]{1,6})D)?"
    r"(?:T(?:(?P<hours>[0-9]{1,7})H)?(?:(?P<minutes>[0-9]{1,8})M)?(?:(?P<seconds>[0-9]{1,9})S)?)?"
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_PLAIN_BOX = re.compile(",".join([r"(-?[0-9]{1,3}(?:\.[0-9]{1,17})?)"] * 4))
"""Four short decimal numbers: what programs send, read in one go."""
_SPAN = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LON_MAX, _LAT_MAX = 180 * E7_PER_DEGREE, 90 * E7_PER_DEGREE


def refused(name: str, text: str, why: str) -> BadRequest:
    """The error for a parameter: `name=text why`."""
    if len(text) > SHOWN_CHARACTERS_MAX:
        text = text[: SHOWN_CHARACTERS_MAX - 1] + "…"
    return BadRequest(f"{name}={text} {why}", field=name)


def parse_number(name: str, text: str) -> float:
    """A finite decimal number."""
    if _NUMBER.fullmatch(text):
        number = float(text)
        if math.isfinite(number):
            return number
    raise refused(name, text, "is no number; write it like 135.25")


def parse_integer(name: str, text: str, *, least: int, most: int, over: str = "") -> int:
    """A whole number within [least, most]; `over` says what to do above."""
    if not _INTEGER.fullmatch(text):
        raise refused(name, text, f"is no whole number; give {least} to {most}")
    number = int(text)
    if number < least:
        raise refused(name, text, f"is less than {least}; give {least} to {most}")
    if number > most:
        raise refused(name, text, f"is more than {most}; {over or f'give {least} to {most}'}")
    return number


def parse_longitude(name: str, text: str) -> int:
    """Degrees from -180 to 180 as e7."""
    return _degrees(name, text, text, 180, "longitude")


def parse_latitude(name: str, text: str) -> int:
    """Degrees from -90 to 90 as e7."""
    return _degrees(name, text, text, 90, "latitude")


def _degrees(name: str, whole: str, text: str, most: int, word: str) -> int:
    number = parse_number(name, text.strip())
    e7 = degrees_to_e7(max(-1_000.0, min(1_000.0, number)))
    if abs(e7) > most * E7_PER_DEGREE:
        why = f"has a {word} of {number:g}, outside -{most} to {most}; longitude comes first"
        raise refused(name, whole, why)
    return e7


def parse_bbox(name: str, text: str) -> Box:
    """`west,south,east,north` in degrees, or six numbers whose heights are ignored."""
    plain = _PLAIN_BOX.fullmatch(text)
    if plain is not None:
        west, south, east, north = (round(float(edge) * E7_PER_DEGREE) for edge in plain.groups())
        if -_LON_MAX <= west <= east <= _LON_MAX and -_LAT_MAX <= south <= north <= _LAT_MAX:
            return Box(west, south, east, north)
    parts = text.split(",")
    if len(parts) == 6:  # west,south,low,east,north,high: OGC's box with heights
        for height in (parts[2], parts[5]):
            parse_number(name, height.strip())
        parts = [parts[0], parts[1], parts[3], parts[4]]
    if len(parts) != 4:
        why = f"has {len(parts)} numbers; write west,south,east,north in degrees"
        raise refused(name, text, why)
    west = _degrees(name, text, parts[0], 180, "longitude")
    south = _degrees(name, text, parts[1], 90, "latitude")
    east = _degrees(name, text, parts[2], 180, "longitude")
    north = _degrees(name, text, parts[3], 90, "latitude")
    if west > east:
        why = (
            "has west > east; the domain does not wrap around 180°, so write "
            "west,south,east,north, or ask twice"
        )
        raise refused(name, text, why)
    if south > north:
        raise refused(name, text, "has south > north; write west,south,east,north")
    return Box(west, south, east, north)


def parse_time(name: str, text: str) -> int:
    """RFC 3339 with zone as microseconds since the epoch."""
    if not _TIME.fullmatch(text):
        why = "has no zone; add Z for UTC or an offset such as +09:00"
        if not _TIME_WITHOUT_ZONE.fullmatch(text):
            why = 'is no time; write RFC 3339 with a zone, like "2023-07-13T05:00:00Z"'
        raise refused(name, text, why)
    # A plus sign that nobody quoted arrives as a space.
    try:
        since = datetime.fromisoformat(text.upper().replace(" ", "+")) - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    except (ValueError, OverflowError) as error:
        raise refused(name, text, f"is no time that exists: {error}") from None


def parse_datetime(name: str, text: str) -> tuple[int, int]:
    """OGC `datetime` as a half-open pair: an instant, or `a/b` with ends included, `..` open."""
    start_text, slash, stop_text = text.partition("/")
    if not slash:
        instant = parse_time(name, text)
        return instant, instant + 1
    start = TIME_MIN if start_text in ("", "..") else parse_time(name, start_text)
    stop = TIME_MAX if stop_text in ("", "..") else parse_time(name, stop_text) + 1
    if start >= stop:
        raise refused(name, text, "ends before it starts; write the earlier time first")
    return start, stop


def parse_names(name: str, text: str) -> tuple[str, ...]:
    """A comma-separated list of names, each still percent-quoted."""
    names = tuple(dict.fromkeys(text.split(",")))
    if "%" in text or "+" in text:
        try:
            names = tuple(unquote_plus(entry, errors="strict") for entry in names)
        except UnicodeDecodeError:
            raise refused(name, text, "is not UTF-8; quote it percent by percent") from None
    if len(names) > NAMES_MAX:
        raise refused(name, text, f"has {len(names)} names; at most {NAMES_MAX}, ask in parts")
    for entry in names:
        if not 1 <= len(entry.encode(errors="replace")) <= SENSOR_NAME_BYTES_MAX:
            why = f"has a name that is empty or longer than {SENSOR_NAME_BYTES_MAX} bytes"
            raise refused(name, text, why)
    return names


def parse_duration(name: str, text: str) -> int:
    """An ISO 8601 duration of weeks to seconds in microseconds."""
    match = _DURATION.fullmatch(text)
    parts = {} if match is None else {key: int(n) for key, n in match.groupdict().items() if n}
    width = timedelta(**parts) // _MICROSECOND if _is_sane(parts) else 0
    if width <= 0:
        why = "is no duration; write for example PT10M, PT1H, P1D or P1W (no months or years)"
        raise refused(name, text, why)
    return width


def _is_sane(parts: Mapping[str, int]) -> bool:
    return sum(parts.values()) < 1_000_000_000


def parse_spans(name: str, text: str) -> tuple[tuple[int, int], ...]:
    """`a-b,c-d`: sorted, disjoint, half-open intervals of codes."""
    spans = []
    before = 0
    for part in text.split(","):
        match = _SPAN.fullmatch(part)
        if match is None:
            raise refused(name, text, "is no list of spans; write start-stop,start-stop in codes")
        start, stop = int(match[1]), int(match[2])
        if not before <= start < stop <= CODE_STOP:
            why = f"has {part}; spans rise, do not overlap and lie in 0-{CODE_STOP}"
            raise refused(name, text, why)
        spans.append((start, stop))
        before = stop
    if len(spans) > SPANS_MAX:
        raise refused(name, text, f"has {len(spans)} spans; at most {SPANS_MAX}, ask in parts")
    return tuple(spans)


def parse_polygon(name: str, text: str) -> Area:
    """A polygon as WKT or as a GeoJSON geometry; raises InvalidArea as well."""
    if not text.lstrip().startswith("{"):
        return polygon_from_wkt(text)
    try:
        document: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise refused(name, text, f"is no GeoJSON: {error}") from None
    return polygon_from_document(name, document)


def polygon_from_document(name: str, document: Any) -> Area:
    """A parsed GeoJSON geometry, or a Feature around one."""
    if isinstance(document, dict) and document.get("type") == "Feature":
        document = document.get("geometry")
    if not isinstance(document, dict):
        raise refused(name, repr(document), "is no GeoJSON geometry; give a Polygon")
    return polygon_from_geojson(document)


def parse_flag(name: str, text: str) -> bool:
    """true or false."""
    if text not in ("true", "false"):
        raise refused(name, text, "is neither true nor false")
    return text == "true"


def parse_choice(name: str, text: str, choices: tuple[str, ...]) -> str:
    """One of a few words."""
    if text not in choices:
        raise refused(name, text, f"is unknown; choose one of {', '.join(choices)}")
    return text
