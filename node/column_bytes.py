"""How many bytes a column occupies, asked for every write."""

import numpy as np
import pyarrow as pa

_EIGHT_BYTES = (pa.int64(), pa.float64())
_TEXT = pa.string()


def bytes_of(column: pa.Array) -> int:
    """What Arrow says of a column, for texts and numbers without asking it: it lets go of the
    interpreter's lock each time, and a record that comes alone then waits for another thread."""
    count, kind = len(column), column.type
    if count and not column.null_count:
        if kind in _EIGHT_BYTES:
            return 8 * count
        if kind == _TEXT:
            offsets = np.frombuffer(column.buffers()[1], np.int32, count + 1, 4 * column.offset)
            return 4 * count + int(offsets[-1]) - int(offsets[0])
    return int(column.nbytes)
