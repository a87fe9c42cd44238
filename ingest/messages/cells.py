"""Parsed objects and cells to typed columns, name by name.

Loops run over whole names (`map`, comprehensions), never over the members of one record. What a
cell becomes depends on that cell alone: a column that mixes kinds is sorted out cell by cell.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import msgpack
import numpy as np
import pyarrow as pa

from ingest.formats.column_mapping import FIXED, USUAL_NAMES, ColumnMapping
from node.codec.decoded import shown
from node.errors import BadRequest
from zring.morton import Int64s

_NONE = type(None)
_TEXTS, _NUMBERS = frozenset((str, _NONE)), frozenset((int, float, _NONE))
_SPELLINGS_MAX = 60
VALUES = "values"
"""The member that holds the values of a record in the project's own shape."""


def objects_to_cells(
    objects: Sequence[dict[str, Any]], mapping: ColumnMapping
) -> dict[str, list[Any]]:
    """Columns of cells by name; members of objects inside get dotted names, one level deep.

    The members of `values` keep their names. Deeper ones, and those in lists, are there when the
    mapping names the path to them (`location.gps.lat`, `fields.0.value`).

    Raises:
        BadRequest: a name that is no text (only msgpack can bring one).
    """
    columns = _columns(objects)
    flat: dict[str, list[Any]] = {}
    nested: dict[str, list[Any]] = {}
    for name, cells in columns.items():
        if dict not in set(map(type, cells)):
            flat[name] = cells
            continue
        inner = _columns([cell if type(cell) is dict else {} for cell in cells])
        prefix = "" if name == VALUES else f"{name}."
        nested.update((prefix + key, column) for key, column in inner.items())
        others = [None if type(cell) is dict else cell for cell in cells]
        if others.count(None) < len(others):
            flat[name] = others
    for name, cells in nested.items():
        outer = flat.get(name)
        if outer is not None:  # a member of the record itself wins over one inside
            pairs = zip(outer, cells, strict=True)
            cells = [one if one is not None else other for one, other in pairs]
        flat[name] = cells
    for path in mapping.names.values():
        if path not in flat:
            steps = path.split(".")
            flat[path] = [_walk(record, steps) for record in objects]
    return flat


def alike(
    cells: dict[str, list[Any]], mapping: ColumnMapping
) -> Iterator[tuple[dict[str, list[Any]], Int64s | None]]:
    """Groups of records that have the same of the usual names, and their places (None: all).

    Which member is the sensor must not depend on what other messages call theirs, nor a position
    from the station table on whether others bring one.

    Raises:
        BadRequest: too many spellings of usual names together.
    """
    columns: list[str] = []
    for name in FIXED:
        if name in mapping.names or name in mapping.constants:
            continue
        found = [column for column in cells if column.strip().lower() in USUAL_NAMES[name]]
        if len(found) > 1 or name in ("lon", "lat"):
            columns += [column for column in found if None in cells[column]]
    if not columns:
        yield cells, None
        return
    if len(columns) > _SPELLINGS_MAX:
        raise BadRequest(f"{len(columns)} names could be sensor, time or place; map them")
    has = [np.fromiter((cell is not None for cell in cells[column]), np.int64)
           for column in columns]  # fmt: skip
    signs = sum(mask << at for at, mask in enumerate(has))
    for sign in np.unique(signs).tolist():
        places = np.flatnonzero(signs == sign)
        absent = {column for at, column in enumerate(columns) if not sign >> at & 1}
        pick = itemgetter(*places.tolist()) if len(places) > 1 else None
        yield (
            {
                name: list(pick(column)) if pick else [column[int(places[0])]]
                for name, column in cells.items()
                if name not in absent
            },
            places,
        )


def _columns(objects: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(chain.from_iterable(objects))
    columns: dict[str, list[Any]] = {}
    for name in names:
        if type(name) is not str:
            raise BadRequest(f"the name {shown(name)} is no text; names of members are texts")
        try:
            columns[name] = list(map(itemgetter(name), objects))  # all have it
        except KeyError:
            columns[name] = [record.get(name) for record in objects]
    return columns


def _walk(cell: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if type(cell) is dict:
            cell = cell.get(step)
        elif type(cell) is list and step.isdecimal() and int(step) < len(cell):
            cell = cell[int(step)]
        else:
            return None
    return cell


def fixed_column(name: str, cells: list[Any], mapping: ColumnMapping) -> pa.Array:
    """The cells of sensor, time, lon or lat; of what cannot be one, null.

    A column of one kind keeps it; one that mixes texts and numbers becomes texts that mean what
    each cell meant.
    """
    types = set(map(type, cells))
    try:
        if types <= _TEXTS:
            return pa.array(cells, pa.string())
        if types <= _NUMBERS and name != "sensor":
            return pa.array(cells, pa.float64() if float in types else pa.int64())
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
        pass  # an integer beyond int64, a text that is no Unicode: cell by cell
    as_micros = name == "time" and mapping.time_format is None
    return pa.array([_fixed_text(cell, as_micros=as_micros) for cell in cells], pa.string())


def _fixed_text(cell: Any, *, as_micros: bool) -> str | None:
    if type(cell) is str:
        return cell if _is_unicode(cell) else None
    if type(cell) is int:
        if not as_micros:
            return str(cell)
        # Whole numbers are microseconds; a text says the same without the other cells' help.
        inside = -(1 << 62) < cell < 1 << 62
        return str(np.datetime64(cell, "us")) + "Z" if inside else None
    if type(cell) is msgpack.Timestamp:
        return _fixed_text(cell.to_unix_nano() // 1_000, as_micros=True)
    if type(cell) is float:
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1 << 53 else repr(cell)
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
