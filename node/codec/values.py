"""Value columns of any Arrow type as the six types that records have (`node.records`).

Input types and what they become: integers int64 (uint64 above int64: json), floats and decimals
float64, booleans bool, texts utf8, binaries bytes, dictionaries and runs their values, dates,
times and timestamps their ISO 8601 text, durations microseconds as int64, lists, structs, maps
and arrow.json json. NaN is the same as missing; an infinite number refuses its record.
"""

import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from node.codec.decoded import Rejecter, shown
from node.errors import BadRequest, TooLarge
from node.records import JSON, TYPE_NAMES, Bools, json_text

NESTING_MAX = 32
"""Lists and objects within each other in one value; observations are far flatter."""
DECODED_BYTES_MAX = 1 << 30
"""What dictionaries and runs of one column may unfold to: they repeat values without bytes."""

NESTED_CELLS_MAX = 8 << 20
"""Cells of one nested column and batch: they are read one by one."""


def column_to_values(name: str, column: pa.Array, rejecter: Rejecter) -> pa.Array | None:
    """One column as one of the six types; None when it holds nothing.

    Records whose value is not finite, no JSON or nested too deeply are refused through
    `rejecter` and hold null in the result.
    """
    column = plain_column(name, column)
    kind = column.type
    if pa.types.is_null(kind) or column.null_count == len(column):
        return None
    if kind in (pa.int64(), pa.bool_(), pa.string(), pa.binary()):
        return column
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        floats = column if kind == pa.float64() else column.cast(pa.float64(), safe=False)
        return _finite(name, floats, rejecter)
    if kind == JSON:
        return _checked_json(name, column.storage, rejecter)
    for belongs, convert in _CONVERSIONS:
        if belongs(kind):
            return convert(column)
    _check_nested(name, column)
    return cells_to_json(name, column.to_pylist(), rejecter)


def plain_column(name: str, column: pa.Array) -> pa.Array:
    """The column without dictionary, runs, chunks or an unknown extension type.

    Raises:
        TooLarge: when it would unfold to more than DECODED_BYTES_MAX.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    while True:
        kind = column.type
        if isinstance(kind, pa.BaseExtensionType) and kind != JSON:
            column = column.storage
        elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            column = _unfolded(name, column)
        else:
            return column


def _unfolded(name: str, column: pa.Array) -> pa.Array:
    is_runs = pa.types.is_run_end_encoded(column.type)
    distinct = column.values if is_runs else column.dictionary
    # The largest entry in every row is the worst case that needs no look at the indices.
    largest = max(len(distinct) and distinct.nbytes, 1)
    if isinstance(distinct.type, pa.BaseExtensionType):
        pass
    elif pa.types.is_string(distinct.type) or pa.types.is_binary(distinct.type):
        largest = pc.max(pc.binary_length(distinct)).as_py() or 1
    elif not pa.types.is_nested(distinct.type):
        largest = 16
    if largest * len(column) > DECODED_BYTES_MAX:
        raise TooLarge(
            f"column {shown(name)} repeats values of {largest} bytes in {len(column)} records; "
            f"at most {DECODED_BYTES_MAX} bytes unfolded, send fewer records at once",
            field=name,
        )
    return pc.run_end_decode(column) if is_runs else column.dictionary_decode()


def _check_nested(name: str, column: pa.Array) -> None:
    """Refuse nested columns that cost more to read than their bytes suggest.

    Views, unions, dictionaries and runs inside lists can name the same bytes many times, and
    lists of nothing have length without any bytes.
    """
    kind = column.type
    if len(column) > NESTED_CELLS_MAX:
        raise TooLarge(
            f"value {shown(name)} has more than {NESTED_CELLS_MAX} nested cells; "
            "send fewer records at once",
            field=name,
        )
    if pa.types.is_struct(kind):
        children = [column.field(at) for at in range(kind.num_fields)]
    elif pa.types.is_map(kind):
        children = [column.keys, column.items]
    elif (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    ):
        children = [column.flatten()]
    elif pa.types.is_nested(kind) or pa.types.is_dictionary(kind) or "view" in str(kind):
        raise BadRequest(
            f"value {shown(name)} holds {kind} in a nested column; send plain lists, structs "
            "and maps, or arrow.json",
            field=name,
        )
    else:
        return
    for child in children:
        _check_nested(name, child)


def cells_to_json(name: str, cells: list[Any], rejecter: Rejecter) -> pa.Array:
    """A json column of Python values; None stays null, a NaN becomes it."""
    texts: list[str | None] = [None] * len(cells)
    for row, cell in enumerate(cells):
        if cell is None or cell != cell:  # NaN is the one value that differs from itself
            continue
        if isinstance(cell, float) and cell in (float("inf"), float("-inf")):
            rejecter.reject_row(row, "not-finite", name, _not_finite(name, cell))
        elif _deeper_than(cell, NESTING_MAX):
            rejecter.reject_row(row, "nested-too-deep", name, _too_deep(name))
        else:
            texts[row] = _json_text(cell)
    return pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.string()))


def _json_text(cell: Any) -> str:
    try:
        return json_text(cell)
    except TypeError:
        return json_text(_simple(cell))


def _simple(cell: Any) -> Any:
    """The same value in types that JSON has; Arrow's others become texts and numbers."""
    if isinstance(cell, dict):
        return {str(key): _simple(part) for key, part in cell.items()}
    if isinstance(cell, list | tuple):
        return [_simple(part) for part in cell]
    if cell is None or isinstance(cell, bool | float | str | bytes):
        return cell
    if isinstance(cell, int):
        return cell if -(1 << 63) <= cell < 1 << 64 else float(cell)
    if isinstance(cell, decimal.Decimal):
        return float(cell)
    if isinstance(cell, datetime.date | datetime.time | datetime.datetime):
        return cell.isoformat()
    if isinstance(cell, datetime.timedelta):
        return cell // datetime.timedelta(microseconds=1)
    return str(cell) if isinstance(cell, uuid.UUID) else repr(cell)


