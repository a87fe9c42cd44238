"""What is known of a record beside what was measured: values whose names begin with "@".

Metadata say how a record came: when it was taken in, from which source, stream and place in it.
They lie beside the record in blocks and log and travel with its copies, but are outside identity,
version, content and digest (PROTOCOL 1.5): two nodes that know different things of one record
are equal, and the same record with other metadata changes nothing; each node keeps what it
stored first. A correction is another version and brings its own. Answers leave them out unless
somebody asks for them.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from node.errors import BadRecord

METADATA_PREFIX = "@"
METADATA_TYPES: Mapping[str, str] = {
    "@ingested": "number",
    "@sequence": "number",
    "@source": "text",
    "@stream": "text",
}
"""What may be sent: when a record was taken in (int64, microseconds since the epoch), its place
in the stream (int64), the name of the source, and the stream (a topic with its number, a file)."""
METADATA_NAMES = tuple(METADATA_TYPES)

Column = TypeVar("Column")


def is_metadata(name: str) -> bool:
    """Whether a value of this name is metadata."""
    return name.startswith(METADATA_PREFIX)


def chosen_values(
    values: Mapping[str, Column],
    columns: Sequence[str] | None,
    metadata: Sequence[str] | None,
) -> Mapping[str, Column]:
    """The values that are wanted, as far as they exist.

    Args:
        columns: names, in this order, metadata among them or not; None is all that was measured.
        metadata: names that come along where `columns` is None; None is all of them.
    """
    if columns is not None:
        return {name: values[name] for name in columns if name in values}
    if metadata is None:
        return values
    return {
        name: column for name, column in values.items() if not is_metadata(name) or name in metadata
    }


def check_metadata_name(name: str) -> None:
    """Refuse metadata that nobody knows how to read.

    Raises:
        BadRecord: names those that there are.
    """
    if name not in METADATA_TYPES:
        raise BadRecord(
            f"value name {name!r} begins with {METADATA_PREFIX!r}, which is kept for "
            f"{', '.join(METADATA_NAMES)}; rename it, for example {name.lstrip('@') or 'value'}",
            field=name,
        )
