"""Columns of numbers between nodes, one after the other as they lie in memory (little-endian).

Digests and offers are many small numbers; an Arrow stream's schema would often be larger.

    1. digests    day int32[n], cell uint32[n], total uint64[n], count uint32[n]
    2. pieces     day int32[n], cell uint32[n]
    3. offers     code int64[n], time int64[n], hash of the sensor uint64[n],
                  version × 2 + deleted int64[n], hash of the content uint64[n]
    4. ranges     total uint64[2**bits], count uint32[2**bits]
    5. answers    one bit a row, the first row in the highest bit of the first byte
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from node.errors import BadRequest

DIGEST_TYPES = ("<i4", "<u4", "<u8", "<u4")
PIECE_TYPES = ("<i4", "<u4")
RANGE_TYPES = ("<u8", "<u4")
OFFER_TYPES = ("<i8", "<i8", "<u8", "<i8", "<u8")


def columns_to_bytes(columns: Sequence[Any], types: Sequence[str]) -> bytes:
    """Columns of equal length as bytes; numbers must fit their type."""
    return b"".join(
        np.ascontiguousarray(column, kind).tobytes()
        for column, kind in zip(columns, types, strict=True)
    )


def bytes_to_columns(body: bytes | memoryview, types: Sequence[str]) -> list[Any]:
    """Undo `columns_to_bytes`.

    Raises:
        BadRequest: the bytes are not a whole number of rows.
    """
    widths = [np.dtype(kind).itemsize for kind in types]
    count, rest = divmod(len(body), sum(widths))
    if rest:
        raise BadRequest(f"body of {len(body)} bytes is no whole number of rows", field="body")
    columns: list[Any] = []
    start = 0
    for kind, width in zip(types, widths, strict=True):
        columns.append(np.frombuffer(body, kind, count, offset=start))
        start += width * count
    return columns
