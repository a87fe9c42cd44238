"""CSV: each body begins with its header and goes on with rows.

A cell's type is what the cell says: a number, true or false, nothing, or text (also 007).
"""

import csv
import io
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.errors import MappingNeeded
from ingest.formats import Context
from ingest.formats.column_mapping import FIXED, NULL_TEXTS, ColumnMapping
from ingest.formats.numbers import whole_if_possible
from ingest.messages.json_bodies import too_many
from ingest.messages.payloads import MESSAGE_RECORDS_MAX, Payloads, Table, Unpacked, repeated
from node.records import VALUE_NAMES_MAX

_DELIMITERS = ",\t;|"
_NUMBER = re.compile(
    r"^\s*[+-]?(0|[1-9][0-9]{0,18}|[0-9]{0,18}\.[0-9]{0,18})([eE][+-]?[0-9]{1,3})?\s*$"
)
_NULLS = sorted(NULL_TEXTS)
"""An Arrow array only when it is used: the first one that a process makes imports pandas."""
EXACT_CHARACTERS = 15
"""A number of so many characters is the same as a double and as an integer."""
_HEADER_CHARACTERS_MAX = 1 << 16
_BOOLEANS = {"true": True, "false": False}


def unpack_csv(payloads: Payloads, context: Context) -> Unpacked:
    """Bodies with the same header are joined."""
    unpacked = Unpacked()
    groups: dict[tuple[str, ...], list[tuple[int, list[list[str]]]]] = {}
    for message, body in zip(payloads.at, payloads.bodies, strict=True):
        try:
            header, rows = _rows(body)
        except (UnicodeDecodeError, csv.Error, ValueError) as error:
            unpacked.refuse(message, "bad-csv", f"the body is no CSV: {error}")
            continue
        if len(rows) > MESSAGE_RECORDS_MAX:
            unpacked.refuse(message, "too-many-records", too_many(len(rows)))
            continue
        good = [row for row in rows if len(row) == len(header)]
        if len(good) < len(rows):
            for index, row in enumerate(rows):
                if len(row) != len(header):
                    detail = f"{len(row)} cells, the header has {len(header)}"
                    unpacked.refuse(message, "bad-width", detail, index)
        if good:
            groups.setdefault(tuple(header), []).append((message, good))
        elif not rows:
            unpacked.refuse(message, "no-records", "the message has a header and no row")
    unpacked.tables += [_table(header, group, context.mapping) for header, group in groups.items()]
    return unpacked


def _rows(body: bytes) -> tuple[Sequence[str], list[list[str]]]:
    text = body.decode("utf-8-sig").replace("\r\n", "\n")
    if "\0" in text or not text.strip("\n"):
        raise ValueError("it has no header")
    if '"' in text or "\r" in text:
        first = text.lstrip("\r\n").splitlines()[0]
        _, delimiter = _header(first[:_HEADER_CHARACTERS_MAX])
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [row for row in reader if row]
        return _checked([name.strip() for name in rows[0]]), rows[1:]
    lines = [line for line in text.split("\n") if line]
    header, delimiter = _header(lines[0])
    return header, [line.split(delimiter) for line in lines[1:]]


@lru_cache(maxsize=256)
def _header(line: str) -> tuple[Sequence[str], str]:
    """Names and delimiter; sensors say the same header again and again."""
    if len(line) > _HEADER_CHARACTERS_MAX:
        raise ValueError(f"its header is longer than {_HEADER_CHARACTERS_MAX} characters")
    delimiter = max(_DELIMITERS, key=line.count)
    return _checked([name.strip() for name in line.split(delimiter)]), delimiter


def _checked(header: Sequence[str]) -> Sequence[str]:
    if len(header) > VALUE_NAMES_MAX:
        raise ValueError(f"{len(header)} columns are more than {VALUE_NAMES_MAX}")
    if len(set(header)) < len(header):
        raise ValueError("a column's name appears twice in the header")
    return tuple(header)


def _table(
    header: Sequence[str], group: list[tuple[int, list[list[str]]]], mapping: ColumnMapping
) -> Table:
    rows = [row for _, part in group for row in part]
    fixed = _fixed(header, mapping)
    typed = {mapping.names.get(name, name) for name in mapping.types}
    columns: dict[str, Any] = {}
    for name, texts in zip(header, zip(*rows, strict=True), strict=True):
        if fixed.get(name) == "sensor":
            columns[name] = [None if text in NULL_TEXTS else text for text in texts]
        elif name in typed:
            columns[name] = list(texts)
        else:
            column = None if fixed.get(name) == "time" else _numbers(texts)
            columns[name] = list(map(_cell, texts)) if column is None else column
    message = repeated((part[0] for part in group), (len(part[1]) for part in group))
    return Table(columns, message)


def _fixed(header: Sequence[str], mapping: ColumnMapping) -> dict[str, str]:
    """Column → sensor, time, lon or lat."""
    present = {**dict.fromkeys(header), **dict.fromkeys(mapping.names.values())}
    try:
        resolved = mapping.resolve(present)
    except MappingNeeded:
        return {}  # all rows will be refused for it
    return {resolved[name]: name for name in FIXED if name in resolved}


def _numbers(texts: Sequence[str]) -> pa.Array | None:
    """The column as numbers when every cell is one or nothing, else None.

    Whole or not does not matter: 27 and 27.0 are the same content.
    """
    column = pa.array(texts, pa.string())
    empty = pc.is_in(column, value_set=pa.array(_NULLS))
    fits = pc.match_substring_regex(column, _NUMBER.pattern)
    short = pc.less_equal(pc.binary_length(column), EXACT_CHARACTERS)
    if not pc.all(pc.or_(empty, pc.and_(fits, short))).as_py():
        return None
    digits = pc.ascii_ltrim(pc.ascii_trim_whitespace(pc.if_else(empty, None, column)), "+")
    try:
        return whole_if_possible(digits.cast(pa.float64()))
    except pa.ArrowInvalid:
        return None  # a lonely point


def _cell(text: str) -> Any:
    if text in NULL_TEXTS:
        return None
    if _NUMBER.fullmatch(text):
        try:
            return int(text)
        except ValueError:
            pass
        try:
            return float(text)
        except ValueError:  # a lonely point
            return text
    return _BOOLEANS.get(text.lower(), text)
