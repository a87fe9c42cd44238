"""JMA's downloads as messages: each body is one file, whose name is the message's key or stream."""

import io
from collections.abc import Sequence
from dataclasses import replace

from ingest.errors import IngestError, UnknownFormat
from ingest.formats import DECODERS, HEAD_BYTES, STATION_TABLE, Context, Part, detect
from ingest.messages.payloads import Payloads, Unpacked


def unpack_amedas(payloads: Payloads, context: Context) -> Unpacked:
    """Each body is read by the importer that recognises it."""
    unpacked = Unpacked()
    for index, (message, body) in enumerate(zip(payloads.at, payloads.bodies, strict=True)):
        path = payloads.paths(index)
        try:
            parts = _decode(body, replace(context, path=path))
        except IngestError as error:
            unpacked.refuse(message, "bad-amedas", f"{path}: {error}")
            continue
        for part in parts:
            unpacked.parts.append((message, part))
            for entry in part.refused:
                unpacked.refuse(message, entry.reason, entry.message, entry.row)
    return unpacked


def _decode(body: bytes, context: Context) -> Sequence[Part]:
    name = detect(body[:HEAD_BYTES], context.path)
    if name == STATION_TABLE:
        raise UnknownFormat("a station table holds no records; give it as `stations`")
    return list(DECODERS[name](io.BytesIO(body), context))
