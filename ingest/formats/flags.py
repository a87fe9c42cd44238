"""Which value of a pair (value, quality flag) is an observation, for both of JMA's systems.

The rule: a value is stored when it is a number and its flag says so; `[0, 6]` and `[0, null]`
carry a zero that nobody observed. Stored flags are AQC's in both systems (1 doubtful, 4 period
not complete; nothing beside a normal value), so that one collection has one meaning.
`data/amedas/flags.csv` is the table.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingest.amedas import elements, flag_rules
from node.records import Bools
from zring.morton import Int64s

NO_FLAG = -1
"""Stands for null or a blank cell in an array of flags."""
INCOMPLETE = 4
FLAG_SUFFIX = "_flag"


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome for n pairs.

    Attributes:
        keep: bool[n], values to store.
        flag: int64[n], the flag to store beside the value, 0 for none.
        left_out: reason → count of the others.
    """

    keep: Bools
    flag: Int64s
    left_out: Mapping[str, int]


def judge(system: str, is_value: Bools, flags: Int64s, *, keep_incomplete: bool = True) -> Judged:
    """Apply the rule.

    Args:
        system: `aqc` (bosai JSON) or `quality` (品質情報 of the CSV downloads).
        is_value: bool[n], true where a usable value stands.
        flags: int64[n], NO_FLAG where there is none.
    """
    stored = np.zeros(len(flags), np.bool_)
    flag = np.zeros(len(flags), np.int64)
    known = np.zeros(len(flags), np.bool_)
    for code, (is_stored, kept) in flag_rules(system).items():
        same = flags == (NO_FLAG if code is None else code)
        known |= same
        stored |= same & is_stored
        flag[same] = kept or 0
    incomplete = stored & (flag == INCOMPLETE)
    if not keep_incomplete:
        stored &= ~incomplete
    left_out = Counter(
        {
            "missing": int((~is_value & known).sum()),
            "unknown-flag": int((~known).sum()),
            "flag-without-observation": int((is_value & known & ~stored & ~incomplete).sum()),
            "incomplete-period": int((is_value & ~stored & incomplete).sum()),
        }
    )
    return Judged(is_value & stored, flag, +left_out)


def element_arrays(
    name: str, numbers: npt.NDArray[np.float64], judged: Judged
) -> dict[str, pa.Array]:
    """The value column and, where any value has one, its flag column; empty ones are left out."""
    if not judged.keep.any():
        return {}
    element = elements().get(name)
    whole = name.endswith("Direction") or (
        element is not None and element.step is not None and element.step >= 1
    )
    if whole and (numbers[judged.keep] % 1 == 0).all():
        integers = np.where(judged.keep, numbers, 0).astype(np.int64)
        columns = {name: pa.array(integers, mask=~judged.keep)}
    else:
        columns = {name: pa.array(numbers, mask=~judged.keep)}
    flagged = judged.keep & (judged.flag != 0)
    if flagged.any():
        columns[name + FLAG_SUFFIX] = pa.array(judged.flag, mask=~flagged)
    return columns
