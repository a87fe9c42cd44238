"""What a model file is for: one class for each task, all with the same face."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from analytics.models import anomaly, digits, nowcast, nowcast_features
from analytics.models.errors import ModelUnsuited
from analytics.models.saved import SavedModel, read_model


class Task(Protocol):
    """A trained model that makes records of records; used from one thread at a time.

    Attributes:
        digest: of the model's file; part of every result.
        columns: values that are read.
        history_us: how long before the first time records are needed.
        step_us: results are made for whole multiples of this; work is split at them.
        margin_km: how far around an area records are needed.
        into: what results are usually called, behind the collection's name.
    """

    @property
    def digest(self) -> str:
        """See above."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """See above."""
        ...

    @property
    def history_us(self) -> int:
        """See above."""
        ...

    @property
    def step_us(self) -> int:
        """See above."""
        ...

    @property
    def margin_km(self) -> float:
        """See above."""
        ...

    @property
    def into(self) -> str:
        """See above."""
        ...

    def result_schema(self) -> pa.Schema:
        """Columns of results: sensor, time, lon, lat, then values."""
        ...

    def infer(self, records: pa.Table, *, start_us: int, stop_us: int) -> pa.Table:
        """Results for [start_us, stop_us) as columns of records: sensor, time, lon, lat, values.

        The same records give the same results, in whatever order and parts they come, as long as
        a part has its history and margin.

        Raises:
            DataUnsuited: the records do not hold what is needed.
        """
        ...


_TASKS: Mapping[str, tuple[int, Callable[[SavedModel, str], Task]]] = {
    nowcast.NAME: (nowcast_features.VERSION, nowcast.Nowcast.of),
    anomaly.NAME: (anomaly.VERSION, anomaly.Anomaly.of),
    digits.NAME: (digits.VERSION, digits.Digits.of),
}


def task_of(saved: SavedModel, digest: str) -> Task:
    """The task that a saved model is for.

    Raises:
        ModelUnsuited: it is unknown here, or the model is of another version or form.
        Missing: its framework is not installed.
    """
    if saved.task not in _TASKS:
        raise ModelUnsuited(f"task {saved.task!r} is unknown; known are {', '.join(_TASKS)}")
    version, make = _TASKS[saved.task]
    if saved.task_version != version:
        raise ModelUnsuited(
            f"this {saved.task} has version {saved.task_version}, not {version}; train it anew, "
            "or use the version of zring that wrote it"
        )
    return make(saved, digest)


def load_task(path: Path) -> Task:
    """The task in a file; raises as `read_model` and `task_of`."""
    saved, digest = read_model(path)
    try:
        return task_of(saved, digest)
    except ModelUnsuited as error:
        raise ModelUnsuited(f"{path}: {error}") from None
