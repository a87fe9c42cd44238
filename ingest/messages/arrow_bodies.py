"""Arrow IPC streams: each body is one stream, whose columns are mapped like a table's."""

import pyarrow as pa

from ingest.formats import Context
from ingest.messages.json_bodies import too_many
from ingest.messages.payloads import MESSAGE_RECORDS_MAX, Payloads, Table, Unpacked, repeated
from node.codec.arrow_bounds import check_unpacked_size
from node.errors import BadRequest

UNPACKED_BYTES_MAX = 256 << 20
"""What one compressed message may unpack to."""
_ERRORS = (pa.ArrowException, OSError, OverflowError, ValueError, TypeError, BadRequest)


def unpack_arrow(payloads: Payloads, _context: Context) -> Unpacked:
    """Bodies with the same schema are joined."""
    unpacked = Unpacked()
    groups: dict[pa.Schema, list[tuple[int, pa.Table]]] = {}
    for message, body in zip(payloads.at, payloads.bodies, strict=True):
        try:
            check_unpacked_size(body, bytes_max=UNPACKED_BYTES_MAX)
            table = _read(body)
            names = table.schema.names
        except _ERRORS as error:
            detail = f"the body is no readable Arrow IPC stream: {error}"
            unpacked.refuse(message, "bad-arrow", detail[:500])
            continue
        if table.num_rows > MESSAGE_RECORDS_MAX:
            unpacked.refuse(message, "too-many-records", too_many(table.num_rows))
        elif not table.num_rows:
            unpacked.refuse(message, "no-records", "the stream holds no row")
        elif len(set(names)) < len(names):
            unpacked.refuse(message, "bad-arrow", "a column's name appears twice")
        else:
            groups.setdefault(table.schema, []).append((message, table))
    for schema, group in groups.items():
        whole = pa.concat_tables([table for _, table in group])
        columns = {name: whole.column(at).combine_chunks() for at, name in enumerate(schema.names)}
        counts = (table.num_rows for _, table in group)
        unpacked.tables.append(Table(columns, repeated((part[0] for part in group), counts)))
    return unpacked


def _read(body: bytes) -> pa.Table:
    batches, count = [], 0
    with pa.ipc.open_stream(pa.BufferReader(body)) as reader:
        for batch in reader:
            batch.validate(full=True)
            count += batch.num_rows
            batches.append(batch)
            if count > MESSAGE_RECORDS_MAX:
                break
        return pa.Table.from_batches(batches, reader.schema).replace_schema_metadata(None)
