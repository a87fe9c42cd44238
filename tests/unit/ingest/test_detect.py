"""Which format a file has, and files inside compression."""

import bz2
import gzip
import lzma

import pyarrow as pa
import pytest

from ingest.errors import UnknownFormat, UnreadableFile
from ingest.formats import HEAD_BYTES, STATION_TABLE, detect
from ingest.formats.compressed import open_plain

FOLDERS = {"bosai_map": "bosai-map", "bosai_point": "bosai-point", "mdrr_csv/pre1h": "mdrr",
           "mdrr_csv/pre24h": "mdrr", "obsdl_csv/ramedas": "obsdl", "obsdl_csv/haneda": "obsdl",
           "obsdl_csv/tus": "obsdl", "square_long": "long", "nikkei_japan": "csv",
           "amedastable": STATION_TABLE, "ame_master": STATION_TABLE}  # fmt: skip


def test_files_are_recognised(amedas_files):
    seen = set()
    for path in sorted(amedas_files.rglob("*")):
        name = path.relative_to(amedas_files).as_posix()
        for prefix, expected in FOLDERS.items():
            if path.is_file() and name.startswith(prefix):
                with open_plain(path) as stream:
                    assert detect(stream.read(HEAD_BYTES), name) == expected, name
                seen.add(expected)
    assert seen == set(FOLDERS.values())


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b'{"sensor": "a"}\n{"sensor": "b"}\n', "x.json", "ndjson"),
        (b'{"type": "FeatureCollection", "features": []}', "x.json", "geojson"),
        (b'{"type": "Feature", "geometry": null}', "x", "geojson"),
        (b'{"type": "Feature"}\n{"type": "Feature"}\n', "x.ndjson", "ndjson"),
        (b"a\tb\n1\t2\n", "x.tsv", "csv"),
        (b"PAR1....", "x", "parquet"),
        (b"\xef\xbb\xbfsensor,time\n", "x", "csv"),
        (b"{}", "20250628180000.json", "bosai-map"),
        ("sensor,time\n".encode("utf-16"), "x", "csv"),
    ],
)
def test_contents_that_say_what_they_are(head, name, expected):
    assert detect(head, name) == expected


@pytest.mark.parametrize(
    "head", [b"", b"  \n", b"\x00\x01\x02", b"hello", b"[1, 2]", b"\xff\xff\x81"]
)
def test_contents_that_do_not(head):
    with pytest.raises(UnreadableFile):
        detect(head)
    assert issubclass(UnknownFormat, UnreadableFile)


def _zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


COMPRESSIONS = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": _zstd}


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_compressed_files(tmp_path, suffix):
    data = b"sensor,time\n" * 1000
    path = tmp_path / f"x.csv.{suffix}"
    path.write_bytes(COMPRESSIONS[suffix](data))
    with open_plain(path) as stream:
        assert stream.read(5) + stream.read() == data


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_damaged_compression_is_one_error(tmp_path, suffix):
    data = COMPRESSIONS[suffix](bytes(range(256)) * 400)
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(data[: len(data) // 2] + b"broken")
    with pytest.raises(UnreadableFile), open_plain(path) as stream:
        stream.read()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UnreadableFile, match="cannot be opened"):
        open_plain(tmp_path / "nothing")
