"""Records in columns: the one form in which a node handles them, from the door to the disk.

`Rows` holds n records of one collection. Rules that give them meaning (PROTOCOL 1): identity is
(collection, sensor, time, code); of several versions the greatest (version, content) counts;
a deletion is a version without values.

Values are Arrow arrays of six types: int64 and float64 (together "number": 27 and 27.0 are the
same content), bool ("boolean"), utf8 ("text"), binary ("bytes") and arrow.json ("json": lists,
nested values, and names whose type changes from record to record). Null is the same as absent.
Names with "@" in front are metadata (`node.metadata`), which no rule looks at.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from node.column_bytes import bytes_of
from node.errors import BadRecord
from node.metadata import check_metadata_name, is_metadata
from zring.digest import UInt64s, hash_bytes, hash_text, hash_words
from zring.morton import Int64s

Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

JSON = pa.json_()
TYPE_NAMES: Mapping[Any, str] = {
    pa.int64(): "number",
    pa.float64(): "number",
    pa.bool_(): "boolean",
    pa.string(): "text",
    pa.binary(): "bytes",
    JSON: "json",
}

FIXED_NAMES = ("sensor", "time", "lon", "lat", "version", "deleted")
RESERVED_NAMES = frozenset(FIXED_NAMES) | {"collection", "geometry", "id", "type", "values"}
VALUE_NAME_BYTES_MAX = 128
"""Long enough for any element's name; names are repeated in every block."""
VALUE_NAMES_MAX = 1_000
"""Columns of one collection in one batch; more is a mapping gone wrong."""
SENSOR_NAME_BYTES_MAX = 256
COLLECTION_NAME_BYTES_MAX = 128
FEW_NAMES = 64
"""So few are looked up one by one: that costs less than to find those that differ."""
HASHES_KNOWN_MAX = 1 << 15
"""Sensor names whose hashes are kept at hand: usually some 5 MB, 15 MB with the longest names."""


class Key(NamedTuple):
    """The order of records in every answer; `sensor_hash` stands for the sensor's name."""

    code: int
    time: int
    sensor_hash: int


@dataclass(frozen=True, slots=True)
class Rows:
    """n records of one collection as columns of equal length.

    Attributes:
        time: int64[n], microseconds since the epoch, UTC.
        lon, lat: int32[n], e7 units.
        code: int64[n].
        version: int64[n].
        deleted: bool[n].
        sensor: utf8[n] without nulls.
        sensor_hash: uint64[n], `zring.digest.hash_text` of the names.
        values: name → array[n] of one of the types above.
    """

    time: Int64s
    lon: Int32s
    lat: Int32s
    code: Int64s
    version: Int64s
    deleted: Bools
    sensor: pa.StringArray
    sensor_hash: UInt64s
    values: Mapping[str, pa.Array]

    @classmethod
    def build(
        cls,
        *,
        time: Int64s,
        lon: Int32s,
        lat: Int32s,
        code: Int64s,
        sensor: pa.StringArray,
        values: Mapping[str, pa.Array],
        version: Int64s | None = None,
        deleted: Bools | None = None,
    ) -> Self:
        """Fill in what is usually not given: version 0, not deleted, hashes of the sensors."""
        count = len(time)
        return cls(
            time=time,
            lon=lon,
            lat=lat,
            code=code,
            version=np.zeros(count, np.int64) if version is None else version,
            deleted=np.zeros(count, np.bool_) if deleted is None else deleted,
            sensor=sensor,
            sensor_hash=hash_sensors(sensor),
            values=values,
        )

    def __len__(self) -> int:
        return len(self.time)

    def key(self, index: int) -> Key:
        """The key of one row; negative indices count from the end."""
        return Key(int(self.code[index]), int(self.time[index]), int(self.sensor_hash[index]))

    def take(self, indices: npt.NDArray[np.intp]) -> "Rows":
        """The rows at these positions, in this order."""
        at = pa.array(indices)
        return Rows(
            time=self.time[indices],
            lon=self.lon[indices],
            lat=self.lat[indices],
            code=self.code[indices],
            version=self.version[indices],
            deleted=self.deleted[indices],
            sensor=self.sensor.take(at),
            sensor_hash=self.sensor_hash[indices],
            values={name: array.take(at) for name, array in self.values.items()},
        )

    def where(self, mask: Bools) -> "Rows":
        """The rows for which the mask is true; the same object when all are."""
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def slice(self, start: int, stop: int) -> "Rows":
        """Rows [start, stop) without copying."""
        stop = min(stop, len(self))
        return Rows(
            time=self.time[start:stop],
            lon=self.lon[start:stop],
            lat=self.lat[start:stop],
            code=self.code[start:stop],
            version=self.version[start:stop],
            deleted=self.deleted[start:stop],
            sensor=self.sensor[start:stop],
            sensor_hash=self.sensor_hash[start:stop],
            values={name: array[start:stop] for name, array in self.values.items()},
        )

    def with_values(self, values: Mapping[str, pa.Array]) -> "Rows":
        """The same records with other value columns."""
        fixed = (self.time, self.lon, self.lat, self.code, self.version, self.deleted)
        return Rows(*fixed, self.sensor, self.sensor_hash, values)

    def nbytes(self) -> int:
        """Bytes that the columns occupy, roughly: what queues and caches are limited by."""
        columns = (self.sensor, *self.values.values())
        return 49 * len(self) + sum(bytes_of(column) for column in columns)


