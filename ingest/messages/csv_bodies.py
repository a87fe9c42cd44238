"""CSV: each body begins with its header and goes on with rows.

A cell's type is what the cell says: a number, true or false, nothing, or text (also 007).
"""

import csv
import io
import re
from typing import Any

from ingest.formats import Context
from ingest.formats.column_mapping import NULL_TEXTS, ColumnMapping
from ingest.messages.json_bodies import too_many
from ingest.messages.payloads import MESSAGE_RECORDS_MAX, Payloads, Table, Unpacked, repeated
from node.records import VALUE_NAMES_MAX

_DELIMITERS = ",\t;|"
_NUMBER = re.compile(
    r"\s*[+-]?(0|[1-9][0-9]{0,18}|[0-9]{0,18}\.[0-9]{0,18})([eE][+-]?[0-9]{1,3})?\s*"
)
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


def _rows(body: bytes) -> tuple[list[str], list[list[str]]]:
    text = body.decode("utf-8-sig")
    first = text[:65_536].lstrip("\r\n").splitlines()
    if not first or "\0" in text:
        raise ValueError("it has no header")
    delimiter = max(_DELIMITERS, key=first[0].count)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    header = [name.strip() for name in rows[0]]
    if len(header) > VALUE_NAMES_MAX:
        raise ValueError(f"{len(header)} columns are more than {VALUE_NAMES_MAX}")
    if len(set(header)) < len(header):
        raise ValueError("a column's name appears twice in the header")
    return header, rows[1:]


def _table(
    header: tuple[str, ...], group: list[tuple[int, list[list[str]]]], mapping: ColumnMapping
) -> Table:
    rows = [row for _, part in group for row in part]
    as_text = {mapping.names.get(name, name) for name in mapping.types}
    columns: dict[str, Any] = {}
    for name, texts in zip(header, zip(*rows, strict=True), strict=True):
        columns[name] = list(texts) if name in as_text else list(map(_cell, texts))
    message = repeated((part[0] for part in group), (len(part[1]) for part in group))
    return Table(columns, message)


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
