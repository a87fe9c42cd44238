"""One record per value: sensor `<station>/<element>`, one column `value`.

The shape that gateways send that know one element per message. Identities differ in the sensor,
so that the values of one station and time do not replace each other.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.generate.stations import VALUE_NAMES


def single_values(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with every value that is not null as a record of its own, in the same order."""
    measured = np.column_stack(
        [pc.is_valid(batch.column(name)).to_numpy(zero_copy_only=False) for name in VALUE_NAMES]
    )
    values = np.column_stack(
        [
            batch.column(name).fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64)
            for name in VALUE_NAMES
        ]
    )
    at = np.flatnonzero(measured)
    row, element = at // len(VALUE_NAMES), at % len(VALUE_NAMES)
    stations = batch.column("sensor").dictionary_encode()
    names = [
        f"{station}/{name}" for station in stations.dictionary.to_pylist() for name in VALUE_NAMES
    ]
    code = stations.indices.to_numpy(zero_copy_only=False)[row].astype(np.int64)
    taken = pa.array(row)
    sensor = pa.array(code * len(VALUE_NAMES) + element)
    return pa.RecordBatch.from_pydict(
        {
            "sensor": pa.array(names, pa.string()).take(sensor),
            "time": batch.column("time").take(taken),
            "lon": batch.column("lon").take(taken),
            "lat": batch.column("lat").take(taken),
            "value": pa.array(values.ravel()[at]),
        }
    )
