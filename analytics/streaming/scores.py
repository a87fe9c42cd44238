"""A trained model over each record of a stream, for models that need nothing but the record.

A model that looks back (a forecast needs a day) asks the store instead: `zring infer`, whenever
new records are there. What a stream has carried so far is no history.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from analytics.errors import BadOption
from analytics.models.saved import model_digest, model_of_bytes
from analytics.models.spark_inference import loaded_once, spark_schema
from analytics.models.tasks import Task, task_of
from node.query import TIME_MAX, TIME_MIN

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def stream_task(model: bytes) -> Task:
    """The task of a model file, when it can be applied to single records.

    Raises:
        BadOption: it looks back, or at more than one value.
        ModelUnsuited: it is no model of this version.
    """
    task = task_of(model_of_bytes(model), model_digest(model))
    if task.history_us or task.margin_km or len(task.columns) != 1:
        raise BadOption(
            "this model looks at records before or around the one it scores, which a stream does "
            "not keep; run `zring infer` over the stored records instead"
        )
    return task


def scores(session: "SparkSession", records: "DataFrame", model: bytes) -> "DataFrame":
    """The model's result for each record.

    Args:
        records: columns of `input.read_blobs`, with the value that the model reads.
        model: the bytes of its file; every worker checks them again and loads it once.
    Returns:
        result records, with sensor, time and place of the records they are about.
    """
    digest = model_digest(model)
    schema = spark_schema(stream_task(model))
    carried = session.sparkContext.broadcast(model)

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        task = loaded_once(digest, carried.value)
        for batch in batches:
            if not len(batch):
                continue
            table = pa.Table.from_batches([batch])
            yield from task.infer(table, start_us=TIME_MIN, stop_us=TIME_MAX).to_batches()

    return records.mapInArrow(score, schema)
