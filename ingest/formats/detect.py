"""Which format a file has, from its name and its first bytes."""

import re

from ingest.errors import UnknownFormat
from ingest.formats.compressed import plain_name
from ingest.formats.long_csv import COLUMNS as LONG_COLUMNS
from ingest.formats.parquet import MAGIC as PARQUET_MAGIC
from ingest.formats.text import sniff_encoding

HEAD_BYTES = 1 << 16
STATION_TABLE = "station-table"
"""Not a format of records: belongs behind --stations."""

_POINT = re.compile(r'\{\s*"\d{14}"\s*:')
_STATIONS = re.compile(r'\{\s*"\d{5}"\s*:\s*\{[^{}]*"(kjName|knName|enName|elems)"')
_MAP = re.compile(r'\{\s*"\d{5}"\s*:\s*\{')
_GEOJSON = re.compile(r'\{[^\[]{0,400}?"type"\s*:\s*"Feature(Collection)?"', re.DOTALL)
_MAP_NAME = re.compile(r"\d{14}\.json")


def detect(head: bytes, path: str = "") -> str:
    """The format's name (see `ingest.formats.DECODERS`), or STATION_TABLE.

    Args:
        head: up to HEAD_BYTES uncompressed bytes.
        path: the file's name; decides only where the content leaves it open.

    Raises:
        UnknownFormat: empty, binary, or text of no known shape.
    """
    if head.startswith(PARQUET_MAGIC):
        return "parquet"
    if not head.strip():
        raise UnknownFormat("the file is empty")
    if b"\0" in head[:4096] and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnknownFormat("the file is binary, but not Parquet; name it with --format")
    text = head.decode(sniff_encoding(head), "replace").lstrip("﻿ \t\r\n")
    if text.startswith(("{", "[")):
        return _detect_json(text, plain_name(path))
    return _detect_text(text)


def _detect_json(text: str, name: str) -> str:
    if _POINT.match(text):
        return "bosai-point"
    if _STATIONS.match(text):
        return STATION_TABLE
    if _MAP.match(text) or _MAP_NAME.fullmatch(name):
        return "bosai-map"
    if name.endswith(".geojson") or _GEOJSON.match(text):
        first_line = text.partition("\n")[0].rstrip()
        is_line = first_line.endswith("}") and '"FeatureCollection"' not in first_line
        many = len(text.strip().split("\n", 2)) > 1
        return "ndjson" if is_line and many and not name.endswith(".geojson") else "geojson"
    if text.startswith("{"):
        return "ndjson"
    raise UnknownFormat("the file is a JSON array; write one object per line (NDJSON) or GeoJSON")


def _detect_text(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = lines[0]
    if "ダウンロードした時刻" in first:
        return "obsdl"
    cells = [cell.strip().strip('"') for cell in re.split(r"[,;\t|]", first)]
    if "観測所番号" in cells:
        return "mdrr" if "現在時刻(年)" in cells else STATION_TABLE
    if set(cells) >= LONG_COLUMNS:
        return "long"
    if len(cells) > 1:
        return "csv"
    raise UnknownFormat("the file is text, but its first line is no CSV header; use --format")
