"""What a decoder gives back: the good records in columns, and why each other one was refused."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from node.query import Rejection
from node.records import Bools, Rows, concat_rows
from zring.morton import Int64s

REJECTIONS_MAX = 1_000
"""Rejections that are described one by one; all are counted by reason. Bounds the reply."""
SHOWN_CHARACTERS_MAX = 80
"""Of a value that is quoted in a message."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The outcome of decoding one body or batch.

    Attributes:
        rows: the records that were taken, in the order of the request.
        rejections: at most REJECTIONS_MAX of the others, by rising index.
        received: records in the request, good and bad.
        rejected_by_reason: short stable word → number of records; complete.
        indices: int64[len(rows)], the position of each row in the request.
    """

    rows: Rows
    rejections: tuple[Rejection, ...]
    received: int
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    indices: Int64s = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def rejected(self) -> int:
        """How many records were refused."""
        return sum(self.rejected_by_reason.values())


def concat_decoded(parts: Sequence[Decoded]) -> Decoded:
    """The parts of one request, one after another."""
    if len(parts) == 1:
        return parts[0]
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.rejected_by_reason)
    return Decoded(
        rows=concat_rows([part.rows for part in parts]),
        rejections=tuple(chain.from_iterable(part.rejections for part in parts))[:REJECTIONS_MAX],
        received=sum(part.received for part in parts),
        rejected_by_reason=dict(counts),
        indices=np.concatenate([part.indices for part in parts]),
    )


class Rejecter:
    """Collects the first reason against each of `count` records.

    Attributes:
        bad: bool[count], true for every record that has been refused.
    """

    def __init__(self, count: int, *, index_start: int = 0, indices: Int64s | None = None) -> None:
        self.bad: Bools = np.zeros(count, np.bool_)
        self.indices = (
            np.arange(index_start, index_start + count, dtype=np.int64)
            if indices is None
            else indices
        )
        self.counts: dict[str, int] = {}
        self._rejections: list[Rejection] = []

    def reject(
        self, mask: Bools, reason: str, field: str | None, describe: Callable[[int], str]
    ) -> None:
        """Refuse the records of a mask that nothing was held against so far.

        Args:
            mask: bool[count].
            reason: the short stable word that is counted.
            describe: row → the message; called for as many rows as are described.
        """
        if not mask.any():
            return
        fresh = np.flatnonzero(mask & ~self.bad)
        if not len(fresh):
            return
        self.bad[fresh] = True
        self.counts[reason] = self.counts.get(reason, 0) + len(fresh)
        room = REJECTIONS_MAX - len(self._rejections)
        self._rejections.extend(
            Rejection(int(self.indices[row]), describe(row), field)
            for row in fresh[: max(room, 0)].tolist()
        )

    def reject_all(self, mask: Bools, reason: str, field: str | None, message: str) -> None:
        """As `reject`, with one message for all."""
        self.reject(mask, reason, field, lambda _: message)

    def reject_row(self, row: int, reason: str, field: str | None, message: str) -> None:
        """Refuse one record."""
        if self.bad[row]:
            return
        self.bad[row] = True
        self.counts[reason] = self.counts.get(reason, 0) + 1
        if len(self._rejections) < REJECTIONS_MAX:
            self._rejections.append(Rejection(int(self.indices[row]), message, field))

    def rejections(self) -> tuple[Rejection, ...]:
        """What was described, by rising index."""
        return tuple(sorted(self._rejections, key=lambda rejection: rejection.index))


def without_expired(decoded: Decoded, collection: str, *, kept_from_us: int) -> Decoded:
    """The same without records of before the first kept moment (microseconds): refused as well."""
    old = decoded.rows.time < kept_from_us
    if not old.any():
        return decoded
    rejecter = Rejecter(len(old), indices=decoded.indices)
    times, first = decoded.rows.time, np.datetime64(kept_from_us, "us").astype("datetime64[D]")
    rejecter.reject(
        old,
        "expired",
        "time",
        lambda row: (
            f"time={np.datetime64(int(times[row]), 'us')}Z is before {first}, the first day that "
            f"is kept of {collection!r}; what is older is gone everywhere. Another collection may "
            "keep it"
        ),
    )
    both = sorted((*decoded.rejections, *rejecter.rejections()), key=lambda known: known.index)
    return replace(
        decoded,
        rows=decoded.rows.where(~old),
        rejections=tuple(both[:REJECTIONS_MAX]),
        rejected_by_reason={**decoded.rejected_by_reason, **rejecter.counts},
        indices=decoded.indices[~old],
    )


def shown(value: object) -> str:
    """A value as messages quote it: its repr, cut to a readable length."""
    text = repr(value)
    if len(text) <= SHOWN_CHARACTERS_MAX:
        return text
    return text[: SHOWN_CHARACTERS_MAX - 1] + "…"
