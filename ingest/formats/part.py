"""What every decoder takes and gives: a file comes in, parts with columns go out."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO, overload

import pyarrow as pa

from ingest.formats.column_mapping import ColumnMapping
from ingest.formats.station_table import StationTable
from zring.morton import Int64s

BATCH_ROWS = 65_536
"""Rows of one part of a long file: some 10 MB of columns."""
DOCUMENT_BYTES_MAX = 64 << 20
"""A format that is one JSON document is held in memory as a whole, as objects of ten times the
size."""
TABLE_BYTES_MAX = 32 << 20
"""The same for JMA's tables, whose cells are texts; a download of all that is allowed is below
10 MB."""


@dataclass(frozen=True, slots=True)
class Refused:
    """One row that cannot become a record.

    Attributes:
        row: line of a text file, row of a table, feature of a collection; from 1.
        reason: the short stable word that is counted.
        message: what is wrong and the way out.
        original: what stood there, as JSON.
    """

    row: int
    reason: str
    message: str
    original: Any


@dataclass(frozen=True, slots=True)
class RefusedMany:
    """Rows of one batch that are refused for one reason, described only when somebody looks.

    A file of all Japan loaded into a small domain is refused nearly whole: counting must not
    cost a message and a copy of the row each.

    Attributes:
        reason: as in `Refused`.
        at: int64[k], positions in the batch.
        rows: int64[n], row numbers of the whole batch.
        describe, original: position in the batch → message, what stood there.
    """

    reason: str
    at: Int64s
    rows: Int64s
    describe: Callable[[int], str]
    original: Callable[[int], Any]

    def __iter__(self) -> Iterator[Refused]:
        for at in self.at.tolist():
            yield Refused(int(self.rows[at]), self.reason, self.describe(at), self.original(at))


class Refusals(Sequence[Refused]):
    """Refused rows, some of them in bulk; iterating or indexing describes them."""

    def __init__(self, single: Iterable[Refused] = (), many: Iterable[RefusedMany] = ()) -> None:
        self._single, self._many = tuple(single), tuple(many)

    def counts(self) -> Counter[str]:
        """How many by reason, without describing any."""
        counted = Counter(entry.reason for entry in self._single)
        for group in self._many:
            counted[group.reason] += len(group.at)
        return counted

    def __len__(self) -> int:
        return len(self._single) + sum(len(group.at) for group in self._many)

    def __iter__(self) -> Iterator[Refused]:
        return chain(self._single, *self._many)

    @overload
    def __getitem__(self, index: int) -> Refused: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Refused]: ...
    def __getitem__(self, index: int | slice) -> Refused | Sequence[Refused]:
        return tuple(self)[index]


@dataclass(frozen=True, slots=True)
class Part:
    """Records of one stretch of a file.

    Attributes:
        columns: sensor, time, lon, lat, then the values; arrays of one length n. Their content
            is checked by `node.codec.columns`, as for every other door.
        rows: int64[n], where each record stood in the file (as `Refused.row`).
        original: record index → what stood in the file.
        refused: rows of the same stretch that became no record.
        left_out: single values that were dropped by rule, by reason (missing, unknown-flag …).
        topic: what the records are about where one station and time may have several records
            (an hour and a day, one element and another): they go to `<collection>.<topic>`,
            because records of one sensor, time and place replace each other.
    """

    columns: Mapping[str, pa.Array]
    rows: Int64s
    original: Callable[[int], Any]
    refused: Sequence[Refused] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    topic: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a decoder may know besides the bytes.

    Attributes:
        path: the file's path as given, for formats whose names carry time or station.
        stations: positions of sensors that the file only names.
        mapping: names, time format and zone of generic files.
        station_names: name in a file → ids in the order of their appearance.
        station_ids: ids of the stations of an obsdl file, in the order of its columns.
        keep_incomplete: store values whose period is not complete (flag 4), with the flag.
        per_element: single-value files become one record per value, not one per station and time.
    """

    path: str = ""
    stations: StationTable = field(default_factory=StationTable.of_square)
    mapping: ColumnMapping = field(default_factory=ColumnMapping)
    station_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    station_ids: tuple[str, ...] = ()
    keep_incomplete: bool = True
    per_element: bool = False


Decoder = Callable[[BinaryIO, Context], Iterator[Part]]
"""Reads an uncompressed file from its beginning.

Raises:
    UnreadableFile, MappingNeeded: for any bytes; never anything else. Parts that were yielded
        before stay good.
"""
