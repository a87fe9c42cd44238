"""What a training learns from: records of an area and a time, read and made ready.

On Spark the tasks read from the nodes that own the records and keep what lies on the model's
clock; the features of hours are made by tasks as well. What is left is arrays that one machine
holds, and the network learns them in one process: minibatches of a small network are no work to
share. The same records give the same model wherever they were prepared.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pyarrow as pa

from analytics.models.grid import times_us
from analytics.models.records import FIXED
from analytics.session import job_session
from analytics.source.options import connection_to_options, times_to_options
from node.client.parameters import BoundingBox

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Piece = TypeVar("Piece")
Made = TypeVar("Made")

PIECES_AT_ONCE_MAX = 8
"""What tasks have made goes through the driver's Java, which has 1 GB unless it is told otherwise;
the features of 64 hours of a thousand stations are 40 MB."""
COLLECTED_MAX = "4g"
"""Records that come to the driver: the grid that is made of them has a limit of its own (0.8 GB,
`grid.CELLS_MAX`), and Spark's of 1 GB is below what it takes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are learned from.

    Attributes:
        start_us, stop_us: half-open.
        values: name → type in which it is read.
        step_us: records between two steps of this clock are left out; 1 takes all.
    """

    collection: str
    bbox: BoundingBox | None
    start_us: int
    stop_us: int
    values: Mapping[str, pa.DataType]
    step_us: int

    def schema(self) -> pa.Schema:
        """The columns that are read."""
        fixed = (pa.string(), pa.timestamp("us", tz="UTC"), pa.float64(), pa.float64())
        return pa.schema([*zip(FIXED, fixed, strict=True), *self.values.items()])


class Spread(Protocol):
    """Does pieces of work, here or on many machines; answers in the order of the pieces."""

    def __call__(
        self, work: Callable[[Piece], Made], pieces: Iterable[Piece], /
    ) -> Iterable[Made]: ...


def arranged(records: pa.Table, wanted: Wanted) -> pa.Table:
    """The wanted columns of records on the clock, sorted: the same for the same records.

    A value that no record has is null throughout; one of another type stays as it is, for the
    model to name.
    """
    count = len(records)
    columns = [
        _typed(records[field.name], field.type)
        if field.name in records.column_names
        else pa.nulls(count, field.type)
        for field in wanted.schema()
    ]
    table = pa.table(columns, names=wanted.schema().names)
    order = [(name, "ascending") for name in FIXED]
    return on_clock(table, wanted.step_us).sort_by(order)


def on_clock(records: pa.Table, step_us: int) -> pa.Table:
    """Those of the records whose time is a whole multiple of the step."""
    if step_us == 1:
        return records
    return records.filter(pa.array(times_us(records) % step_us == 0))


def _typed(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    kind = column.type
    numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if pa.types.is_timestamp(kind) or (numbers and pa.types.is_floating(wanted)):
        return column.cast(wanted)
    return column


@contextmanager
def spark_material(
    wanted: Wanted, *, master: str, connection: Mapping[str, Any]
) -> Iterator[tuple[pa.Table, Spread]]:
    """Records as `arranged` gives them, and what does work on Spark while the context lasts.

    Raises:
        AnalyticsError: Spark or its tasks failed; says why in one line.
    """
    settings = {"spark.driver.maxResultSize": COLLECTED_MAX}
    with job_session(master=master, name="zring train", settings=settings) as session:
        records = read_on_spark(session, wanted, connection_to_options(connection))
        yield arranged(records, wanted), spread_on(session)


def read_on_spark(session: "SparkSession", wanted: Wanted, options: Mapping[str, str]) -> pa.Table:
    """The records on the clock, read by Spark's tasks from their owners.

    Args:
        options: of the source, besides those of the question.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    asked = {**options, "collection": wanted.collection}
    asked |= times_to_options(wanted.start_us, wanted.stop_us)
    if wanted.bbox is not None:
        asked["bbox"] = ",".join(map(repr, wanted.bbox))
    schema, step_us = from_arrow_schema(wanted.schema()), wanted.step_us
    frame = session.read.format("zring").schema(schema).options(**asked).load()

    def keep(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from on_clock(pa.Table.from_batches([batch]), step_us).to_batches()

    return frame.mapInArrow(keep, schema).toArrow()


def spread_on(session: "SparkSession") -> Spread:
    """Does work in Spark's tasks, some pieces at a time; the work is copied to the workers."""
    context = session.sparkContext
    at_once = min(context.defaultParallelism, PIECES_AT_ONCE_MAX)

    def spread(work: Callable[[Piece], Made], pieces: Iterable[Piece]) -> Iterator[Made]:
        waiting = list(pieces)
        for first in range(0, len(waiting), at_once):
            some = waiting[first : first + at_once]
            yield from context.parallelize(some, len(some)).map(work).collect()

    return spread
