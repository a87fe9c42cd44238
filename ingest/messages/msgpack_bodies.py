"""msgpack: a record, a list of records, or a record whose members are columns (the fast form).

Columns: `{"sensor": […], "time": […], "lon": […], "lat": […], "temp": […]}`; a member that is no
list holds for all records of the message. `values` may hold columns as well.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgpack

from ingest.formats import Context
from ingest.formats.column_mapping import FIXED, USUAL_NAMES
from ingest.messages.cells import VALUES
from ingest.messages.json_bodies import add_documents, too_many
from ingest.messages.payloads import MESSAGE_RECORDS_MAX, Payloads, Table, Unpacked, repeated

ERRORS = (ValueError, TypeError, msgpack.UnpackException, RecursionError, OverflowError)
"""What the library raises for bytes that are no msgpack."""


def unpack_msgpack(payloads: Payloads, context: Context) -> Unpacked:
    """Each body is one msgpack document."""
    unpacked = Unpacked()
    documents, good = _parsed(payloads, unpacked)
    names = _fixed_names(context)
    if not any(type(document) is dict and list in set(map(type, document.values()))
               for document in documents):  # fmt: skip
        add_documents(documents, good, unpacked)
        return unpacked
    rest, rest_at = [], []
    batches: dict[tuple[str, ...], list[tuple[int, int, dict[str, Any]]]] = {}
    for message, document in zip(good, documents, strict=True):
        if type(document) is not dict or not _is_columns(document, names):
            rest.append(document)
            rest_at.append(message)
            continue
        columns = _without_values(document)
        count = _length(columns, message, unpacked)
        if count:
            batches.setdefault(tuple(columns), []).append((message, count, columns))
    unpacked.tables += [_table(names, batch) for names, batch in batches.items()]
    add_documents(rest, rest_at, unpacked)
    return unpacked


def _parsed(payloads: Payloads, unpacked: Unpacked) -> tuple[list[Any], Sequence[int]]:
    try:
        return list(map(msgpack.unpackb, payloads.bodies)), payloads.at
    except ERRORS:
        pass
    documents, good = [], []
    for message, body in zip(payloads.at, payloads.bodies, strict=True):
        try:
            documents.append(msgpack.unpackb(body))
        except ERRORS as error:
            detail = f"the body is no msgpack document: {error or 'truncated'}"
            unpacked.refuse(message, "bad-msgpack", detail)
        else:
            good.append(message)
    return documents, good


def _fixed_names(context: Context) -> frozenset[str]:
    usual = chain.from_iterable(USUAL_NAMES[name] for name in FIXED)
    return frozenset((*usual, *(context.mapping.names.get(name, name) for name in FIXED)))


def _is_columns(document: dict[str, Any], names: frozenset[str]) -> bool:
    """Sensor, time and position of one record are never lists."""
    return any(type(cell) is list and name in names for name, cell in document.items())


def _without_values(document: dict[str, Any]) -> dict[str, Any]:
    values = document.get(VALUES)
    if type(values) is not dict:
        return document
    outer = {name: cell for name, cell in document.items() if name != VALUES}
    return {**values, **outer}


def _length(columns: dict[str, Any], message: int, unpacked: Unpacked) -> int:
    lengths = {len(cell) for cell in columns.values() if type(cell) is list}
    count = max(lengths)
    if len(lengths) > 1:
        shown = ", ".join(f"{name}: {len(cell)}" for name, cell in columns.items()
                          if type(cell) is list)  # fmt: skip
        unpacked.refuse(message, "bad-columns", f"columns differ in length: {shown[:200]}")
    elif not count:
        unpacked.refuse(message, "no-records", "the message holds empty columns")
    elif count > MESSAGE_RECORDS_MAX:
        unpacked.refuse(message, "too-many-records", too_many(count))
    else:
        return count
    return 0


def _table(names: tuple[str, ...], batch: list[tuple[int, int, dict[str, Any]]]) -> Table:
    """Messages with the same columns, one below the other."""
    joined: dict[str, Any] = {}
    for name in names:
        pieces = [
            columns[name] if type(columns[name]) is list else [columns[name]] * count
            for _, count, columns in batch
        ]
        joined[name] = pieces[0] if len(pieces) == 1 else list(chain.from_iterable(pieces))
    return Table(joined, repeated((part[0] for part in batch), (part[1] for part in batch)))
