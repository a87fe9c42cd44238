"""From parameters to a `Query`: the rules that hold between several of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.api.cursors import cursor_to_key, question_digest
from node.api.formats import Format, choose_format
from node.api.parameters import LIMIT_ALL, Pairs, read_parameters
from node.api.parsing import refused
from node.config import Limits
from node.errors import BadRequest
from node.metadata import METADATA_NAMES
from node.query import TIME_MAX, TIME_MIN, Query
from zring.area import Area
from zring.domain import E7_PER_DEGREE, Domain
from zring.morton import AXIS_BITS

SELECTING = (
    "bbox",
    "bbox-crs",
    "datetime",
    "from",
    "to",
    "sensor",
    "filter",
    "filter-lang",
    "columns",
    "metadata",
    "timeout_ms",
    "require",
    "spans",
    "reader",
)
"""Parameters of every question."""
PAGING = ("limit", "cursor")
_NOT_SELECTING = frozenset(
    ("limit", "cursor", "f", "columns", "metadata", "timeout_ms", "require", "reader", "crs")
)
TIMEOUT_FACTOR_MAX = 10


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks.

    Attributes:
        query: None stands in `limit` for the whole answer.
        values: all parameters that were given, parsed; `pairs`: as they were sent.
        form: of the answer's rows.
        digest: of everything that selects rows, for cursors.
    """

    query: Query
    values: Mapping[str, Any]
    pairs: Pairs
    form: Format
    digest: int


def read_question(
    raw_query: str,
    *,
    path: str,
    collection: str,
    allowed: frozenset[str],
    limits: Limits,
    accept: str | None,
    limit_default: int | None = None,
    area: Area | None = None,
) -> Question:
    """Read the query string of a question about one collection.

    Args:
        path: of the request, for the cursor.
        accept: the header, where `f` is not given.
        limit_default: rows of a page when none are named, in place of the format's.
        area: replaces `bbox` (circles, polygons).
    Raises:
        BadRequest: names the parameter.
    """
    values, pairs = read_parameters(raw_query, allowed)
    selecting = [pair for pair in pairs if pair[0] not in _NOT_SELECTING]
    needs_digest = "cursor" in values
    digest = question_digest(path, selecting) if needs_digest else 0
    start, stop = _times(values)
    timeout_ms = values.get("timeout_ms", limits.query_timeout_ms)
    timeout_ms_max = limits.query_timeout_ms * TIMEOUT_FACTOR_MAX
    if timeout_ms > timeout_ms_max:
        raise refused("timeout_ms", str(timeout_ms), f"is more than {timeout_ms_max}; ask for less")
    form = choose_format(values.get("f"), accept)
    limit = values.get("limit", limit_default or form.limit_default)
    sensors = values.get("sensor")
    query = Query(
        collection=collection,
        area=values.get("bbox") if area is None else area,
        time_start=start,
        time_stop=stop,
        sensors=None if sensors is None else frozenset(sensors),
        filter=values.get("filter"),
        columns=columns_of(values),
        limit=None if limit == LIMIT_ALL else limit,
        after=cursor_to_key(values["cursor"], digest) if needs_digest else None,
        spans=values.get("spans"),
        reader=values.get("reader", "owner"),
        timeout_ms=timeout_ms,
        require=values.get("require"),
        metadata=values.get("metadata", False),
    )
    return Question(query, values, pairs, form, digest)


def columns_of(values: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The values that parameters name; with `metadata=true` all of that as well."""
    columns: tuple[str, ...] | None = values.get("columns")
    if columns is None or not values.get("metadata"):
        return columns
    return tuple(dict.fromkeys((*columns, *METADATA_NAMES)))


def digest_of(path: str, question: Question) -> int:
    """The question's digest, computed only where a cursor is made."""
    selecting = [pair for pair in question.pairs if pair[0] not in _NOT_SELECTING]
    return question.digest or question_digest(path, selecting)


def _times(values: Mapping[str, Any]) -> tuple[int, int]:
    if "datetime" in values:
        if "from" in values or "to" in values:
            raise BadRequest("datetime and from/to exclude each other; give one", field="datetime")
        start, stop = values["datetime"]
        return start, stop
    start, stop = values.get("from", TIME_MIN), values.get("to", TIME_MAX)
    if start >= stop:
        raise BadRequest(
            "from is not before to; `from` is included, `to` is not, so the earlier time comes "
            "first",
            field="from",
        )
    return start, stop


def required(values: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    """The values of parameters that must be given.

    Raises:
        BadRequest: names the missing one.
    """
    for name in names:
        if name not in values:
            raise BadRequest(f"{name} is missing; this needs {', '.join(names)}", field=name)
    return tuple(values[name] for name in names)


def cell_level(values: Mapping[str, Any], domain: Domain) -> int | None:
    """The level of an aggregate's cells; `cell` must be the width of a level.

    Raises:
        BadRequest: lists the widths that there are.
    """
    if "cell" not in values:
        return values.get("level")
    if "level" in values:
        raise BadRequest("level and cell exclude each other; give one", field="cell")
    width = (domain.east - domain.west) / E7_PER_DEGREE
    for level in range(AXIS_BITS + 1):
        if abs(values["cell"] * (1 << level) / width - 1) < 1e-9:
            return level
    some = ", ".join(f"{width / (1 << level):g}" for level in range(8))
    raise refused(
        "cell", f"{values['cell']:g}", f"is no cell width of this domain; they are {some}, …"
    )
