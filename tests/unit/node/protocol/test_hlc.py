"""Versions of corrections."""

import pytest

from node.errors import Unavailable
from node.protocol.hlc import AHEAD_US_MAX, next_version

NOW = 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("now", "last", "peers", "version"),
    [
        (NOW, 0, [], NOW + 1),
        (NOW, NOW + 5, [], NOW + 6),
        (NOW, 0, [NOW - 1_000], NOW + 1),
        (NOW, 0, [NOW + 10 * AHEAD_US_MAX], NOW + 1),
        (NOW, 0, [NOW - 10 * AHEAD_US_MAX, NOW], NOW + 1),
    ],
)
def test_versions(now: int, last: int, peers: list[int], version: int) -> None:
    assert next_version(now_us=now, last=last, peers_us=peers) == version


def test_versions_rise_while_the_clock_stands() -> None:
    last = 0
    for _ in range(5):
        version = next_version(now_us=NOW, last=last, peers_us=[NOW])
        assert version > last
        last = version


@pytest.mark.parametrize("last", [0, NOW + 2 * AHEAD_US_MAX])
def test_a_clock_far_ahead_gives_none(last: int) -> None:
    now = NOW + 2 * AHEAD_US_MAX if not last else NOW
    with pytest.raises(Unavailable, match="ahead"):
        next_version(now_us=now, last=last, peers_us=[NOW, NOW - 5])
