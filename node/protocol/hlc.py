"""Versions of corrections: a hybrid logical clock in microseconds.

A correction must win over everything its sender has seen, also when clocks differ; and a clock
that runs far ahead must not hand out versions that nobody else can pass for months.
"""

from collections.abc import Iterable

from node.errors import Unavailable

AHEAD_US_MAX = 5 * 60 * 1_000_000
"""A clock further ahead of its peers' than this gives no versions (PROTOCOL 1.2)."""


def next_version(*, now_us: int, last: int, peers_us: Iterable[int]) -> int:
    """The version of the next correction: above `last` and, where clocks agree, above all others.

    Args:
        now_us: this node's clock.
        last: the greatest version that this node gave or saw.
        peers_us: what the clocks of the peers in contact say now.
    Raises:
        Unavailable: the version would be more than five minutes ahead of every peer's clock.
    """
    version = max(now_us, last) + 1
    ahead_us = version - max(peers_us, default=version)
    if ahead_us > AHEAD_US_MAX:
        raise Unavailable(
            f"a correction's version would be {ahead_us / 1e6:.0f} s ahead of the other nodes' "
            f"clocks, more than {AHEAD_US_MAX // 1_000_000} s; set this node's clock (zring doctor)"
        )
    return version
