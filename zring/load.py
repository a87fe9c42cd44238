"""How many records lie where: what plans are weighed with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from zring.morton import Int64s
from zring.ring import Ring
from zring.span import Spans


@dataclass(frozen=True, slots=True)
class Load:
    """Records by grain.

    Attributes:
        grains: int64[n], different indices of grains along the curve, rising.
        records: int64[n], each above 0.
        record_bytes: what one record takes on the wire, for estimates.
    """

    grains: Int64s = field(compare=False)
    records: Int64s = field(compare=False)
    record_bytes: float = 40.0

    @classmethod
    def of(cls, counts: Mapping[int, int], *, record_bytes: float = 40.0) -> Self:
        """Build from grain index → records."""
        grains = np.array(sorted(grain for grain, count in counts.items() if count > 0), np.int64)
        records = np.array([counts[grain] for grain in grains.tolist()], np.int64)
        return cls(grains, records, record_bytes)

    @classmethod
    def of_codes(cls, codes: Int64s, *, grain_bits: int, record_bytes: float = 40.0) -> Self:
        """Count records by their codes int64[n], in any order."""
        grains, records = np.unique(codes >> grain_bits, return_counts=True)
        return cls(grains, records.astype(np.int64), record_bytes)

    def total(self) -> int:
        """All records."""
        return int(self.records.sum())

    def within(self, spans: Spans, *, grain_bits: int) -> int:
        """Records in spans that end on grains."""
        if not spans:
            return 0
        ends = np.asarray(spans, np.int64) >> grain_bits
        before = np.concatenate(([0], np.cumsum(self.records)))
        at = np.searchsorted(self.grains, ends)
        return int((before[at[:, 1]] - before[at[:, 0]]).sum())

    def by_owner(self, ring: Ring) -> dict[str, int]:
        """Records of each owner, sorted by node; owners without records have 0."""
        owners = ring.owners()
        number = {owner: index for index, owner in enumerate(owners)}
        starts = np.array([span.start >> ring.grain_bits for span in ring.spans], np.int64)
        owner = np.array([number[span.owner] for span in ring.spans], np.int64)
        of_grain = owner[np.searchsorted(starts, self.grains, side="right") - 1]
        sums = np.zeros(len(owners), np.int64)
        np.add.at(sums, of_grain, self.records)
        return dict(zip(owners, sums.tolist(), strict=True))

    def imbalance(self, ring: Ring) -> float:
        """Records of the fullest owner over the mean of all owners; 1 is even (or empty)."""
        counts = list(self.by_owner(ring).values())
        return max(counts) * len(counts) / sum(counts) if sum(counts) else 1.0


NO_LOAD = Load.of({})
