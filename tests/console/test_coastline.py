"""The committed coastline: it decodes, and it is where Japan is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

LAND = Path(__file__).parents[2] / "node" / "console" / "static" / "land.bin"


def decode_rings(data: bytes) -> Iterator[npt.NDArray[np.float64]]:
    """The rings of a land file in degrees, float64[n, 2] (layout: data/coastline/convert.py)."""
    assert data[:5] == b"ZLND\x01"
    units = int.from_bytes(data[5:7], "big")
    at = 7

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        raw = np.array([varint() for _ in range(2 * varint())], dtype=np.int64).reshape(-1, 2)
        yield np.cumsum((raw >> 1) ^ -(raw & 1), axis=0) / units


def test_land_is_where_it_is() -> None:
    rings = list(decode_rings(LAND.read_bytes()))
    assert all((ring[0] == ring[-1]).all() for ring in rings)
    everything = np.concatenate(rings)
    assert everything[:, 0].min() >= -180
    assert everything[:, 0].max() <= 180
    assert everything[:, 1].min() >= -90

    def on_land(lon: float, lat: float) -> bool:
        point = shapely.Point(lon, lat)
        inside = sum(shapely.Polygon(ring).contains(point) for ring in rings if len(ring) > 3)
        return inside % 2 == 1

    assert on_land(135.75, 33.9)  # the mountains of Kii
    assert on_land(10.0, 50.0)
    assert not on_land(136.4, 33.4)  # the sea off Owase
    assert not on_land(-40.0, 30.0)