def _deeper_than(cell: Any, levels: int) -> bool:
    if isinstance(cell, dict):
        parts: Any = cell.values()
    elif isinstance(cell, list | tuple):
        parts = cell
    else:
        return False
    return levels == 0 or any(_deeper_than(part, levels - 1) for part in parts)


def _not_finite(name: str, value: float) -> str:
    return f"value {shown(name)} is {value}; give a finite number, or leave it out if missing"


def _finite(name: str, column: pa.Array, rejecter: Rejecter) -> pa.Array:
    numbers = column.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore", over="ignore"):
        total = numbers.sum() if not column.null_count else np.nan
    if np.isfinite(total):  # one pass for the usual case
        return column
    infinite = np.isinf(numbers)
    rejecter.reject(
        infinite, "not-finite", name, lambda row: _not_finite(name, float(numbers[row]))
    )
    return pa.array(numbers, mask=~np.isfinite(numbers))


def _checked_json(name: str, texts: pa.StringArray, rejecter: Rejecter) -> pa.Array:
    """Texts of others are parsed once per distinct one and written again in canonical form."""
    encoded = texts.cast(pa.string()).dictionary_encode()
    good: list[str | None] = []
    broken: dict[int, str] = {}
    deep: dict[int, str] = {}
    for at, text in enumerate(encoded.dictionary.to_pylist()):
        good.append(None)
        try:
            cell = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            broken[at] = f"value {shown(name)} is no JSON ({error}): {shown(text)}"
            continue
        if _deeper_than(cell, NESTING_MAX):
            deep[at] = _too_deep(name)
        elif cell is not None:
            good[at] = _json_text(cell)
    for reason, wrong in (("bad-json", broken), ("nested-too-deep", deep)):
        if wrong:
            _reject_entries(name, encoded.indices, wrong, reason, rejecter)
    canonical = pa.array(good, pa.string()).take(encoded.indices)
    return pa.ExtensionArray.from_storage(JSON, canonical)


def _reject_entries(
    name: str, indices: pa.Array, wrong: Mapping[int, str], reason: str, rejecter: Rejecter
) -> None:
    """Refuse the records that hold a dictionary entry of `wrong`: entry → message."""
    entries = indices.fill_null(-1).to_numpy()
    mask: Bools = np.isin(entries, list(wrong))
    rejecter.reject(mask, reason, name, lambda row: wrong[int(entries[row])])


def _too_deep(name: str) -> str:
    return f"value {shown(name)} is nested more than {NESTING_MAX} deep; flatten it"


def _integers(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:  # uint64 beyond int64: keep the digits
        return pa.ExtensionArray.from_storage(JSON, column.cast(pa.string()))


def _iso_texts(column: pa.Array) -> pa.Array:
    return pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)


def _duration_us(column: pa.Array) -> pa.Array:
    return column.cast(pa.duration("us"), safe=False).view(pa.int64())


def _copied(column: pa.Array, kind: Any) -> pa.Array:
    """Views may name the same bytes in every row; 32-bit offsets hold 2 GB."""
    if "view" in str(column.type) or str(column.type).startswith("large"):
        total = _text_bytes(column)
        if total > DECODED_BYTES_MAX:
            raise TooLarge(
                f"a column holds {total} bytes, more than {DECODED_BYTES_MAX}; "
                "send fewer records at once"
            )
    return column.cast(kind)


def _text_bytes(column: pa.Array) -> int:
    if "view" not in str(column.type):
        return pc.sum(pc.binary_length(column)).as_py() or 0
    views = np.frombuffer(column.buffers()[1], np.int32)  # length first of four words a cell
    lengths = views[4 * column.offset : 4 * (column.offset + len(column)) : 4]
    return int(lengths[column.is_valid().to_numpy(zero_copy_only=False)].sum(dtype=np.int64))


def _is_text(kind: Any) -> bool:
    return pa.types.is_large_string(kind) or str(kind) == "string_view"


def _is_bytes(kind: Any) -> bool:
    return (
        pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or str(kind) == "binary_view"
    )


_CONVERSIONS: tuple[tuple[Callable[[Any], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (pa.types.is_integer, _integers),
    (_is_text, lambda column: _copied(column, pa.string())),
    (_is_bytes, lambda column: _copied(column, pa.binary())),
    (pa.types.is_timestamp, _iso_texts),
    (pa.types.is_date, lambda column: column.cast(pa.string())),
    (pa.types.is_time, lambda column: column.cast(pa.string())),
    (pa.types.is_duration, _duration_us),
)

assert {pa.int64(), pa.float64(), pa.bool_(), pa.string(), pa.binary(), JSON} == set(TYPE_NAMES)
