"""A model over stored records on Spark: pieces of time, and one loaded model in every worker."""

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from analytics.models.errors import DataUnsuited
from analytics.models.grid import HOUR_US, times_us
from analytics.models.inference import Inference
from analytics.models.records import FIXED, inside
from analytics.models.saved import model_digest, model_of_bytes
from analytics.models.tasks import Task, task_of
from analytics.session import job_session
from analytics.source.options import connection_to_options, times_to_options

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PIECE_US = 24 * HOUR_US
"""Least time of which one Spark task makes the results; it is given the model's history besides."""
MODELS_KEPT = 4
"""Models that one worker process keeps loaded."""


def store_results(
    model: bytes,
    asked: Inference,
    *,
    into: str | None,
    master: str,
    replace: bool,
    connection: dict[str, Any],
) -> int:
    """Make results on Spark and store them; returns how many there were.

    Args:
        into: the collection; None stores nothing.
        connection: as the command's options say.
    """
    options = connection_to_options(connection)
    with job_session(master=master, name="zring infer") as session:
        results = infer_on_spark(session, model, asked, options)
        if into is None:
            return results.count()
        from pyspark.sql import Observation, functions

        seen = Observation("results")
        writer = results.observe(seen, functions.count(functions.lit(1)).alias("count")).write
        writer = writer.format("zring").options(**options, collection=into)
        writer.options(replace=str(replace).lower()).mode("append").save()
        return int(seen.get["count"])


def infer_on_spark(
    session: "SparkSession", model: bytes, asked: Inference, options: dict[str, str]
) -> "DataFrame":
    """Results as a data frame that `write.format("zring")` stores.

    Each Spark task loads the model once for its process, whatever it is given to do.

    Args:
        model: the bytes of its file; every worker checks them again.
        options: of the source, besides those of the question.
    """
    digest = model_digest(model)
    task = task_of(model_of_bytes(model), digest)
    given = {
        **options,
        "collection": asked.collection,
        "columns": ",".join((*FIXED, *task.columns)),
    }
    given |= times_to_options(*asked.read_us(task))
    wide = asked.wide(task)
    if wide is not None:
        given["bbox"] = ",".join(map(repr, wide))
    records = session.read.format("zring").options(**given).load()
    carried = session.sparkContext.broadcast(model)
    schema = spark_schema(task)
    if not task.history_us and not task.margin_km:

        def each(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            loaded = _loaded(digest, carried)
            for batch in batches:
                table = pa.Table.from_batches([batch])
                yield from _results(loaded, table, asked, asked.start_us, asked.stop_us)

        return records.mapInArrow(each, schema)
    history_us = task.history_us
    piece_us = max(PIECE_US, history_us)
    origin_us = asked.start_us // piece_us * piece_us

    def cut(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from _pieces(batch, origin_us, piece_us, history_us, asked.stop_us)

    def whole(piece: pa.Table) -> pa.Table:
        loaded = _loaded(digest, carried)
        start_us = origin_us + piece["piece"][0].as_py() * piece_us
        bounds = max(start_us, asked.start_us), min(start_us + piece_us, asked.stop_us)
        found = list(_results(loaded, piece, asked, *bounds))
        return pa.Table.from_batches(found, schema=loaded.result_schema())

    with_piece = ", ".join(
        [*(f"`{f.name}` {f.dataType.simpleString()}" for f in records.schema), "piece int"]
    )
    pieces = records.mapInArrow(cut, with_piece)
    return pieces.groupBy("piece").applyInArrow(whole, schema)


def _pieces(
    batch: pa.RecordBatch, origin_us: int, piece_us: int, history_us: int, stop_us: int
) -> Iterator[pa.RecordBatch]:
    """The records, once for each piece that needs them: its own time, and the history before."""
    if not len(batch):
        return
    table = pa.Table.from_batches([batch])
    since_us = times_us(table) - origin_us
    first, last = since_us // piece_us, (since_us + history_us) // piece_us
    count = -(-(stop_us - origin_us) // piece_us)
    for piece in range(
        max(int(first.min(initial=0)), 0), min(int(last.max(initial=-1)) + 1, count)
    ):
        needed = table.filter(pa.array((first <= piece) & (piece <= last)))
        number = pa.array(np.full(len(needed), piece, np.int32))
        yield from needed.append_column("piece", number).to_batches()


def _results(
    task: Task, records: pa.Table, asked: Inference, start_us: int, stop_us: int
) -> Iterator[pa.RecordBatch]:
    schema = task.result_schema()
    try:
        results = task.infer(records, start_us=start_us, stop_us=stop_us)
    except DataUnsuited:
        # A piece without a usable record: other pieces may have some.
        return
    yield from inside(results, asked.bbox).cast(schema).combine_chunks().to_batches()


@lru_cache(maxsize=MODELS_KEPT)
def loaded_once(digest: str, model: bytes) -> Task:
    """The task in the bytes of a model file, loaded once for each worker process."""
    return task_of(model_of_bytes(model), digest)


def _loaded(digest: str, carried: Any) -> Task:
    """The task, once for each worker process."""
    return loaded_once(digest, carried.value)


def spark_schema(task: Task) -> Any:
    """Columns of a task's results, as Spark calls them."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(task.result_schema())
