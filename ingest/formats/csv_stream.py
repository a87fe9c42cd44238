"""CSV of any length as batches of text columns, in bounded memory, with row numbers."""

import csv as python_csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ingest.errors import UnreadableFile
from ingest.formats.part import Refused
from ingest.formats.text import REPLACED, Utf8Stream
from node.records import VALUE_NAMES_MAX, Bools
from zring.morton import Int64s

BLOCK_BYTES = 4 << 20
"""Text of one batch; also the longest row."""
_HEADER_BYTES_MAX = 1 << 16
_DELIMITERS = ",\t;|"


@dataclass(frozen=True, slots=True)
class TextBatch:
    """n rows as they stand in the file.

    Attributes:
        columns: name → utf8[n], without nulls.
        rows: int64[n], numbers of the rows, the header is row 1.
        refused: rows with another number of cells, as far as they were met.
    """

    columns: Mapping[str, pa.StringArray]
    rows: Int64s
    refused: tuple[Refused, ...]

    def original(self, index: int) -> dict[str, str]:
        """What stood in a row, by column."""
        return {name: column[index].as_py() for name, column in self.columns.items()}


def read_text_batches(stream: BinaryIO) -> tuple[list[str], Iterator[TextBatch]]:
    """The names in the header, and the rows below it.

    Raises:
        UnreadableFile: no header, a name twice, a row longer than BLOCK_BYTES (the last also
            while iterating).
    """
    utf8 = Utf8Stream(stream)
    buffered: io.BufferedReader = io.BufferedReader(utf8, BLOCK_BYTES)
    names, delimiter = _header(buffered.peek(_HEADER_BYTES_MAX)[:_HEADER_BYTES_MAX])
    return names, _batches(buffered, utf8, names, delimiter)


def _header(head: bytes) -> tuple[list[str], str]:
    first = head.decode("utf-8", "replace").lstrip("﻿").replace("\r\n", "\n")
    line = first.replace("\r", "\n").lstrip("\n").partition("\n")[0]
    delimiter = max(_DELIMITERS, key=line.count)
    try:
        names = next(iter(python_csv.reader([line], delimiter=delimiter)), [])
    except python_csv.Error as error:
        raise UnreadableFile(f"the header is no CSV: {error}") from None
    if not any(name.strip() for name in names) or "\0" in line:
        raise UnreadableFile("the file has no header row")
    if len(names) > VALUE_NAMES_MAX:
        raise UnreadableFile(f"{len(names)} columns are more than {VALUE_NAMES_MAX}")
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise UnreadableFile(f"column {twice[0]!r} appears twice in the header; rename one")
    return names, delimiter


def _batches(
    buffered: io.BufferedReader, utf8: Utf8Stream, names: list[str], delimiter: str
) -> Iterator[TextBatch]:
    wrong: list[tuple[int, Refused]] = []

    def note(row: csv.InvalidRow) -> str:
        number = row.number if row.number is not None else 0
        message = f"{row.actual_columns} cells, the header has {row.expected_columns}"
        wrong.append((number, Refused(number, "bad-width", message, row.text)))
        return "skip"

    try:
        reader = csv.open_csv(
            pa.PythonFile(buffered, mode="r"),
            read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            parse_options=csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, ValueError) as error:
        if "Empty CSV file" in str(error):
            return
        raise UnreadableFile(f"the file is no CSV: {error}") from None
    next_row = 2
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            break
        except (pa.ArrowException, ValueError) as error:
            raise UnreadableFile(f"the file stops being CSV: {error}") from None
        skipped = {number for number, _ in wrong}
        rows, next_row = _row_numbers(len(batch), next_row, skipped)
        refused = tuple(entry for number, entry in wrong if number < next_row)
        wrong[:] = [(number, entry) for number, entry in wrong if number >= next_row]
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        yield _without_replaced(columns, rows, refused, check=utf8.replaced)
    if wrong:
        none = {name: pa.array([], pa.string()) for name in names}
        yield TextBatch(none, np.empty(0, np.int64), tuple(entry for _, entry in wrong))


def _row_numbers(count: int, start: int, skipped: set[int]) -> tuple[Int64s, int]:
    """Numbers of `count` rows from `start` that pass over the skipped ones, and the next."""
    numbers = np.arange(start, start + count + len(skipped), dtype=np.int64)
    if skipped:
        numbers = numbers[~np.isin(numbers, list(skipped))]
    numbers = numbers[:count]
    return numbers, int(numbers[-1]) + 1 if count else start


def _without_replaced(
    columns: Mapping[str, pa.StringArray],
    rows: Int64s,
    refused: tuple[Refused, ...],
    *,
    check: bool,
) -> TextBatch:
    """Refuse rows with bytes that are no text."""
    if not check:
        return TextBatch(columns, rows, refused)
    bad: Bools = np.zeros(len(rows), np.bool_)
    for column in columns.values():
        bad |= pc.match_substring(column, REPLACED).to_numpy(zero_copy_only=False)
    whole = TextBatch(columns, rows, ())
    wrong = tuple(
        Refused(int(rows[at]), "bad-text", "bytes that are no text", whole.original(at))
        for at in np.flatnonzero(bad).tolist()
    )
    keep = np.flatnonzero(~bad)
    taken = pa.array(keep)
    kept = {name: column.take(taken) for name, column in columns.items()}
    return TextBatch(kept, rows[keep], (*refused, *wrong))
