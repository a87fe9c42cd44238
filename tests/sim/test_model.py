"""The rules of membership at scale and over slow lines, without nodes around them."""

import gc
from collections.abc import Iterator
from random import Random

import pytest

from node.config import LAN, WAN, LinkPreset
from node.protocol.membership import Changed, Refused, StoreLost
from node.protocol.word import Word
from tests.sim.model import Model

WORD = Word(
    node="",
    cluster="zring",
    store_id="9f" * 16,
    sequence=123_456,
    records=2_000_000,
    ring_digest=(1 << 63) + 5,
    clock_us=1_700_000_000_000_000,
    filled=tuple((index << 50, (index << 50) + (1 << 49)) for index in range(6)),
)
LOG_PERIODS_MAX = 8
"""Periods until all know a failure, times the logarithm (10) of the number of members: five to
be suspected independently and told, three to be away (`LinkPreset.suspicion_periods`)."""

# What one probe and its answer cost besides their bodies, in bytes, measured on a kept connection
# with `Zring-Session` seals: HTTP request head 244 (28 of it the message's own), answer head 229;
# three TCP/IP packets of 52 (request, answer, acknowledgement); two TLS records of 29. With 5 % of
# all packets lost and sent again.
OVERHEAD_BYTES = int((244 + 229 + 3 * 52 + 2 * 29) * 1.05)
DAY_BYTES_MAX = 20_000_000


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Millions of live objects and no cycles: the collector would look at them for nothing."""
    gc.disable()
    yield
    gc.enable()


class Failure:
    """A member dies in the third period; who knows it when."""

    def __init__(self, count: int) -> None:
        self.known_ms: dict[str, int] = {}
        self.others: list[object] = []
        self.model = Model(LAN, Random(count), bytes_every=101, told=self._note)
        self.model.found([f"m{index}" for index in range(count)], WORD)
        self.model.run(2 * LAN.period_ms)
        self.model.stop("m7")
        while len(self.known_ms) < count - 1 and self.model.now_ms < 100 * LAN.period_ms:
            self.model.run(self.model.now_ms + LAN.period_ms)
        self.bytes_per_period = self.model.bytes_per_node() / (self.model.now_ms / LAN.period_ms)

    def _note(self, now_ms: int, node: str, effect: Changed | StoreLost | Refused) -> None:
        if isinstance(effect, Changed) and effect.node == "m7":
            if effect.state == "away":
                self.known_ms.setdefault(node, now_ms)
        else:
            self.others.append(effect)


def test_a_failure_is_known_to_all_after_a_logarithm_of_periods_at_constant_traffic() -> None:
    traffic = {}
    for digits in (2, 3, 4):
        failure = Failure(10**digits)
        assert len(failure.known_ms) == 10**digits - 1
        periods = max(failure.known_ms.values()) / LAN.period_ms - 2
        assert periods <= LOG_PERIODS_MAX * digits, (digits, periods)
        assert not failure.others, "nobody else was doubted"
        traffic[digits] = failure.bytes_per_period
    assert max(traffic.values()) < 2 * min(traffic.values()), traffic


def idle(link: LinkPreset, count: int, *, minutes: int) -> tuple[Model, list[Changed]]:
    changes: list[Changed] = []

    def told(_now_ms: int, _node: str, effect: object) -> None:
        assert isinstance(effect, Changed), effect
        changes.append(effect)

    model = Model(link, Random(3), delay_ms=1_000, loss=0.01, told=told)
    model.found([f"site-{index:02d}" for index in range(count)], WORD)
    model.run(minutes * 60_000)
    return model, changes


def test_twenty_idle_members_on_slow_lines_take_less_than_20_mb_a_day() -> None:
    model, changes = idle(WAN, 20, minutes=30)
    exchanges = model.messages / 2 / len(model.nodes)
    sent_and_received = 2 * (model.bytes_per_node() + exchanges * OVERHEAD_BYTES)
    a_day = sent_and_received * 48
    assert a_day < DAY_BYTES_MAX, a_day
    assert "away" not in {change.state for change in changes}
    words_ms = [
        model.now_ms - member.as_of_ms
        for node in model.nodes.values()
        for member in node.membership.roster.values()
    ]
    assert max(words_ms) < 30 * WAN.period_ms, "answers speak for a moment minutes ago at most"
