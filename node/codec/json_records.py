"""Records as parsed JSON (or msgpack) objects, turned into columns key by key.

A record is `{"sensor", "time", "lon", "lat", "version"?, "values": {…}}`; a Feature has a Point
and its `properties` hold `sensor`, `time`, `version` and the values. Loops run over whole keys
(comprehensions, `map`), never over the fields of one record, except where something is wrong.
"""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import pyarrow as pa

from node.codec.columns import POSITION_NAMES, check_size, parts_to_rows
from node.codec.decoded import Decoded, Rejecter, shown
from node.codec.values import cells_to_json
from zring.domain import Domain

BYTES_SUFFIX = ";base64"
"""Behind the name of a value whose bytes are written as base64 text."""

RECORD_KEYS = frozenset((*POSITION_NAMES, "values"))
_NONE = type(None)
_OBJECTS = frozenset((dict,))


def records_to_rows(records: list[Any], *, domain: Domain, rejecter: Rejecter) -> Decoded:
    """Check parsed records; what `rejecter` holds against a row already stays."""
    if set(map(type, records)) - _OBJECTS:
        records = _objects(records, rejecter, 'a record is an object like {"sensor": …}')
    if not RECORD_KEYS.issuperset(chain.from_iterable(records)):
        _refuse_unknown_keys(records, rejecter)
    values = [record.get("values") for record in records]
    if set(map(type, values)) - _OBJECTS:
        values = _objects(values, rejecter, "`values` is an object of names and values", "values")
    return _join(records, values, domain=domain, rejecter=rejecter)


def features_to_rows(features: list[Any], *, domain: Domain, rejecter: Rejecter) -> Decoded:
    """Check parsed GeoJSON Features with Point geometries; a height is ignored."""
    if set(map(type, features)) - _OBJECTS:
        features = _objects(features, rejecter, 'a feature is an object of type "Feature"')
    properties = [feature.get("properties") for feature in features]
    if set(map(type, properties)) - _OBJECTS:
        properties = _objects(properties, rejecter, "`properties` is an object", "properties")
    fixed = []
    for row, feature in enumerate(features):
        point = _point(feature)
        if point is None:
            rejecter.reject_row(
                row,
                "bad-geometry",
                "geometry",
                f"geometry={shown(feature.get('geometry'))} is no Point with [lon, lat]; "
                'give {"type": "Point", "coordinates": [lon, lat]}',
            )
            point = (None, None)
        own = properties[row]
        fixed.append(
            {
                "sensor": own.get("sensor"),
                "time": own.get("time"),
                "version": own.get("version"),
                "lon": point[0],
                "lat": point[1],
            }
        )
    named = frozenset(("sensor", "time", "version"))
    values = [{name: cell for name, cell in own.items() if name not in named} for own in properties]
    return _join(fixed, values, domain=domain, rejecter=rejecter)


def _point(feature: dict[str, Any]) -> Sequence[Any] | None:
    geometry = feature.get("geometry")
    if feature.get("type") != "Feature" or type(geometry) is not dict:
        return None
    coordinates = geometry.get("coordinates")
    if geometry.get("type") != "Point" or type(coordinates) is not list:
        return None
    return coordinates if 2 <= len(coordinates) <= 3 else None


def _objects(
    cells: list[Any], rejecter: Rejecter, hint: str, field: str | None = None
) -> list[dict[str, Any]]:
    """The cells with an empty object in place of everything that is none, and refused."""
    for row, cell in enumerate(cells):
        if type(cell) is dict:
            continue
        rejecter.reject_row(row, "bad-shape", field, f"{shown(cell)} is no object; {hint}")
    return [cell if type(cell) is dict else {} for cell in cells]


def _refuse_unknown_keys(records: list[dict[str, Any]], rejecter: Rejecter) -> None:
    for row, record in enumerate(records):
        for key in record:
            if key not in RECORD_KEYS:
                rejecter.reject_row(
                    row,
                    "unknown-field",
                    shown(key)[1:-1],
                    f"field {shown(key)} is unknown; put measured values into `values`, "
                    f"a record has {', '.join(POSITION_NAMES)} and values",
                )
                break


def _join(
    records: list[dict[str, Any]],
    values: list[dict[str, Any]],
    *,
    domain: Domain,
    rejecter: Rejecter,
) -> Decoded:
    fixed = {
        name: _fixed_column(name, [record.get(name) for record in records], rejecter)
        for name in POSITION_NAMES
        if name != "version" or any("version" in record for record in records)
    }
    columns = _value_columns(values, rejecter)
    return parts_to_rows(fixed, columns, domain=domain, rejecter=rejecter)


_FIXED_TYPES: dict[str, tuple[frozenset[type], Any, str]] = {
    "sensor": (frozenset((str, _NONE)), pa.string(), 'write it as text, like "65042"'),
    "time": (
        frozenset((str, _NONE)),
        pa.string(),
        'write RFC 3339 with a zone, like "2023-07-13T05:00:00Z"',
    ),
    "lon": (frozenset((float, int, _NONE)), pa.float64(), "give degrees as a number"),
    "lat": (frozenset((float, int, _NONE)), pa.float64(), "give degrees as a number"),
    "version": (frozenset((int, _NONE)), pa.int64(), "leave it out or give a whole number >= 0"),
}


