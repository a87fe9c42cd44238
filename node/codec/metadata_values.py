"""Metadata columns (`node.metadata`) in the one type that each of them has."""

import numpy as np
import pyarrow as pa

from node.codec.decoded import Rejecter, shown
from node.metadata import METADATA_TYPES

_PLAIN = (pa.int64(), pa.float64(), pa.bool_(), pa.string())


def metadata_column(name: str, column: pa.Array, rejecter: Rejecter) -> pa.Array:
    """A value column as int64 or text, as the name asks; refuses the records where it is neither.

    CSV types cells by their content, so that a stream named "3" comes as a number: it is text.
    """
    wanted = pa.int64() if METADATA_TYPES[name] == "number" else pa.string()
    if column.type == wanted:
        return column
    if column.type in _PLAIN:
        try:
            return column.cast(wanted)
        except pa.ArrowInvalid:
            pass  # one of them is no whole number
    cells = (column.storage if isinstance(column, pa.ExtensionArray) else column).to_pylist()
    word = "a whole number" if wanted == pa.int64() else "text"
    rejecter.reject(
        np.asarray(column.is_valid()),
        "bad-metadata",
        name,
        lambda row: f"{name}={shown(cells[row])} is no {word.removeprefix('a ')}; give {word}",
    )
    return pa.nulls(len(column), wanted)
