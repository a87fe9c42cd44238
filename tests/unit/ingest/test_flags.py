"""The rule of FORMATS: a number with a flag that says it was observed."""

import numpy as np
import pytest

from ingest.formats.flags import NO_FLAG, judge

NAN = float("nan")


def _judge(system: str, value: float, flag: int | None, *, keep_incomplete: bool = True):
    return judge(
        system,
        np.isfinite(np.array([value])),
        np.array([NO_FLAG if flag is None else flag]),
        keep_incomplete=keep_incomplete,
    )


@pytest.mark.parametrize(
    ("system", "value", "flag", "stored", "kept", "reason"),
    [
        ("aqc", 1.0, 0, True, 0, None),
        ("aqc", 1.0, 1, True, 1, None),
        ("aqc", 1.0, 4, True, 4, None),
        ("aqc", 0.0, 6, False, 0, "flag-without-observation"),
        ("aqc", 0.0, None, False, 0, "flag-without-observation"),
        ("aqc", 3.0, 5, False, 0, "flag-without-observation"),
        ("aqc", 3.0, 2, False, 0, "flag-without-observation"),
        ("aqc", NAN, 5, False, 0, "missing"),
        ("aqc", NAN, 0, False, 0, "missing"),
        ("aqc", 1.0, 9, False, 0, "unknown-flag"),
        ("quality", 1.0, 8, True, 0, None),
        ("quality", 1.0, 5, True, 1, None),
        ("quality", 1.0, 4, True, 4, None),
        ("quality", 1.0, 2, False, 0, "flag-without-observation"),
        ("quality", NAN, 1, False, 0, "missing"),
        ("quality", NAN, 0, False, 0, "missing"),
        ("quality", NAN, None, False, 0, "missing"),
        ("quality", 5.0, 3, False, 0, "unknown-flag"),
    ],
)
def test_which_pairs_are_observations(system, value, flag, stored, kept, reason):
    judged = _judge(system, value, flag)
    assert bool(judged.keep[0]) is stored
    assert judged.left_out == ({} if reason is None else {reason: 1})
    if stored:
        assert judged.flag[0] == kept


@pytest.mark.parametrize("system", ["aqc", "quality"])
def test_incomplete_periods_can_be_dropped(system):
    judged = _judge(system, 1.0, 4, keep_incomplete=False)
    assert not judged.keep[0]
    assert judged.left_out == {"incomplete-period": 1}
