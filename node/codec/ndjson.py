"""NDJSON: one record as a JSON object on each line."""

from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from node.codec.columns import check_size
from node.codec.decoded import Decoded, Rejecter, concat_decoded, shown
from node.codec.json_columns import (
    chunks,
    degree_texts,
    join_present,
    members,
    text_bytes,
    texts_to_json,
    version_member,
)
from node.codec.json_records import records_to_rows
from node.codec.times import times_to_texts
from node.errors import BadRequest, TooLarge
from node.records import Rows
from zring.domain import Domain

LINES_AT_ONCE = 4_096
"""Parsed before they become columns: few enough that Python's garbage collector stays idle."""


def ndjson_to_rows(body: bytes, *, domain: Domain, records_max: int) -> Decoded:
    """Read NDJSON; a line that is no JSON refuses that record alone. Empty lines are skipped.

    Raises:
        TooLarge: more lines than `records_max`.
    Cost: some 300 k records/s with two values.
    """
    lines = [line for line in body.split(b"\n") if line and not line.isspace()]
    if len(lines) > records_max:
        raise TooLarge(
            f"{len(lines)} records are more than {records_max}; send them in smaller batches"
        )
    parts = [
        _lines_to_rows(lines[start : start + LINES_AT_ONCE], start, domain)
        for start in range(0, max(len(lines), 1), LINES_AT_ONCE)
    ]
    check_size(len(lines), len({name for part in parts for name in part.rows.values}))
    return concat_decoded(parts)


def _lines_to_rows(lines: list[bytes], index_start: int, domain: Domain) -> Decoded:
    rejecter = Rejecter(len(lines), index_start=index_start)
    try:
        records: list[Any] = [orjson.loads(line) for line in lines]
    except orjson.JSONDecodeError:
        records = [_loaded(row, line, rejecter) for row, line in enumerate(lines)]
    return records_to_rows(records, domain=domain, rejecter=rejecter)


def _loaded(row: int, line: bytes, rejecter: Rejecter) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        rejecter.reject_row(
            row,
            "bad-json",
            None,
            f"record {rejecter.indices[row]} is no JSON ({error}): "
            f"{shown(line.decode(errors='replace'))}",
        )
        return {}


def parse_json(body: bytes) -> Any:
    """One JSON document.

    Raises:
        BadRequest: not UTF-8, truncated, nested too deeply for any reader, or no JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(
            f"the body is no JSON: {error}; starts with {shown(body[:60].decode(errors='replace'))}"
        ) from None


def rows_to_ndjson(rows: Rows) -> bytes:
    """One record a line, as the JSON record of the contract; nulls are left out.

    Cost: some 1.5 M records/s with four values.
    """
    return b"".join(text_bytes(_lines(chunk)) for chunk in chunks(rows))


def _lines(rows: Rows) -> pa.StringArray:
    pieces = members(rows)
    values = pc.utf8_slice_codeunits(join_present(pieces), 1) if pieces else ""
    return join_present(
        [
            '{"sensor":',
            texts_to_json(rows.sensor),
            ',"time":"',
            times_to_texts(rows.time),
            '","lon":',
            degree_texts(rows.lon),
            ',"lat":',
            degree_texts(rows.lat),
            version_member(rows),
            ',"values":{',
            values,
            "}}\n",
        ]
    )
