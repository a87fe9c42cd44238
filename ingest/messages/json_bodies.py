"""JSON: an object, a list of them, a GeoJSON Feature or FeatureCollection; NDJSON: one a line."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import orjson

from ingest.formats import Context
from ingest.formats.json_records import feature_to_record
from ingest.messages.payloads import MESSAGE_RECORDS_MAX, Payloads, Unpacked

_MARK = b"\xef\xbb\xbf"
_ONE_OBJECT = frozenset((dict,))
_COLLECTION = "FeatureCollection"


def unpack_json(payloads: Payloads, _context: Context) -> Unpacked:
    """Each body is one JSON document."""
    unpacked = Unpacked()
    documents, at = _parsed(payloads.bodies, payloads.at, unpacked)
    add_documents(documents, at, unpacked)
    return unpacked


def unpack_ndjson(payloads: Payloads, _context: Context) -> Unpacked:
    """Each body holds lines with one JSON document each."""
    unpacked = Unpacked()
    bodies: list[bytes] = []
    at: list[int] = []
    for message, body in zip(payloads.at, payloads.bodies, strict=True):
        lines = [line for line in body.split(b"\n") if not line.isspace() and line]
        if not lines:
            unpacked.refuse(message, "bad-json", "the message holds no line")
        elif len(lines) > MESSAGE_RECORDS_MAX:
            unpacked.refuse(message, "too-many-records", too_many(len(lines)))
        else:
            bodies += lines
            at += [message] * len(lines)
    add_documents(*_parsed(bodies, at, unpacked), unpacked)
    return unpacked


def _parsed(
    bodies: Sequence[bytes], at: Sequence[int], unpacked: Unpacked
) -> tuple[list[Any], Sequence[int]]:
    """One parse for each body: joined into one text, two broken ones could mend each other."""
    try:
        return list(map(orjson.loads, bodies)), at
    except orjson.JSONDecodeError:
        pass
    documents, good = [], []
    for message, body in zip(at, bodies, strict=True):
        try:
            documents.append(orjson.loads(body.removeprefix(_MARK)))
        except orjson.JSONDecodeError as error:
            unpacked.refuse(message, "bad-json", f"the body is no JSON: {error}")
        else:
            good.append(message)
    return documents, good


def add_documents(documents: list[Any], at: Sequence[int], unpacked: Unpacked) -> None:
    """Add records of parsed documents: objects, lists of them, Features, FeatureCollections."""
    if _ONE_OBJECT.issuperset(map(type, documents)) and not _may_be_geojson(documents):
        unpacked.objects += documents
        unpacked.object_messages += at
        return
    for message, document in zip(at, documents, strict=True):
        records = _records_of(document)
        if records is None:
            detail = "the body is neither an object nor a list of objects"
            unpacked.refuse(message, "bad-shape", detail)
        elif not records:
            unpacked.refuse(message, "no-records", "the message holds an empty list")
        elif len(records) > MESSAGE_RECORDS_MAX:
            unpacked.refuse(message, "too-many-records", too_many(len(records)))
        else:
            _add_records(message, records, unpacked)


def _may_be_geojson(documents: list[dict[str, Any]]) -> bool:
    names = frozenset(chain.from_iterable(documents))
    return "type" in names and ("geometry" in names or "features" in names)


def _records_of(document: Any) -> list[Any] | None:
    if type(document) is list:
        return document
    if type(document) is not dict:
        return None
    if document.get("type") == _COLLECTION:
        features = document.get("features")
        return features if type(features) is list else None
    return [document]


def _add_records(message: int, records: list[Any], unpacked: Unpacked) -> None:
    for index, record in enumerate(records):
        if type(record) is dict and record.get("type") == "Feature":
            flat = feature_to_record(record)
            if flat is None:
                detail = "the Feature has no Point or no properties"
                unpacked.refuse(message, "bad-feature", detail, index)
                continue
            record = flat
        elif type(record) is not dict:
            unpacked.refuse(message, "bad-shape", "the record is no object", index)
            continue
        unpacked.objects.append(record)
        unpacked.object_messages.append(message)


def too_many(count: int) -> str:
    """The words for a message with more records than one may have."""
    return f"{count} records in one message are more than {MESSAGE_RECORDS_MAX}; send smaller ones"
