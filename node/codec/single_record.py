"""One record of the usual shape, without Arrow's builders.

A sensor that posts its records one by one is the case where starting kernels costs more than
what they do, and where each of them lets go of the interpreter's lock, for which it then waits
behind the thread that commits. So a single record with nothing unusual about it is checked in
Python's own numbers. Everything else, and everything that is to be refused, is left to
`node.codec.json_records`: what this gives is exactly what that would have given.
"""

from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa

from node.codec.decoded import Decoded
from node.codec.times import plain_text_to_time
from node.errors import BadRecord
from node.metadata import is_metadata
from node.records import SENSOR_NAME_BYTES_MAX, VALUE_NAMES_MAX, Rows, check_value_name
from zring.domain import Domain, degrees_to_e7

KEYS = frozenset(("sensor", "time", "lon", "lat", "values"))
_TYPES = {float: (pa.float64(), np.float64), int: (pa.int64(), np.int64)}
_INT64_STOP = 1 << 63
_DEGREES_MAX = 1_000
"""More than any coordinate; larger numbers need not fit what is computed from them."""


def record_to_rows(record: Any, *, domain: Domain) -> Decoded | None:
    """A record with a time in whole seconds of UTC, without version, whose values are numbers.

    Args:
        record: as a JSON parser gives it: texts are valid Unicode.
    Returns:
        None for every other record.
    Cost: some 20 µs.
    """
    if type(record) is not dict or record.keys() != KEYS:
        return None
    sensor, time, cells = record["sensor"], record["time"], record["values"]
    if type(sensor) is not str or type(time) is not str or type(cells) is not dict:
        return None
    name = sensor.encode()
    time_us = plain_text_to_time(time)
    position = _position(record["lon"], record["lat"], domain)
    values = _values(cells)
    if (
        not 1 <= len(name) <= SENSOR_NAME_BYTES_MAX
        or time_us is None
        or position is None
        or values is None
    ):
        return None
    rows = Rows.build(
        time=np.array((time_us,), np.int64),
        lon=np.array((position[0],), np.int32),
        lat=np.array((position[1],), np.int32),
        code=np.array((domain.position_to_code(lon=position[0], lat=position[1]),), np.int64),
        sensor=pa.StringArray.from_buffers(
            1, pa.py_buffer(np.array((0, len(name)), np.int32)), pa.py_buffer(name)
        ),
        values=values,
    )
    return Decoded(rows=rows, rejections=(), received=1, indices=np.zeros(1, np.int64))


def _position(lon: Any, lat: Any, domain: Domain) -> tuple[int, int] | None:
    if type(lon) not in _TYPES or type(lat) not in _TYPES:
        return None
    if not (-_DEGREES_MAX <= lon <= _DEGREES_MAX and -_DEGREES_MAX <= lat <= _DEGREES_MAX):
        return None
    found = degrees_to_e7(float(lon)), degrees_to_e7(float(lat))
    inside = domain.west <= found[0] <= domain.east and domain.south <= found[1] <= domain.north
    return found if inside else None


def _values(cells: dict[str, Any]) -> dict[str, pa.Array] | None:
    if not 1 <= len(cells) <= VALUE_NAMES_MAX:
        return None
    values = {}
    for name, cell in cells.items():
        # A suffix behind `;` says how a value is written; metadata are no value by themselves.
        if ";" in name or is_metadata(name) or not _is_number(cell):
            return None
        try:
            check_value_name(name)
        except BadRecord:
            return None
        kind, dtype = _TYPES[type(cell)]
        buffer = pa.py_buffer(np.array((cell,), dtype))
        values[name] = pa.Array.from_buffers(kind, 1, [None, buffer])
    return values


def _is_number(cell: Any) -> bool:
    """Whether it is a number that its type's eight bytes hold."""
    if type(cell) is float:
        return isfinite(cell)
    return type(cell) is int and -_INT64_STOP <= cell < _INT64_STOP
