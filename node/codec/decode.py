"""From the bytes of a request to checked rows, by media type: the table of readable formats."""

from collections.abc import Callable, Mapping

from node.codec.arrow import stream_to_rows
from node.codec.csv import csv_to_rows
from node.codec.decoded import Decoded, Rejecter
from node.codec.json_records import features_to_rows, records_to_rows
from node.codec.msgpack import msgpack_to_rows
from node.codec.ndjson import ndjson_to_rows, parse_json
from node.codec.single_record import record_to_rows
from node.config import Limits
from node.errors import BadRequest, TooLarge
from zring.domain import Domain

Decoder = Callable[[bytes, Domain, Limits], Decoded]


class UnsupportedMediaType(BadRequest):
    """Raised for a Content-Type that no decoder reads; the message lists those that are."""

    status = 415
    reason = "unsupported-media-type"


def decode_records(media_type: str, body: bytes, domain: Domain, limits: Limits) -> Decoded:
    """Decode a body of records.

    Args:
        media_type: the Content-Type; parameters behind `;` are ignored.
        body: the whole body.
    Returns:
        the good rows and the rejections; one bad record never costs another.
    Raises:
        UnsupportedMediaType: no decoder reads the type.
        TooLarge: more bytes, records, names or cells than allowed.
        BadRequest: the body as a whole cannot be read.
    """
    decoder = DECODERS.get(media_type.partition(";")[0].strip().lower())
    if decoder is None:
        raise UnsupportedMediaType(
            f"Content-Type={media_type[:80]!r} is not read here; send one of "
            + ", ".join(sorted(DECODERS))
        )
    if len(body) > limits.request_bytes_max:
        raise TooLarge(
            f"body of {len(body)} bytes is more than {limits.request_bytes_max}; "
            "send it in smaller batches"
        )
    return decoder(body, domain, limits)


def _decode_ndjson(body: bytes, domain: Domain, limits: Limits) -> Decoded:
    return ndjson_to_rows(body, domain=domain, records_max=limits.request_records_max)


def _decode_json(body: bytes, domain: Domain, limits: Limits) -> Decoded:
    document = parse_json(body)
    kind = document.get("type") if isinstance(document, dict) else None
    if kind in ("Feature", "FeatureCollection"):
        return _decode_features(document, domain, limits)
    single = record_to_rows(document, domain=domain)
    if single is not None:
        return single
    records = document if isinstance(document, list) else [document]
    _check_count(len(records), limits)
    is_features = bool(records) and all(
        isinstance(record, dict) and record.get("type") == "Feature" for record in records
    )
    read = features_to_rows if is_features else records_to_rows
    return read(records, domain=domain, rejecter=Rejecter(len(records)))


def _decode_geojson(body: bytes, domain: Domain, limits: Limits) -> Decoded:
    return _decode_features(parse_json(body), domain, limits)


def _decode_features(document: object, domain: Domain, limits: Limits) -> Decoded:
    if isinstance(document, dict) and document.get("type") == "FeatureCollection":
        features = document.get("features")
        if not isinstance(features, list):
            raise BadRequest("features is no array; a FeatureCollection has one", field="features")
    elif isinstance(document, dict) and document.get("type") == "Feature":
        features = [document]
    else:
        raise BadRequest(
            "the body is neither a GeoJSON Feature nor a FeatureCollection; "
            "send plain records as application/json",
            field="type",
        )
    _check_count(len(features), limits)
    return features_to_rows(features, domain=domain, rejecter=Rejecter(len(features)))


def _decode_csv(body: bytes, domain: Domain, limits: Limits) -> Decoded:
    return csv_to_rows(body, domain=domain, records_max=limits.request_records_max)


def _decode_msgpack(body: bytes, domain: Domain, limits: Limits) -> Decoded:
    return msgpack_to_rows(body, domain=domain, records_max=limits.request_records_max)


def _decode_arrow(body: bytes, domain: Domain, limits: Limits) -> Decoded:
    return stream_to_rows(body, domain=domain, records_max=limits.request_records_max)


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.request_records_max:
        raise TooLarge(
            f"{count} records are more than {limits.request_records_max}; "
            "send them in smaller batches"
        )


DECODERS: Mapping[str, Decoder] = {
    "application/json": _decode_json,
    "application/geo+json": _decode_geojson,
    "application/x-ndjson": _decode_ndjson,
    "application/ndjson": _decode_ndjson,
    "application/jsonl": _decode_ndjson,
    "text/csv": _decode_csv,
    "application/msgpack": _decode_msgpack,
    "application/x-msgpack": _decode_msgpack,
    "application/vnd.msgpack": _decode_msgpack,
    "application/vnd.apache.arrow.stream": _decode_arrow,
}
"""Media type → decoder."""
