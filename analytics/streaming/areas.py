"""Areas of a stream: the cells of one level, as columns of a frame."""

from typing import TYPE_CHECKING

from zring.domain import Domain
from zring.morton import CODE_BITS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

LEVEL_MAX = 16


def with_area(frame: "DataFrame", level: int) -> "DataFrame":
    """The frame with the column `cell`: index of the cell of this level on the curve."""
    from pyspark.sql import functions as sql

    return frame.withColumn("cell", sql.shiftright("code", CODE_BITS - 2 * level))


def centre_columns(domain: Domain, level: int) -> "tuple[Column, Column]":
    """Longitude and latitude (degrees) of the centre of `cell`, computed by Spark.

    The bits of a cell's index take turns: longitude has the more significant one of each pair.
    """
    from pyspark.sql import functions as sql

    west, south, east, north = domain.degrees()
    cells = float(1 << level)
    x, y = sql.lit(0), sql.lit(0)
    for bit in range(level):
        pair = sql.shiftright("cell", 2 * bit)
        y = y + pair.bitwiseAND(sql.lit(1)) * (1 << bit)
        x = x + sql.shiftright(pair, 1).bitwiseAND(sql.lit(1)) * (1 << bit)
    lon = sql.lit(west) + (x + 0.5) * ((east - west) / cells)
    lat = sql.lit(south) + (y + 0.5) * ((north - south) / cells)
    return lon, lat
