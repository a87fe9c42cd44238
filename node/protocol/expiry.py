"""When a collection's first kept day may rise (PROTOCOL 8).

The day is one number per collection in the ring's settings; it only rises, and whatever is older
is refused, hidden and dropped everywhere. A clock that is wrong could therefore destroy data. So
the day follows the middle of all clocks, and nobody raises it while most members are not in
contact and agreed, or while any clock that can be seen has jumped lately. Records never move it:
a sensor may say 1970 or 2099.
"""

from collections.abc import Mapping
from statistics import median_low

from node.protocol.rules import ALL_RULES, Rules
from node.query import TIME_MIN
from node.storage.bucket_digests import DAY_US
from zring.settings import Settings

AGREEMENT_US = 300_000_000
"""Clocks that differ by no more than five minutes agree."""
JUMP_US = 60_000_000
"""A clock that moves by more than this against this node's steady clock has jumped."""
CALM_MS = 3_600_000
"""After a jump nothing is raised for an hour: somebody may be setting clocks."""


def kept_from_us(settings: Settings, collection: str) -> int:
    """The first moment (microseconds) whose records are kept; `TIME_MIN` where all are."""
    day = settings.expiry_days.get(collection)
    return TIME_MIN if day is None else max(TIME_MIN, day * DAY_US)


class Expiry:
    """Watches clocks and says which days may rise.

    Args:
        now_us, now_ms: this node's wall clock and steady clock at one moment.
    """

    def __init__(self, *, now_us: int, now_ms: int, rules: Rules = ALL_RULES) -> None:
        self._rules = rules
        self._own_us = now_us - now_ms * 1_000
        self._offsets_us: dict[str, int] = {}
        self._jumped_ms: int | None = None

    def due(
        self,
        settings: Settings,
        *,
        members: int,
        offsets_us: Mapping[str, int],
        now_us: int,
        now_ms: int,
    ) -> dict[str, int]:
        """Collection → first kept day (since the epoch), where it should rise now.

        Args:
            members: how many nodes the ring names, this one included where it is one.
            offsets_us: member in contact → its wall clock minus this node's, at the least: a
                day may rise a little late, never early.
        """
        self._look_for_jumps(offsets_us, now_us=now_us, now_ms=now_ms)
        clocks = [0, *offsets_us.values()]
        middle = median_low(clocks)
        agreed = sum(abs(clock - middle) <= AGREEMENT_US for clock in clocks)
        calm = self._jumped_ms is None or now_ms - self._jumped_ms >= CALM_MS
        if self._rules.clocks_agree and not (agreed * 2 > members and calm):
            return {}
        today = (now_us + (middle if self._rules.clocks_agree else 0)) // DAY_US
        wanted = {name: today - days for name, days in sorted(settings.keep_days.items())}
        return {
            name: day
            for name, day in wanted.items()
            if day > settings.expiry_days.get(name, day - 1)
        }

    def _look_for_jumps(self, offsets_us: Mapping[str, int], *, now_us: int, now_ms: int) -> None:
        own_us = now_us - now_ms * 1_000
        moved_us = own_us - self._own_us
        # When this node's own clock jumps, all offsets do: each is looked at without that.
        jumped = abs(moved_us) > JUMP_US or any(
            abs(offset + moved_us - self._offsets_us[node]) > JUMP_US
            for node, offset in offsets_us.items()
            if node in self._offsets_us
        )
        if jumped:
            self._jumped_ms = now_ms
        self._own_us = own_us
        self._offsets_us = {**self._offsets_us, **offsets_us}
