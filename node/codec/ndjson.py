"""NDJSON: one record as a JSON object on each line."""

from typing import Any

import orjson

from node.codec.decoded import Decoded, Rejecter, shown
from node.codec.json_records import records_to_rows
from node.errors import BadRequest, TooLarge
from zring.domain import Domain


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
    rejecter = Rejecter(len(lines))
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
            f"line {row + 1} is no JSON ({error}): {shown(line.decode(errors='replace'))}",
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
