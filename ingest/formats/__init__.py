"""Bytes of a file to columns of records: one decoder for each format, all of one shape.

The idea: a decoder is a function `(stream, context) -> parts` (`part.Decoder`). It knows the
format and nothing else: not where the bytes come from, not where the records go, not which
positions are allowed. It may be handed any bytes; then it yields parts or raises `UnreadableFile`
or `MappingNeeded`, and nothing else.

What a file does not say is in the `Context`: the station table, the mapping, the file's name.

Files: `detect` finds the format; `compressed`, `text`, `csv_stream` open it; `times`, `numbers`,
`flags` read cells in columns; `bosai_map`, `bosai_point`, `obsdl`, `mdrr` are JMA's downloads;
`long_csv`, `generic_csv`, `json_records`, `parquet` the rest, through `table` and
`column_mapping`; `station_table` says where stations stand.

What it does not do: it does not check positions, names and values (that is `node.codec.columns`,
for every door the same), and it reads no format that needs a library of its own (GRIB, BUFR,
NetCDF).
"""

from collections.abc import Mapping

from ingest.formats.bosai_map import decode_bosai_map
from ingest.formats.bosai_point import decode_bosai_point
from ingest.formats.detect import HEAD_BYTES, STATION_TABLE, detect
from ingest.formats.generic_csv import decode_csv
from ingest.formats.json_records import decode_geojson, decode_ndjson
from ingest.formats.long_csv import decode_long_csv
from ingest.formats.mdrr import decode_mdrr
from ingest.formats.obsdl import decode_obsdl
from ingest.formats.parquet import decode_parquet
from ingest.formats.part import Context, Decoder, Part, Refusals, Refused, RefusedMany

DECODERS: Mapping[str, Decoder] = {
    "bosai-map": decode_bosai_map,
    "bosai-point": decode_bosai_point,
    "obsdl": decode_obsdl,
    "mdrr": decode_mdrr,
    "long": decode_long_csv,
    "csv": decode_csv,
    "ndjson": decode_ndjson,
    "geojson": decode_geojson,
    "parquet": decode_parquet,
}

__all__ = [
    "DECODERS",
    "HEAD_BYTES",
    "STATION_TABLE",
    "Context",
    "Decoder",
    "Part",
    "Refusals",
    "Refused",
    "RefusedMany",
    "detect",
]
