"""What becomes of a batch of messages: records in columns, and refusals by message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from node.records import Rows
from zring.morton import Int64s


@dataclass(frozen=True, slots=True)
class Refusal:
    """One record, or a whole message, that is not stored.

    Attributes:
        message: index in the batch.
        record: index within the message; None when it is about the whole message.
        reason: the short stable word that is counted.
        detail: what is wrong and the way out.
    """

    message: int
    record: int | None
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class RecordPart:
    """n checked records for one collection.

    Attributes:
        topic: appended to the collection's name where the messages say what they are about
            (`<collection>.<topic>`); else empty.
        rows: the records.
        message: int64[n], index of the message that each came from, rising.
    """

    topic: str
    rows: Rows
    message: Int64s


@dataclass(frozen=True, slots=True)
class DecodedMessages:
    """The outcome of one batch.

    Attributes:
        parts: the records, by collection.
        refusals: by rising message.
        records: how many records there were, good and bad; a message that cannot be read is one.
        left_out: single values that were dropped by rule, by reason.
    """

    parts: Sequence[RecordPart]
    refusals: Sequence[Refusal]
    records: int
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def good(self) -> int:
        """Records that can be stored."""
        return sum(len(part.rows) for part in self.parts)
