"""Turn the land outline of Natural Earth into the file that the map page draws.

    npm pack world-atlas@2.0.2 && tar -xzf world-atlas-2.0.2.tgz
    python data/coastline/convert.py package/land-10m.json node/console/static/land.bin

Layout of the result (read by `node/console/static/coastline.js`):

    1. 4 bytes  the letters ZLND
    2. 1 byte   version, 1
    3. 2 bytes  units per degree, big-endian
    4. rings until the end of the file, each: varint number of points, then for every point the
       zigzag varints of the steps in longitude and latitude from the point before it (the first
       from 0, 0), in units. Rings are closed; holes are rings too (even-odd rule).
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely

UNITS_PER_DEGREE = 500
"""A unit is about 220 m: less than the source's own precision."""
TOLERANCE_DEGREES = 0.005
FINE_BOX = shapely.box(122.0, 20.0, 154.0, 46.0)
"""Here, where the demo is, the outline stays as the source has it."""


def read_polygons(path: Path) -> Iterator[shapely.Polygon]:
    """The polygons of a TopoJSON file with the object `land`."""
    topology = json.loads(path.read_text())
    scale, translate = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = [
        np.cumsum(np.array(arc, dtype=np.int64), axis=0) * scale + translate
        for arc in topology["arcs"]
    ]
    for geometry in topology["objects"]["land"]["geometries"]:
        several = geometry["type"] == "MultiPolygon"
        for rings in geometry["arcs"] if several else [geometry["arcs"]]:
            shell, *holes = [_join(arcs, indices) for indices in rings]
            yield shapely.Polygon(shell, holes)


def _join(arcs: list[Any], indices: list[int]) -> Any:
    """One ring; a negative index is an arc backwards, and neighbours share their end points."""
    parts = [arcs[index] if index >= 0 else arcs[~index][::-1] for index in indices]
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def encode_ring(coordinates: Any) -> bytes:
    """Number of points and their steps; points that fall together count once."""
    units = np.rint(np.asarray(coordinates) * UNITS_PER_DEGREE).astype(np.int64)
    changed = np.any(np.diff(units, axis=0) != 0, axis=1)
    units = units[np.concatenate(([True], changed))]
    steps = np.diff(units, axis=0, prepend=[[0, 0]])
    out = bytearray(_varint(len(units)))
    for step in steps.ravel().tolist():
        out += _varint(step << 1 if step >= 0 else (-step << 1) - 1)
    return bytes(out)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def main(source: Path, target: Path) -> None:
    """Convert one file."""
    out = bytearray(b"ZLND\x01" + UNITS_PER_DEGREE.to_bytes(2, "big"))
    for polygon in read_polygons(source):
        tolerance = 0.0 if polygon.within(FINE_BOX) else TOLERANCE_DEGREES
        simple = shapely.simplify(polygon, tolerance)
        for ring in [simple.exterior, *simple.interiors]:
            if len(ring.coords) >= 4:
                out += encode_ring(ring.coords)
    target.write_bytes(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
