"""Metrics of each area and element in windows of event time; sessions of each sensor."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from analytics.errors import BadOption
from analytics.streaming.areas import LEVEL_MAX, centre_columns, with_area
from zring.domain import Domain

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

WATERMARK_S = 10
"""How long a window waits for late records, behind the greatest event time seen."""
WINDOW_S_MAX = 24 * 3_600
"""State of open windows is memory; a day of them is a question to the store."""


@dataclass(frozen=True, slots=True)
class Window:
    """One kind of window.

    Attributes:
        length_s: of the window; of a session the pause that ends it.
        slide_s: from the start of one to the next; equal to the length where they do not overlap.
        kind: by time alone, or a session of one sensor.
    """

    length_s: int
    slide_s: int = 0
    kind: Literal["time", "session"] = "time"

    def __post_init__(self) -> None:
        if not 0 < self.length_s <= WINDOW_S_MAX:
            raise BadOption(f"window of {self.length_s} s is not in 1-{WINDOW_S_MAX} s")
        if not 0 <= self.slide_s <= self.length_s:
            raise BadOption(
                f"slide of {self.slide_s} s is more than the window of {self.length_s} s; records "
                "between two windows would be in none"
            )

    @property
    def name(self) -> str:
        """As it stands in the names of results: `60s`, `120s-by-60s`, `session-300s`."""
        if self.kind == "session":
            return f"session-{self.length_s}s"
        return f"{self.length_s}s" + (f"-by-{self.slide_s}s" if self.slide_s else "")


def window_metrics(
    elements: "DataFrame", window: Window, *, domain: Domain, level: int, watermark_s: int
) -> "DataFrame":
    """Count, mean, least, greatest and number of sensors, of each area, element and window.

    Args:
        elements: columns of `input.read_elements`.
        level: of the cells that are the areas.
    Returns:
        result records: `sensor` is `cell-LEVEL-INDEX/ELEMENT/WINDOW`, `time` the start of the
        window, the position the centre of the cell. Complete windows only.
    """
    from pyspark.sql import functions as sql

    if not 0 <= level <= LEVEL_MAX:
        raise BadOption(f"level={level} is not in 0-{LEVEL_MAX}")
    slide_s = window.slide_s or window.length_s
    grouped = (
        with_area(elements, level)
        .withWatermark("time", f"{watermark_s} seconds")
        .groupBy(
            sql.window("time", f"{window.length_s} seconds", f"{slide_s} seconds").alias("window"),
            "cell",
            "element",
        )
        .agg(
            sql.count("value").alias("count"),
            sql.avg("value").alias("mean"),
            sql.min("value").alias("min"),
            sql.max("value").alias("max"),
            sql.approx_count_distinct("sensor").alias("sensors"),
        )
    )
    lon, lat = centre_columns(domain, level)
    name = sql.concat(
        sql.lit(f"cell-{level}-"), "cell", sql.lit("/"), "element", sql.lit(f"/{window.name}")
    )
    return grouped.select(
        name.alias("sensor"),
        sql.col("window.start").alias("time"),
        lon.alias("lon"),
        lat.alias("lat"),
        "element",
        sql.lit(window.length_s).alias("window_s"),
        "count",
        "mean",
        "min",
        "max",
        "sensors",
    )


def session_metrics(elements: "DataFrame", window: Window, *, watermark_s: int) -> "DataFrame":
    """Sessions: how long a sensor reported without a pause of `window.length_s`.

    Returns:
        result records: `sensor` is `SENSOR/ELEMENT/session-…`, `time` the first record of the
        session, the position where it began.
    """
    from pyspark.sql import functions as sql

    first = sql.min_by(sql.struct("lon", "lat"), "time")
    grouped = (
        elements.withWatermark("time", f"{watermark_s} seconds")
        .groupBy(
            sql.session_window("time", f"{window.length_s} seconds").alias("window"),
            "sensor",
            "element",
        )
        .agg(
            first.alias("first"),
            sql.count("value").alias("count"),
            sql.avg("value").alias("mean"),
            sql.min("value").alias("min"),
            sql.max("value").alias("max"),
        )
    )
    name = sql.concat("sensor", sql.lit("/"), "element", sql.lit(f"/{window.name}"))
    seconds = sql.col("window.end").cast("double") - sql.col("window.start").cast("double")
    return grouped.select(
        name.alias("sensor"),
        sql.col("window.start").alias("time"),
        sql.col("first.lon").alias("lon"),
        sql.col("first.lat").alias("lat"),
        sql.col("sensor").alias("station"),
        "element",
        (seconds - window.length_s).alias("duration_s"),
        "count",
        "mean",
        "min",
        "max",
    )
