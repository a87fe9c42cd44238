"""Columns as JSON texts, one text a row, by Arrow's string kernels: no loop over rows in Python.

Floats are written in their shortest form that reads back the same (27.0 as 27), bytes as base64
under `name;base64`, json as it is; what is null is left out.
"""

import base64
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from node.codec.json_records import BYTES_SUFFIX
from node.records import JSON, Rows
from zring.domain import E7_PER_DEGREE

CHUNK_BYTES_MAX = 64 << 20
"""Columns that are turned into text at once: 32-bit offsets hold 2 GB, and texts grow."""
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'


def column_to_json(column: pa.Array) -> pa.StringArray:
    """JSON text of each cell, null where the cell is null."""
    kind = column.type
    if kind == JSON:
        return column.storage
    if kind == pa.string():
        return texts_to_json(column)
    if kind == pa.binary():
        cells = (None if cell is None else base64.b64encode(cell) for cell in column.to_pylist())
        return join('"', pa.array(cells, pa.binary()).cast(pa.string()), '"')
    return number_texts(column)


def number_texts(column: pa.Array) -> pa.StringArray:
    """Numbers and booleans as texts, floats in the shortest form that reads back the same."""
    if column.type != pa.float64():
        return column.cast(pa.string())
    return per_distinct(column, lambda floats: floats.cast(pa.string()))


def per_distinct(column: pa.Array, convert: Callable[[pa.Array], pa.StringArray]) -> pa.StringArray:
    """Convert each distinct cell once where most repeat.

    Sensors report in steps from fixed places, so most cells do: looking a text up beats
    formatting it again.
    """
    encoded = column.dictionary_encode()
    if 2 * len(encoded.dictionary) > len(column):
        return convert(column)
    return convert(encoded.dictionary).take(encoded.indices)


def texts_to_json(column: pa.StringArray) -> pa.StringArray:
    """Texts quoted; only those that need it are escaped one by one."""
    return per_distinct(column, _quoted)


def _quoted(column: pa.StringArray) -> pa.StringArray:
    if pc.any(pc.match_substring_regex(column, _NEEDS_ESCAPE)).as_py():
        cells = column.to_pylist()
        escaped = [None if cell is None else orjson.dumps(cell).decode() for cell in cells]
        return pa.array(escaped, pa.string())
    return join('"', column, '"')


def join(*pieces: Any) -> pa.StringArray:
    """The pieces of each row one after another; texts are repeated, a null makes the row null."""
    return pc.binary_join_element_wise(*pieces, "")


def join_present(pieces: Sequence[Any]) -> pa.StringArray:
    """As `join`, but a null piece counts as empty."""
    # Filling the few columns that have nulls is twice as fast as the kernel's own null handling.
    return join(
        *(
            piece.fill_null("") if isinstance(piece, pa.Array) and piece.null_count else piece
            for piece in pieces
        )
    )


def members(rows: Rows) -> list[pa.StringArray]:
    """For each value column `,"name":value`, null where the value is."""
    pieces = []
    for name, column in rows.values.items():
        key = name + BYTES_SUFFIX if column.type == pa.binary() else name
        text = column_to_json(column)
        pieces.append(join(f",{orjson.dumps(key).decode()}:", text))
    return pieces


def version_member(rows: Rows) -> pa.StringArray | str:
    """`,"version":n` of each row, null or empty where it is 0."""
    if not rows.version.any():
        return ""
    version = pa.array(rows.version, mask=rows.version == 0)
    return join(',"version":', version.cast(pa.string()))


def degree_texts(e7: Any) -> pa.StringArray:
    """Degrees with at most seven decimals from e7 integers."""
    return number_texts(pa.array(e7 / E7_PER_DEGREE))


def chunks(rows: Rows) -> Iterator[Rows]:
    """The rows in runs whose texts fit into one Arrow array."""
    count = max(1, -(-rows.nbytes() // CHUNK_BYTES_MAX))
    step = max(1, -(-len(rows) // count))
    for start in range(0, len(rows), step):
        yield rows.slice(start, start + step)


def text_bytes(texts: pa.StringArray) -> pa.Buffer:
    """All texts of an array one after another, without copying them."""
    assert texts.offset == 0 and not texts.null_count, "texts fresh from a join"
    offsets, data = texts.buffers()[1:]
    if data is None:
        return pa.py_buffer(b"")
    size = int.from_bytes(memoryview(offsets)[4 * len(texts) : 4 * len(texts) + 4], "little")
    return data.slice(0, size)