@cache
def empty_rows() -> Rows:
    """No rows; always the same object, as rows never change."""
    int64, int32 = np.empty(0, np.int64), np.empty(0, np.int32)
    return Rows.build(
        time=int64, lon=int32, lat=int32, code=int64, sensor=pa.array([], pa.string()), values={}
    )


class _KnownHashes(dict[str, int]):
    """Names and their hashes, at most `HASHES_KNOWN_MAX`: the same sensors report again and again.

    Decoders run on several threads; losing what another one has just added costs one more hash.
    """

    def __missing__(self, name: str) -> int:
        if len(self) >= HASHES_KNOWN_MAX:
            self.clear()
        found = self[name] = hash_text(name)
        return found


_known_hashes = _KnownHashes()


def hash_sensors(sensor: pa.StringArray) -> UInt64s:
    """uint64[n] of the names; each distinct name is looked up once, or hashed if it is new.

    Cost: some 0.1 µs a distinct name that is known.
    """
    encoded = sensor.dictionary_encode() if len(sensor) > FEW_NAMES else None
    # Through NumPy: a tenth of what a list of Arrow's scalars costs.
    names = (encoded.dictionary if encoded else sensor).to_numpy(zero_copy_only=False).tolist()
    hashes = np.fromiter(map(_known_hashes.__getitem__, names), np.uint64, len(names))
    at: Places | None = encoded.indices.to_numpy(zero_copy_only=False) if encoded else None
    return hashes if at is None else hashes[at]


