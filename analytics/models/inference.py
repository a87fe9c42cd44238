"""A model over the records of an area and a time, from what one node answers."""

from dataclasses import dataclass

import pyarrow as pa

from analytics.models.errors import DataUnsuited
from analytics.models.records import inside, records_of_cluster, wider
from analytics.models.tasks import Task
from analytics.source.selection import time_to_text
from node.client import AnswerCoverage, Client
from node.client.parameters import BoundingBox


@dataclass(frozen=True, slots=True)
class Inference:
    """What is asked of a model.

    Attributes:
        bbox: results are for stations in it; records around it are read as the model needs.
        start_us, stop_us: half-open; results are made for the model's steps in it.
    """

    collection: str
    bbox: BoundingBox | None
    start_us: int
    stop_us: int

    def read_us(self, task: Task) -> tuple[int, int]:
        """The half-open time of which records are read: with what came before, whole steps."""
        return self.start_us - task.history_us, -(-self.stop_us // task.step_us) * task.step_us

    def wide(self, task: Task) -> BoundingBox | None:
        """The box from which records are read."""
        return None if self.bbox is None else wider(self.bbox, task.margin_km)


def infer_at_node(
    client: Client, task: Task, asked: Inference, *, timeout_s: float
) -> tuple[pa.Table, AnswerCoverage]:
    """Results from what one node answers, in the form of records, and how complete it was.

    Raises:
        DataUnsuited: nothing of what is needed is in the answer.
        NodeError: the node does not answer.
    """
    start_us, stop_us = asked.read_us(task)
    records, coverage = records_of_cluster(
        client,
        asked.collection,
        task.columns,
        bbox=asked.wide(task),
        start_us=start_us,
        stop_us=stop_us,
        timeout_s=timeout_s,
    )
    if not len(records):
        raise DataUnsuited(
            f"{asked.collection} has no records in this area from "
            f"{time_to_text(start_us)} to {time_to_text(stop_us)}"
        )
    results = task.infer(records, start_us=asked.start_us, stop_us=asked.stop_us)
    return inside(results, asked.bbox), coverage
