"""Spark's conditions as what is asked of the nodes.

A condition is taken over only where both sides mean the same for every stored value; all others
stay with Spark. So only columns with the type that the source gave them are looked at, json never
(the nodes compare values, Spark their texts), and a text only where it survives CQL2.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql.datasource import (
    EqualNullSafe,
    EqualTo,
    Filter,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    IsNotNull,
    IsNull,
    LessThan,
    LessThanOrEqual,
    Not,
    StringContains,
    StringEndsWith,
    StringStartsWith,
)

from analytics.source.fields import Field
from analytics.source.selection import Selection, least_e7, most_e7
from node.errors import BadRequest
from node.filter import parse_filter

TEXT_BYTES_MAX = 4_000
"""CQL2 text of all conditions: the question is one line of a request of bounded length."""
NAMES_BYTES_MAX = 4_000
"""Names of sensors that are asked for, for the same reason."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EXACT_MAX = 1 << 53
_WILD = frozenset("%_\\")
_SIGNS: Mapping[type[Filter], str] = {
    EqualTo: "=", GreaterThan: ">", GreaterThanOrEqual: ">=", LessThan: "<", LessThanOrEqual: "<=",
}  # fmt: skip
_PATTERNS: Mapping[type[Filter], str] = {
    StringStartsWith: "{}%", StringEndsWith: "%{}", StringContains: "%{}%",
}  # fmt: skip


def narrow(
    selection: Selection, filters: Sequence[Filter], fields: Sequence[Field]
) -> tuple[Selection, list[Filter]]:
    """What is left to ask, and the conditions that Spark must still test."""
    known = {field.name: field for field in fields}
    left = []
    for condition in filters:
        narrowed = _narrowed(selection, condition, known)
        if narrowed is None or len((narrowed.filter or "").encode()) > TEXT_BYTES_MAX:
            left.append(condition)
        else:
            selection = narrowed
    return selection, left


def _narrowed(
    selection: Selection, condition: Filter, fields: Mapping[str, Field]
) -> Selection | None:
    inner = condition.child if isinstance(condition, Not) else condition
    path: tuple[str, ...] = getattr(inner, "attribute", ())
    field = fields.get(path[0]) if len(path) == 1 else None
    if field is None or not field.natural:
        return None
    bounded = _BOUNDED.get(field.name) if field.kind == "fixed" else None
    if bounded is not None and inner is condition:
        found = bounded(selection, condition)
        if found is not None:
            return found
    text = _text(condition, field)
    return None if text is None else selection.where(text)


# Bounds of place, time and sensor


def _lon(selection: Selection, condition: Filter) -> Selection | None:
    ends = _ends(condition)
    return None if ends is None else selection.within_lon(least=ends[0], most=ends[1])


def _lat(selection: Selection, condition: Filter) -> Selection | None:
    ends = _ends(condition)
    return None if ends is None else selection.within_lat(least=ends[0], most=ends[1])


def _ends(condition: Filter) -> tuple[int | None, int | None] | None:
    """Least and greatest e7 position."""
    value = getattr(condition, "value", None)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    match condition:
        case EqualTo() | EqualNullSafe():
            return least_e7(value), most_e7(value)
        case GreaterThan():
            return least_e7(value, above=True), None
        case GreaterThanOrEqual():
            return least_e7(value), None
        case LessThan():
            return None, most_e7(value, below=True)
        case LessThanOrEqual():
            return None, most_e7(value)
    return None


def _time(selection: Selection, condition: Filter) -> Selection | None:
    value = getattr(condition, "value", None)
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    moment = (value - _EPOCH) // _MICROSECOND
    match condition:
        case EqualTo() | EqualNullSafe():
            return selection.within_time(start=moment, stop=moment + 1)
        case GreaterThan():
            return selection.within_time(start=moment + 1)
        case GreaterThanOrEqual():
            return selection.within_time(start=moment)
        case LessThan():
            return selection.within_time(stop=moment)
        case LessThanOrEqual():
            return selection.within_time(stop=moment + 1)
    return None


def _sensor(selection: Selection, condition: Filter) -> Selection | None:
    match condition:
        case EqualTo(value=str(name)) | EqualNullSafe(value=str(name)):
            names = frozenset((name,))
        case In(value=values) if all(isinstance(name, str | None) for name in values):
            names = frozenset(name for name in values if name)
        case _:
            return None
    if "" in names or sum(3 * len(name.encode()) + 1 for name in names) > NAMES_BYTES_MAX:
        return None
    return selection.of_sensors(names)


_BOUNDED: Mapping[str, Callable[[Selection, Filter], Selection | None]] = {
    "lon": _lon,
    "lat": _lat,
    "time": _time,
    "sensor": _sensor,
}


# Conditions as CQL2


def _text(condition: Filter, field: Field) -> str | None:
    if isinstance(condition, Not):
        inner = _text(condition.child, field)
        return None if inner is None else f"NOT ({inner})"
    if field.name in ("time", "version") or field.kind in ("json", "bytes"):
        return None
    if '"' in field.name:
        return None
    name = f'"{field.name}"'
    text = _compared(name, condition, field)
    try:
        if text is not None:
            parse_filter(text)
    except BadRequest:
        return None
    return text


def _compared(name: str, condition: Filter, field: Field) -> str | None:
    match condition:
        case IsNull():
            return f"{name} IS NULL"
        case IsNotNull():
            return f"{name} IS NOT NULL"
        case EqualNullSafe(value=value):
            if value is None:
                return f"{name} IS NULL"
            literal = _literal(value, field)
            return None if literal is None else f"({name} IS NOT NULL AND {name} = {literal})"
        case In(value=values):
            literals = [_literal(value, field) for value in values if value is not None]
            if not literals or None in literals or len(literals) < len(values):
                return None
            return f"{name} IN ({', '.join(map(str, literals))})"
    sign, pattern = _SIGNS.get(type(condition)), _PATTERNS.get(type(condition))
    value = getattr(condition, "value", None)
    if pattern is not None:
        if not isinstance(value, str) or _WILD & set(value):
            return None
        literal = _literal(pattern.format(value), field)
        return None if literal is None else f"{name} LIKE {literal}"
    literal = _literal(value, field)
    return None if sign is None or literal is None else f"{name} {sign} {literal}"


def _literal(value: Any, field: Field) -> str | None:
    """A value as CQL2 writes it; None where it is of another type than the column."""
    kind = field.kind
    if kind == "fixed":
        kind = "text" if field.name == "sensor" else "number"
    if kind == "boolean" and isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if kind == "number" and type(value) in (int, float):
        if not math.isfinite(value) or abs(value) > _EXACT_MAX:
            return None
        return repr(float(value))
    if kind == "text" and isinstance(value, str):
        quoted = "'" + value.replace("'", "''") + "'"
        try:
            survives = parse_filter(f'"x" = {quoted}')["args"][1] == value
        except BadRequest:
            return None
        return quoted if survives else None
    return None
