"""NDJSON and GeoJSON with any member names, mapped like the columns of a table.

A line of NDJSON may also be a GeoJSON Feature. Nested members are reached by dotted names
(`location.lat`). A record in the project's own shape (`{"sensor", "time", "lon", "lat",
"values": {…}}`) needs no mapping.
"""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa

from ingest.errors import UnreadableFile
from ingest.formats.bosai_pairs import load_document
from ingest.formats.part import Context, Part, Refused
from ingest.formats.table import TableMapper
from node.codec.decoded import Rejecter
from node.codec.json_records import cells_to_column
from node.errors import TooLarge
from node.records import VALUE_NAMES_MAX
from zring.morton import Int64s

BATCH_RECORDS = 20_000
LINE_BYTES_MAX = 16 << 20
_READ_BYTES = 1 << 20
_NO_POINT = "no Feature with a Point and properties"


def decode_ndjson(stream: BinaryIO, context: Context) -> Iterator[Part]:
    """Parts of 20,000 lines; `Refused.row` is the line."""
    records: list[dict[str, Any]] = []
    lines: list[int] = []
    refused: list[Refused] = []
    found = False
    columns = _Columns(context)
    for line, text in enumerate(_lines(stream), 1):
        if not text.strip():
            continue
        if len(records) >= BATCH_RECORDS or len(refused) >= BATCH_RECORDS:
            found = found or bool(records)
            yield columns.part(records, np.array(lines, np.int64), refused)
            records, lines, refused = [], [], []
        record = _object(text)
        shown = text[:2_000].decode("utf-8", "replace")
        if record is None:
            refused.append(Refused(line, "bad-json", "the line is no JSON object", shown))
            continue
        is_feature = record.get("type") == "Feature"
        flat = feature_to_record(record) if is_feature else _flat(record)
        if flat is None:
            refused.append(Refused(line, "bad-feature", _NO_POINT, shown))
            continue
        records.append(flat)
        lines.append(line)
    if refused and not (found or records):
        raise UnreadableFile("no line is a JSON object")
    if records or refused:
        yield columns.part(records, np.array(lines, np.int64), refused)


def decode_geojson(stream: BinaryIO, context: Context) -> Iterator[Part]:
    """Parts of 20,000 features with Point geometries; `Refused.row` counts the features."""
    document = load_document(stream)
    features = document.get("features") if document.get("type") != "Feature" else [document]
    if not isinstance(features, list):
        raise UnreadableFile("the file is no GeoJSON Feature or FeatureCollection")
    columns = _Columns(context)
    for start in range(0, len(features), BATCH_RECORDS):
        records, rows, refused = [], [], []
        for row, feature in enumerate(features[start : start + BATCH_RECORDS], start + 1):
            record = feature_to_record(feature)
            if record is None:
                refused.append(Refused(row, "bad-feature", _NO_POINT, feature))
            else:
                records.append(record)
                rows.append(row)
        yield columns.part(records, np.array(rows, np.int64), refused)


class _Columns:
    """Objects of one file as parts; the mapping is made from the first batch that has any."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._mapper: TableMapper | None = None
        self._names: dict[str, None] = {}

    def part(self, records: Sequence[dict[str, Any]], rows: Int64s, refused: list[Refused]) -> Part:
        names = dict.fromkeys(name for record in records for name in record)
        if not names.keys() <= self._names.keys():
            self._names.update(names)
            if len(self._names) > VALUE_NAMES_MAX:
                raise UnreadableFile(f"more than {VALUE_NAMES_MAX} member names; map some of them")
            self._mapper = TableMapper(self._context, list(self._names))
        if self._mapper is None or not records:
            none = dict.fromkeys(("sensor", "time", "lon", "lat"), pa.array([], pa.string()))
            return Part(none, np.empty(0, np.int64), lambda _: None, tuple(refused))
        rejecter = Rejecter(len(records), indices=rows)
        columns = {name: self._column(name, records, rejecter) for name in self._names}
        wrong = {rejection.index: rejection.reason for rejection in rejecter.rejections()}
        if rejecter.bad.any():
            keep = np.flatnonzero(~rejecter.bad)
            refused = refused + [
                Refused(
                    int(rows[at]),
                    "bad-value",
                    wrong.get(int(rows[at]), "a member cannot be kept"),
                    records[at],
                )
                for at in np.flatnonzero(rejecter.bad).tolist()
            ]
            columns = {name: column.take(pa.array(keep)) for name, column in columns.items()}
            records = [records[at] for at in keep.tolist()]
            rows = rows[keep]
        return self._mapper.part(columns, rows, lambda index: records[index], tuple(refused))

    @staticmethod
    def _column(name: str, records: Sequence[dict[str, Any]], rejecter: Rejecter) -> pa.Array:
        try:
            return cells_to_column(name, [record.get(name) for record in records], rejecter)
        except TooLarge as error:
            raise UnreadableFile(str(error)) from None


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while piece := stream.read(_READ_BYTES):
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        if len(rest) > LINE_BYTES_MAX:
            raise UnreadableFile(f"a line is longer than {LINE_BYTES_MAX} bytes")
        yield from lines
    if rest:
        yield rest


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        record = orjson.loads(text.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the members of `values`, and dotted names for other nested ones."""
    if not any(type(cell) is dict for cell in record.values()):
        return record
    flat: dict[str, Any] = {}
    for name, cell in record.items():
        if type(cell) is not dict:
            flat[name] = cell
        elif name == "values":
            flat.update((key, value) for key, value in cell.items() if key not in record)
        else:
            flat.update((f"{name}.{key}", value) for key, value in cell.items())
    return flat


def feature_to_record(feature: Any) -> dict[str, Any] | None:
    """The properties, id and position of a Feature; None when it is none with a Point."""
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        return None
    geometry, properties = feature.get("geometry"), feature.get("properties")
    if not isinstance(geometry, dict) or not isinstance(properties, dict | None):
        return None
    point = geometry.get("coordinates")
    if geometry.get("type") != "Point" or not isinstance(point, list) or len(point) < 2:
        return None
    record = {**(properties or {}), "lon": point[0], "lat": point[1]}
    if "id" in feature and "sensor" not in record:
        record.setdefault("id", feature["id"])
    return record
