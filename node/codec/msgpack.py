"""msgpack: one record or a list of records, with the keys of the JSON record; bytes as bytes."""

from typing import Any

import msgpack

from node.codec.decoded import Decoded, Rejecter
from node.codec.json_records import records_to_rows
from node.errors import BadRequest, TooLarge
from zring.domain import Domain


def msgpack_to_rows(body: bytes, *, domain: Domain, records_max: int) -> Decoded:
    """Read one msgpack document.

    Raises:
        BadRequest: truncated, trailing bytes, not UTF-8, keys that are no texts.
        TooLarge: more records than `records_max`.
    """
    try:
        document: Any = msgpack.unpackb(
            body, strict_map_key=True, max_array_len=max(records_max, 1)
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise BadRequest(f"the body is no msgpack document: {error or 'truncated'}") from None
    records = document if isinstance(document, list) else [document]
    if len(records) > records_max:
        raise TooLarge(
            f"{len(records)} records are more than {records_max}; send them in smaller batches"
        )
    return records_to_rows(records, domain=domain, rejecter=Rejecter(len(records)))
