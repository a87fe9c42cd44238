"""Values that do not fit what their sensor reported before: running mean and spread, in state.

Each sensor and element has a mean and a variance that forget exponentially, so that a season or
a day's warming moves them. A value far outside is reported, and moves them no more than a value
at the limit would: a stuck sensor or a spike must not teach that it is usual.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analytics.errors import BadOption

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

MEMORY = 144
"""Values that count: a day of ten-minute records. Older ones fade."""
LEARNING = 12
"""Values before the first verdict."""
SPREAD_MIN = 0.05
"""In units of the element: a sensor that reports in tenths is not suspicious for the next one."""
SILENCE_MS = 24 * 3_600 * 1_000
"""State of a sensor that reported nothing for so long (event time) is dropped."""
STATE = "count long, mean double, variance double"
RESULT = (
    "sensor string, time timestamp, lon double, lat double, station string, element string, "
    "value double, mean double, deviation double, score double"
)


@dataclass(slots=True)
class Running:
    """What is remembered of one sensor and element.

    Attributes:
        count: values seen, at most MEMORY.
        mean, variance: of them, older ones fading.
    """

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def score(self, value: float) -> float:
        """How many deviations off; 0 while learning."""
        if self.count < LEARNING:
            return 0.0
        return (value - self.mean) / self.deviation

    @property
    def deviation(self) -> float:
        """The spread that a value is measured with, in units of the element."""
        return max(self.variance**0.5, SPREAD_MIN)

    def take(self, value: float, *, limit: float) -> None:
        """Learn from a value; of one outside the limit no more than from one at it."""
        if self.count >= LEARNING:
            most = limit * self.deviation
            value = min(max(value, self.mean - most), self.mean + most)
        self.count = min(self.count + 1, MEMORY)
        share = 1.0 / self.count
        step = value - self.mean
        self.mean += share * step
        self.variance = (1.0 - share) * (self.variance + share * step * step)


def anomalies(elements: "DataFrame", *, limit: float, watermark_s: int) -> "DataFrame":
    """Records of values that are more than `limit` deviations off.

    Args:
        elements: columns of `input.read_elements`.
    Returns:
        result records: `sensor` is `SENSOR/ELEMENT`, time and position those of the value.
    """
    if limit <= 0:
        raise BadOption(f"limit={limit} is not above 0")

    def judge(key: Any, parts: "Iterator[pd.DataFrame]", state: Any) -> "Iterator[pd.DataFrame]":
        return _judge(key, parts, state, limit)

    return (
        elements.withWatermark("time", f"{watermark_s} seconds")
        .groupBy("sensor", "element")
        .applyInPandasWithState(judge, RESULT, STATE, "append", "EventTimeTimeout")
    )


def _judge(
    key: Any, parts: "Iterator[pd.DataFrame]", state: Any, limit: float
) -> "Iterator[pd.DataFrame]":
    import pandas as pd

    if state.hasTimedOut:
        state.remove()
        return
    station, element = key
    running = Running(*state.get) if state.exists else Running()
    # In the order of event time, whatever order they came in; ties by place, so that a batch
    # that is repeated gives the same.
    batch = pd.concat(list(parts)).sort_values(["time", "lon", "lat", "value"], kind="stable")
    found = []
    for row in batch.itertuples(index=False):
        value = float(row.value)
        score = running.score(value)
        if abs(score) > limit:
            found.append(
                (f"{station}/{element}", row.time, row.lon, row.lat, station, element, value,
                 running.mean, running.deviation, score)
            )  # fmt: skip
        running.take(value, limit=limit)
    state.update((running.count, running.mean, running.variance))
    newest_ms = int(batch["time"].max().timestamp() * 1_000)
    state.setTimeoutTimestamp(max(newest_ms, state.getCurrentWatermarkMs()) + SILENCE_MS)
    if found:
        yield pd.DataFrame(found, columns=[part.split()[0] for part in RESULT.split(", ")])
