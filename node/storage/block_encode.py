"""Rows to block: for every column the smallest form that can still be filtered where it lies.

    const   one number for all rows              parameters: value
    ints    (value - base) / unit, 1-8 bytes      parameters: dtype, base, unit
    decimal ints / 10**digits, exact to the bit   parameters: dtype, base, unit, digits
    raw     float64 as they are
    bits    booleans, one bit a row
    codes   indices into a dictionary             parameters: dtype of the indices
    bytes   lengths and data                      (dictionary and plain forms share this)
    own     a sensor of its own for every row
    runs    positions in order, with the row where each begins (rows are sorted by code)

Numbers may carry a last buffer of validity bits (parameter `nulls`). Kinds are append-only.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from node.records import JSON, Bools, Rows
from node.storage.block_layout import BlockBuilder
from zring.morton import Int64s

UNSIGNED = ((1 << 8, "<u1"), (1 << 16, "<u2"), (1 << 32, "<u4"))
DECIMAL_DIGITS_MAX = 7
POWERS_OF_TEN = tuple(10.0**digits for digits in range(DECIMAL_DIGITS_MAX + 1))
"""Powers that float64 holds exactly, so that k / 10**d is the float nearest to the decimal."""
EXACT_MAX = float(1 << 53)
RUN_ROWS_MIN = 4
"""Rows for each position from which the dictionary is smaller than the columns themselves."""
SAMPLE_ROWS = 64
REPEATS_MIN = 2
"""Rows for each distinct text from which a dictionary pays."""
VALUE_LETTERS = {
    pa.int64(): "i",
    pa.float64(): "f",
    pa.bool_(): "b",
    pa.string(): "t",
    pa.binary(): "x",
    JSON: "j",
}


def encode_block(rows: Rows) -> bytes:
    """The bytes of a block of sorted rows without repeated identities."""
    builder = BlockBuilder(len(rows))
    _add_positions(builder, rows)
    _add_ints(builder, "time", rows.time)
    _add_ints(builder, "version", rows.version)
    _add_ints(builder, "deleted", rows.deleted.astype(np.int64))
    _add_sensors(builder, rows)
    for name in sorted(rows.values):
        column = rows.values[name]
        if column.null_count < len(column):
            _add_value(builder, name, column)
    return builder.build()


def _narrow(low: int, high: int) -> str:
    """The smallest unsigned dtype for (value - low) of values up to high."""
    return next((kind for limit, kind in UNSIGNED if high - low < limit), "<i8")


def _packed(numbers: Int64s) -> tuple[str, int, int, npt.NDArray[Any]]:
    """dtype, base, unit and the small numbers; `<i8` keeps the numbers themselves."""
    low, high = int(numbers.min()), int(numbers.max())
    if high - low >= 1 << 62:
        return "<i8", 0, 1, numbers
    offsets = numbers - low
    kind = _narrow(low, high)
    unit = 1
    if kind != "<u1":
        unit = int(np.gcd.reduce(offsets)) or 1
        if unit > 1:
            offsets = offsets // unit
            kind = _narrow(0, (high - low) // unit)
    if kind == "<i8":
        return "<i8", 0, 1, numbers
    return kind, low, unit, offsets.astype(kind)


def _add_ints(builder: BlockBuilder, name: str, numbers: Int64s) -> None:
    first = int(numbers[0])
    if (numbers == first).all():
        builder.add(name, "const", (first,))
        return
    kind, base, unit, small = _packed(numbers)
    builder.add(name, "ints", (kind, base, unit), small)


def _add_positions(builder: BlockBuilder, rows: Rows) -> None:
    changes = np.flatnonzero(
        (rows.code[1:] != rows.code[:-1])
        | (rows.lon[1:] != rows.lon[:-1])
        | (rows.lat[1:] != rows.lat[:-1])
    )
    starts = np.concatenate(([0], changes + 1))
    if len(starts) * RUN_ROWS_MIN <= len(rows) or len(starts) == 1:
        builder.add(
            "position",
            "runs",
            (),
            starts.astype("<u4"),
            rows.code[starts].astype("<i8"),
            rows.lon[starts].astype("<i4"),
            rows.lat[starts].astype("<i4"),
        )
        return
    _add_ints(builder, "code", rows.code)
    _add_ints(builder, "lon", rows.lon.astype(np.int64))
    _add_ints(builder, "lat", rows.lat.astype(np.int64))


def _add_sensors(builder: BlockBuilder, rows: Rows) -> None:
    """Names in order of their hashes; when every row has its own, in order of rows."""
    hashes, first, codes = np.unique(rows.sensor_hash, return_index=True, return_inverse=True)
    if len(hashes) == len(rows) > 1:
        form, buffers = _texts(rows.sensor)
        builder.add("sensor", "own", form, *buffers, rows.sensor_hash)
        return
    form, buffers = _texts(rows.sensor.take(pa.array(first)))
    kind = _narrow(0, len(hashes) - 1)
    indices = codes.ravel().astype(kind) if len(hashes) > 1 else codes[:0].astype(kind)
    builder.add("sensor", "codes", (*form, kind), *buffers, hashes, indices)


def _texts(column: pa.Array) -> tuple[tuple[str, int, int], tuple[npt.NDArray[Any], bytes]]:
    """Parameters and buffers of texts or bytes: (dtype, length, count) and (lengths, data).

    Where all have one length, that is a parameter, and the buffer of lengths is empty.
    """
    offsets_buffer, data = column.buffers()[1:]
    offsets = np.frombuffer(offsets_buffer, np.int32)[column.offset :][: len(column) + 1]
    start, stop = int(offsets[0]), int(offsets[-1])
    taken = b"" if data is None else memoryview(data)[start:stop].tobytes()
    lengths = np.diff(offsets)
    first = int(lengths[0])
    if (lengths == first).all():
        return ("", first, len(column)), (lengths[:0], taken)
    kind = _narrow(0, int(lengths.max()))
    return (kind, 0, len(column)), (lengths.astype(kind), taken)


def _validity(column: pa.Array) -> Bools | None:
    return None if column.null_count == 0 else np.asarray(column.is_valid())


def _bits(mask: Bools) -> npt.NDArray[np.uint8]:
    return np.packbits(mask, bitorder="little")


def _add_value(builder: BlockBuilder, name: str, column: pa.Array) -> None:
    letter = VALUE_LETTERS[column.type]
    valid = _validity(column)
    if letter in "if":
        _add_number(builder, f"={name}", letter, column, valid)
    elif letter == "b":
        filled = column.fill_null(False) if valid is not None else column
        bits = [_bits(filled.to_numpy(zero_copy_only=False))]
        if valid is not None:
            bits.append(_bits(valid))
        builder.add(f"={name}", "bits", ("b", valid is not None), *bits)
    else:
        storage = column.storage if letter == "j" else column
        _add_text(builder, f"={name}", letter, storage, valid)


def _add_text(
    builder: BlockBuilder, name: str, letter: str, column: pa.Array, valid: Bools | None
) -> None:
    encoded = column.dictionary_encode()
    nulls = [] if valid is None else [_bits(valid)]
    if len(encoded.dictionary) * REPEATS_MIN <= len(column):
        indices = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
        kind = _narrow(0, len(encoded.dictionary) - 1)
        form, buffers = _texts(encoded.dictionary)
        parameters = (letter, bool(nulls), *form, kind)
        if len(encoded.dictionary) == 1:
            indices = indices[:0]
        builder.add(name, "codes", parameters, *buffers, indices.astype(kind), *nulls)
        return
    form, buffers = _texts(column.fill_null(b"" if letter == "x" else "") if nulls else column)
    builder.add(name, "bytes", (letter, bool(nulls), *form), *buffers, *nulls)


def _add_number(
    builder: BlockBuilder, name: str, letter: str, column: pa.Array, valid: Bools | None
) -> None:
    nulls = [] if valid is None else [_bits(valid)]
    if valid is None:
        numbers = column.to_numpy(zero_copy_only=False)
    else:
        # A null takes the place of a value that is there, so that it costs no width.
        filler = column[int(np.argmax(valid))]
        numbers = column.fill_null(filler).to_numpy(zero_copy_only=False)
    bits = numbers.view(np.int64)  # -0.0 is not 0.0
    if (bits == bits[0]).all():
        builder.add(name, "const", (letter, bool(nulls), numbers[0].item()), *nulls)
        return
    if letter == "i":
        kind, base, unit, small = _packed(numbers)
        builder.add(name, "ints", (letter, bool(nulls), kind, base, unit), small, *nulls)
        return
    scaled = _decimals(numbers)
    if scaled is None:
        builder.add(name, "raw", (letter, bool(nulls)), numbers.astype("<f8"), *nulls)
        return
    digits, integers = scaled
    kind, base, unit, small = _packed(integers)
    if kind == "<i8":
        builder.add(name, "raw", (letter, bool(nulls)), numbers.astype("<f8"), *nulls)
        return
    builder.add(name, "decimal", (letter, bool(nulls), kind, base, unit, digits), small, *nulls)


def _decimals(numbers: npt.NDArray[np.float64]) -> tuple[int, Int64s] | None:
    """Digits and scaled integers that give back exactly these floats; None when none do."""
    for digits, power in enumerate(POWERS_OF_TEN):
        # A few rows mostly show that the digits are not enough.
        if _scaled(numbers[:SAMPLE_ROWS], power) is not None:
            scaled = _scaled(numbers, power)
            if scaled is not None:
                return digits, scaled
    return None


def _scaled(numbers: npt.NDArray[np.float64], power: float) -> Int64s | None:
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(numbers * power)
        if not (np.abs(scaled) < EXACT_MAX).all():
            return None
    # Adding 0.0 turns -0.0 into 0.0: a column with -0.0 is kept raw.
    if ((scaled / power + 0.0).view(np.int64) != numbers.view(np.int64)).any():
        return None
    return scaled.astype(np.int64)