def concat_rows(parts: Sequence[Rows]) -> Rows:
    """All rows of the parts one after another; value types are widened where they differ."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return empty_rows()
    if len(parts) == 1:
        return parts[0]
    return _gathered(parts, [(part, 0, len(part)) for part in parts])


_Piece = tuple[Rows, int, int]
"""Rows [start, stop) of a part."""


def _gathered(parts: Sequence[Rows], pieces: Sequence[_Piece]) -> Rows:
    """All pieces one after another, with the values of all parts."""
    names = dict.fromkeys(name for part in parts for name in part.values)
    return Rows(
        time=np.concatenate([part.time[start:stop] for part, start, stop in pieces]),
        lon=np.concatenate([part.lon[start:stop] for part, start, stop in pieces]),
        lat=np.concatenate([part.lat[start:stop] for part, start, stop in pieces]),
        code=np.concatenate([part.code[start:stop] for part, start, stop in pieces]),
        version=np.concatenate([part.version[start:stop] for part, start, stop in pieces]),
        deleted=np.concatenate([part.deleted[start:stop] for part, start, stop in pieces]),
        sensor=pa.concat_arrays([part.sensor[start:stop] for part, start, stop in pieces]),
        sensor_hash=np.concatenate([part.sensor_hash[start:stop] for part, start, stop in pieces]),
        values={
            name: concat_values(
                [
                    (part.values[name][start:stop] if name in part.values else None, stop - start)
                    for part, start, stop in pieces
                ]
            )
            for name in names
        },
    )


JOINED_RUNS_MAX = 512
"""Runs of one code that are put in order in Python; more rows than that are sorted by NumPy."""


def join_sorted(parts: Sequence[Rows]) -> Rows:
    """All rows of sorted parts in key order.

    Blocks and readers mostly hold neighbouring codes or times, so that what they give fits
    together in a few runs of one code each: these are put in order, and no row is sorted.
    """
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return concat_rows(parts)
    pieces = _pieces_in_order(parts)
    return sort_rows(concat_rows(parts)) if pieces is None else _gathered(parts, pieces)


def _pieces_in_order(parts: Sequence[Rows]) -> list[_Piece] | None:
    """Runs of the parts in key order; None when they overlap or are too many."""
    runs: list[tuple[Key, Key, int, int, int]] = []
    for place, part in enumerate(parts):
        changes = (part.code[1:] != part.code[:-1]).nonzero()[0]
        if len(runs) + len(changes) >= JOINED_RUNS_MAX:
            return None
        edges = [0, *(changes + 1).tolist(), len(part)]
        runs.extend(
            (part.key(start), part.key(stop - 1), place, start, stop)
            for start, stop in pairwise(edges)
        )
    runs.sort()
    if any(before[1] >= behind[0] for before, behind in pairwise(runs)):
        return None
    pieces: list[_Piece] = []
    for _, _, place, start, stop in runs:
        if pieces and pieces[-1][0] is parts[place] and pieces[-1][2] == start:
            pieces[-1] = (parts[place], pieces[-1][1], stop)
        else:
            pieces.append((parts[place], start, stop))
    return pieces


def concat_values(parts: Sequence[tuple[pa.Array | None, int]]) -> pa.Array:
    """Join columns of one name; an absent one counts as that many nulls.

    int64 and float64 become float64 where no integer loses a digit; any other mix becomes JSON.
    """
    types = {part.type for part, _ in parts if part is not None}
    assert types, "a column that no part has"
    kind = next(iter(types)) if len(types) == 1 else _widened(parts, types)
    return pa.concat_arrays(
        [
            pa.nulls(count, kind)
            if part is None
            else part
            if part.type == kind
            else _converted(part, kind)
            for part, count in parts
        ]
    )


def _widened(parts: Sequence[tuple[pa.Array | None, int]], types: set[Any]) -> Any:
    if types <= {pa.int64(), pa.float64()} and all(
        part is None or part.type != pa.int64() or _fits_float(part) for part, _ in parts
    ):
        return pa.float64()
    return JSON


def _fits_float(column: pa.Array) -> bool:
    extremes = pc.min_max(column).as_py()
    low, high = extremes["min"], extremes["max"]
    return low is None or (low >= -(1 << 53) and high <= 1 << 53)


def _converted(column: pa.Array, kind: Any) -> pa.Array:
    if kind == pa.float64():
        return column.cast(pa.float64())
    texts = [None if cell is None else json_text(cell) for cell in column.to_pylist()]
    return pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.string()))


def json_text(value: Any) -> str:
    """The canonical JSON of one value; bytes become {"base64": …}. Keys are sorted."""
    return orjson.dumps(value, default=_jsonable, option=orjson.OPT_SORT_KEYS).decode()


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"no JSON for {type(value).__name__}")


def sort_rows(rows: Rows) -> Rows:
    """Rows in key order.

    Cost: nothing but a check when they are sorted; one stable sort by code when the rest follows
    (sorted runs of rising time, as blocks give them); three stable sorts otherwise.
    """
    order = sort_order(rows)
    return rows if order is None else rows.take(order)


def sort_order(rows: Rows) -> Places | None:
    """Where the rows stand, in key order; None when they are in it."""
    if _is_sorted(rows.code, rows.time, rows.sensor_hash):
        return None
    order = np.argsort(rows.code, kind="stable")
    if not _is_sorted(rows.code[order], rows.time[order], rows.sensor_hash[order]):
        order = np.lexsort((rows.sensor_hash, rows.time, rows.code))
    return order


def _is_sorted(code: Int64s, time: Int64s, sensor_hash: UInt64s) -> bool:
    same_code = code[1:] == code[:-1]
    same_time = time[1:] == time[:-1]
    rising = (code[1:] > code[:-1]) | (
        same_code & ((time[1:] > time[:-1]) | (same_time & (sensor_hash[1:] >= sensor_hash[:-1])))
    )
    return bool(rising.all())


def newest_rows(rows: Rows) -> Rows:
    """Of sorted rows, of each identity the first with the greatest (version, content)."""
    places = newest_places(rows)
    return rows if places is None else rows.take(places)


def newest_places(rows: Rows) -> Places | None:
    """Where those stand that `newest_rows` keeps; None when it keeps all."""
    same = (
        (rows.code[1:] == rows.code[:-1])
        & (rows.time[1:] == rows.time[:-1])
        & (rows.sensor_hash[1:] == rows.sensor_hash[:-1])
    )
    if not same.any():
        return None
    group = np.concatenate(([0], np.cumsum(~same)))
    repeated = np.zeros(len(rows), np.bool_)
    repeated[1:] = same
    repeated[:-1] |= same
    at = np.flatnonzero(repeated)
    content = content_hashes(rows.take(at))
    order = at[np.lexsort((-at, content, rows.version[at], group[at]))]
    keep = ~repeated
    last = np.append(group[order][1:] != group[order][:-1], True)
    keep[order[last]] = True
    return np.flatnonzero(keep)


def content_hashes(rows: Rows) -> UInt64s:
    """uint64[n] of what was measured: independent of column order, of absent columns, of metadata
    and of whether a number came as integer, float or JSON."""
    total = np.zeros(len(rows), np.uint64)
    for name, column in rows.values.items():
        if is_metadata(name):
            continue
        name_hash = np.full(len(rows), hash_text(name), np.uint64)
        mixed = hash_words([name_hash, _value_hashes(column)])
        mixed[np.asarray(column.is_null())] = 0
        with np.errstate(over="ignore"):
            total += mixed
    total[rows.deleted] = 0
    return total


def record_digests(collection: str, rows: Rows) -> UInt64s:
    """uint64[n]: the digest of identity, version and content (PROTOCOL 1.5)."""
    collection_hash = np.full(len(rows), hash_text(collection), np.uint64)
    return hash_words(
        [
            collection_hash,
            rows.sensor_hash,
            rows.time.astype(np.uint64),
            rows.code.astype(np.uint64),
            rows.version.astype(np.uint64) << np.uint64(1) | rows.deleted.astype(np.uint64),
            content_hashes(rows),
        ]
    )


_INTEGER_SALT = np.uint64(0x9E3779B97F4A7C15)


def _number_hashes(column: pa.Array) -> UInt64s:
    filled = column.fill_null(0) if column.null_count else column
    numbers = filled.to_numpy(zero_copy_only=False)
    floats = numbers.astype(np.float64) + 0.0  # + 0.0 turns -0.0 into 0.0
    hashes = floats.view(np.uint64).copy()
    if numbers.dtype == np.int64:
        large = np.abs(floats) > float(1 << 53)
        hashes[large] = numbers[large].view(np.uint64) ^ _INTEGER_SALT
    return hashes


def _value_hashes(column: pa.Array) -> UInt64s:
    """uint64[n]; what nulls hash to means nothing."""
    if column.type in (pa.int64(), pa.float64()):
        return _number_hashes(column)
    encoded = (column.storage if column.type == JSON else column).dictionary_encode()
    cells = encoded.dictionary.to_pylist()
    hash_cell = _json_hash if column.type == JSON else _scalar_hash
    hashes = np.fromiter((hash_cell(cell) for cell in cells), np.uint64, len(cells))
    if not len(hashes):
        return np.zeros(len(column), np.uint64)
    return hashes[encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)]


def _scalar_hash(value: Any) -> int:
    """Hash of one boolean, text or bytes; a prefix keeps equal bytes of two types apart."""
    if isinstance(value, bool):
        return hash_bytes(b"b1" if value else b"b0")
    return hash_bytes(b"t" + value.encode() if isinstance(value, str) else b"x" + value)


def _json_hash(text: str) -> int:
    value = orjson.loads(text)
    if isinstance(value, bool | str):
        return _scalar_hash(value)
    if isinstance(value, int | float):
        kind = pa.int64() if isinstance(value, int) and abs(value) < 1 << 63 else pa.float64()
        return int(_number_hashes(pa.array([value], kind))[0])
    data = _bytes_in(value)
    return hash_bytes(b"j" + text.encode()) if data is None else _scalar_hash(data)


def _bytes_in(value: Any) -> bytes | None:
    """The bytes that `json_text` wrote as {"base64": …}; None for what only looks alike."""
    if not isinstance(value, dict) or value.keys() != {"base64"}:
        return None
    text = value["base64"]
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        return None
    return data if data is not None and base64.b64encode(data).decode() == text else None


def check_value_name(name: str) -> None:
    """Refuse names that clash with the fixed ones or cannot be columns.

    Raises:
        BadRecord: names the value and the way out.
    """
    if is_metadata(name):
        check_metadata_name(name)
    if name in RESERVED_NAMES:
        clash = f"{name!r} clashes with a fixed one; rename it, for example {name}_value"
        raise BadRecord(f"value name {clash}", field=name)
    if not 1 <= (size := len(name.encode(errors="replace"))) <= VALUE_NAME_BYTES_MAX:
        raise BadRecord(
            f"value name of {size} bytes; names have 1 to {VALUE_NAME_BYTES_MAX} bytes", field=name
        )
