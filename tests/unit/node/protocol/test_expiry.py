"""Expiry days: they follow the middle clock, and no single wrong clock moves them."""

from node.protocol.expiry import AGREEMENT_US, CALM_MS, Expiry
from node.storage.bucket_digests import DAY_US
from zring.settings import Settings

NOON_US = 20_000 * DAY_US + DAY_US // 2
KEEP = Settings(keep_days={"weather": 30})
MINUTE_MS = 60_000


def expiry() -> Expiry:
    return Expiry(now_us=NOON_US, now_ms=0)


def due(
    rules: Expiry,
    offsets_us: dict[str, int],
    *,
    members: int = 4,
    settings: Settings = KEEP,
    now_ms: int = MINUTE_MS,
    jump_us: int = 0,
) -> dict[str, int]:
    return rules.due(
        settings,
        members=members,
        offsets_us=offsets_us,
        now_us=NOON_US + now_ms * 1_000 + jump_us,
        now_ms=now_ms,
    )


def test_the_day_is_today_less_the_days_to_keep_and_only_rises() -> None:
    assert due(expiry(), {"n2": 5, "n3": -7}) == {"weather": 19_970}
    later = Settings(keep_days={"weather": 30}, expiry_days={"weather": 19_970})
    assert due(expiry(), {"n2": 5, "n3": -7}, settings=later) == {}
    further = Settings(keep_days={"weather": 30}, expiry_days={"weather": 19_999})
    assert due(expiry(), {"n2": 5, "n3": -7}, settings=further) == {}
    assert due(expiry(), {"n2": 5, "n3": -7}, settings=Settings()) == {}


def test_a_minority_raises_nothing() -> None:
    assert due(expiry(), {"n2": 0}) == {}
    assert due(expiry(), {"n2": 0}, members=3) == {"weather": 19_970}
    assert due(expiry(), {}, members=1) == {"weather": 19_970}


def test_clocks_that_disagree_raise_nothing_and_a_wrong_one_among_many_is_outvoted() -> None:
    year_us = 365 * DAY_US
    assert due(expiry(), {"n2": year_us, "n3": -year_us, "n4": 2 * year_us}) == {}
    assert due(expiry(), {"n2": AGREEMENT_US // 2, "n3": 0, "n4": year_us}) == {"weather": 19_970}
    # This node itself is a year behind: the others know better.
    behind = Expiry(now_us=NOON_US - year_us, now_ms=0)
    found = behind.due(
        KEEP,
        members=4,
        offsets_us={"n2": year_us, "n3": year_us, "n4": year_us},
        now_us=NOON_US - year_us,
        now_ms=0,
    )
    assert found == {"weather": 19_970}


def test_after_a_jump_of_any_clock_nothing_is_raised_for_an_hour() -> None:
    agreed = {"n2": 0, "n3": 0, "n4": 0}
    own = expiry()
    assert due(own, dict.fromkeys(agreed, -DAY_US), jump_us=DAY_US) == {}
    assert due(own, agreed, now_ms=2 * MINUTE_MS) == {}  # it was set back: that is one more jump
    assert due(own, agreed, now_ms=2 * MINUTE_MS + CALM_MS) == {"weather": 19_970}
    other = expiry()
    assert due(other, agreed)
    assert due(other, {**agreed, "n3": 2 * DAY_US}, now_ms=2 * MINUTE_MS) == {}
    assert due(other, {**agreed, "n3": 2 * DAY_US}, now_ms=3 * MINUTE_MS + CALM_MS)