def _fixed_column(name: str, cells: list[Any], rejecter: Rejecter) -> pa.Array:
    allowed, kind, hint = _FIXED_TYPES[name]
    if set(map(type, cells)) - allowed:
        for row, cell in enumerate(cells):
            if type(cell) not in allowed:
                message = f"{name}={shown(cell)} is of the wrong type; {hint}"
                rejecter.reject_row(row, f"bad-{name}", name, message)
        cells = [cell if type(cell) in allowed else None for cell in cells]
    try:
        return pa.array(cells, kind)
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
        return pa.array(_convertible(name, cells, kind, hint, rejecter), kind)


def _convertible(
    name: str, cells: list[Any], kind: Any, hint: str, rejecter: Rejecter
) -> list[Any]:
    """The cells that fit the type one by one: an integer may be too large, a text no UTF-8."""
    fitting = []
    for row, cell in enumerate(cells):
        try:
            fitting.append(float(cell) if kind == pa.float64() and cell is not None else cell)
            pa.scalar(fitting[-1], kind)
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
            message = f"{name}={shown(cell)} cannot be kept; {hint}"
            rejecter.reject_row(row, f"bad-{name}", name, message)
            fitting[len(fitting[:row]) :] = [None]
    return fitting


def _value_columns(values: list[dict[str, Any]], rejecter: Rejecter) -> dict[str, pa.Array]:
    names = list(dict.fromkeys(chain.from_iterable(values)))
    check_size(len(values), len(names))
    cells: dict[str, list[Any]] = {}
    for name in names:
        column = _cells_of(values, name)
        name = str(name)
        if name.endswith(BYTES_SUFFIX) and len(name) > len(BYTES_SUFFIX):
            column = texts_to_bytes(name, column, rejecter)
            name = name.removesuffix(BYTES_SUFFIX)
        if name in cells:
            pairs = zip(cells[name], column, strict=True)
            column = [one if one is not None else other for one, other in pairs]
        cells[name] = column
    return {name: cells_to_column(name, column, rejecter) for name, column in cells.items()}


def _cells_of(values: list[dict[str, Any]], name: str) -> list[Any]:
    try:
        return list(map(itemgetter(name), values))  # all have it: no method call per record
    except KeyError:
        return [value.get(name) for value in values]


def texts_to_bytes(name: str, cells: list[Any], rejecter: Rejecter) -> list[bytes | None]:
    """Decode base64 texts; refuses the records whose text is none."""
    decoded: list[bytes | None] = []
    for row, cell in enumerate(cells):
        decoded.append(None)
        if cell is None:
            continue
        try:
            if not isinstance(cell, str):
                raise ValueError("no text")
            decoded[-1] = base64.b64decode(cell, validate=True)
        except (binascii.Error, ValueError):
            message = f"value {shown(name)} is no base64 text: {shown(cell)}"
            rejecter.reject_row(row, "bad-base64", name, message)
    return decoded


_INTEGERS = frozenset((int, _NONE))
_NUMBERS = frozenset((int, float, _NONE))
_STEADY: dict[frozenset[type], Callable[[], Any]] = {
    frozenset((bool, _NONE)): pa.bool_,
    frozenset((str, _NONE)): pa.string,
    frozenset((bytes, _NONE)): pa.binary,
}


def cells_to_column(name: str, cells: list[Any], rejecter: Rejecter) -> pa.Array:
    """The narrowest of the six types that holds all cells: json when they differ in kind."""
    types = set(map(type, cells))
    try:
        if types <= _INTEGERS:
            return pa.array(cells, pa.int64())
        if types <= _NUMBERS and _exact_as_floats(cells, int in types):
            return pa.array(cells, pa.float64(), from_pandas=True)  # NaN becomes null
        for kinds, kind in _STEADY.items():
            if types <= kinds:
                return pa.array(cells, kind())
    except (pa.ArrowInvalid, OverflowError):
        pass  # an integer beyond int64: keep its digits
    except UnicodeEncodeError:  # a lone surrogate, which only msgpack can bring
        cells = [_without_surrogates(name, row, cell, rejecter) for row, cell in enumerate(cells)]
    return cells_to_json(name, cells, rejecter)


def _exact_as_floats(cells: list[Any], has_integers: bool) -> bool:
    if not has_integers:
        return True
    limit = 1 << 53
    return all(-limit <= cell <= limit for cell in cells if type(cell) is int)


_SURROGATE = re.compile("[\ud800-\udfff]")


def _without_surrogates(name: str, row: int, cell: Any, rejecter: Rejecter) -> Any:
    if isinstance(cell, str) and _SURROGATE.search(cell):
        message = f"value {shown(name)} is no valid Unicode text: {shown(cell)}"
        rejecter.reject_row(row, "bad-text", name, message)
        return None
    return cell
