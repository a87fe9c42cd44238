"""Stored values as the types that Spark was told, whatever a page holds.

A collection has no schema: a value may be a number today and a text tomorrow, and a page knows
only its own rows. The schema of a read is fixed before its tasks begin, so each page is fitted:

1. integers become doubles; a number that a user's narrower type cannot hold becomes null;
2. where the collection was known to mix types the column is text of JSON: a text is quoted,
   bytes are {"base64": …};
3. a value of another type than its column's, stored after the schema was made, becomes null in a
   column of numbers, booleans or bytes, and its JSON in a column of texts.

Nothing here fails for any stored value.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from analytics.source.fields import Field
from node.records import JSON, concat_values

Cast = Callable[[Any], Any]


def fit(page: pa.Table, fields: Sequence[Field], schema: pa.Schema) -> pa.RecordBatch:
    """The rows as one batch with exactly this schema.

    Cost: nothing but the handling of columns where all types are the expected ones.
    """
    count = page.num_rows
    names = frozenset(page.column_names)
    arrays = [
        _fitted(_whole(page.column(field.name)), field)
        if field.name in names
        else pa.nulls(count, field.arrow)
        for field in fields
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _fitted(column: pa.Array, field: Field) -> pa.Array:
    wanted = field.arrow
    if field.kind == "json":
        if pa.types.is_string(wanted):
            return _as_json(column).storage
        column = _as_json(column)
    if column.type == wanted:
        return column
    if _is_number(column.type) and _is_number(wanted):
        return _number(column, wanted)
    if pa.types.is_string(wanted):
        return _texts(column)
    if column.type == JSON:
        return _from_json(column, wanted)
    return pa.nulls(len(column), wanted)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _as_json(column: pa.Array) -> pa.Array:
    # Joined with an empty json column, the values become texts of JSON as the nodes write them.
    return concat_values([(column, len(column)), (pa.nulls(0, JSON), 0)])


def _number(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_floating(wanted):
        return column.cast(wanted, safe=False)
    low, high = np.iinfo(wanted.to_pandas_dtype()).min, np.iinfo(wanted.to_pandas_dtype()).max
    if pa.types.is_floating(column.type):
        # The greatest double of a long is above its greatest number, so the end is left out.
        fits = pc.and_(
            pc.equal(pc.floor(column), column),
            pc.and_(pc.greater_equal(column, float(low)), pc.less(column, float(high) + 1.0)),
        )
    else:
        fits = pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high))
    return pc.if_else(fits, column, pa.scalar(None, column.type)).cast(wanted, safe=False)


def _texts(column: pa.Array) -> pa.Array:
    """A column of texts in which something else turned up: its JSON, texts unquoted."""
    cells = _as_json(column).storage.to_pylist()
    return pa.array([None if cell is None else _unquoted(cell) for cell in cells], pa.string())


def _unquoted(text: str) -> str:
    value = orjson.loads(text)
    return value if isinstance(value, str) else text


def _from_json(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    cells = [None if cell is None else orjson.loads(cell) for cell in column.storage.to_pylist()]
    if pa.types.is_boolean(wanted):
        return pa.array([cell if isinstance(cell, bool) else None for cell in cells], wanted)
    if pa.types.is_binary(wanted):
        return pa.array([_bytes(cell) for cell in cells], wanted)
    numbers = [
        float(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else None
        for cell in cells
    ]
    return _number(pa.array(numbers, pa.float64()), wanted)


def _bytes(cell: Any) -> bytes | None:
    """Bytes among other types are {"base64": …}."""
    if isinstance(cell, dict) and isinstance(cell.get("base64"), str):
        try:
            return base64.b64decode(cell["base64"], validate=True)
        except binascii.Error:
            return None
    return None
