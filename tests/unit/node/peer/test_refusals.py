"""What is remembered of refusals: told once a minute, shown for ten, gone once accepted."""

import pytest

from node.errors import PeerRefused, Unauthorised
from node.peer.refusals import FORGET_S, REPEAT_S, SHOWN_MAX, Refusal, Refusals

OTHER = PeerRefused("n has another cluster", peer_reason="other-cluster")


def test_repetitions_are_counted_and_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Refusal] = []
    refusals = Refusals(told.append)
    for second in range(int(2 * REPEAT_S) + 1):
        refusals.note(OTHER, remote="10.0.0.1", node="n", here=True, now_s=float(second))
    assert [(refusal.reason, refusal.count) for refusal in told] == [
        ("other-cluster", 1),
        ("other-cluster", 60),
        ("other-cluster", 60),
    ]
    assert caplog.text.count("refused n at 10.0.0.1") == 3


def test_they_are_shown_until_accepted_or_forgotten() -> None:
    refusals = Refusals()
    refusals.note(OTHER, remote="10.0.0.1", node="n", here=True, now_s=0.0)
    refusals.note(Unauthorised("key"), remote="10.0.0.1", node="", here=True, now_s=0.0)
    refusals.note(OTHER, remote="10.0.0.2:7170", node="m", here=False, now_s=1.0)
    assert dict(refusals.shown(2.0)) == {
        "10.0.0.1": "unauthorised: key",
        "m@10.0.0.2:7170": "refused us: other-cluster: n has another cluster",
        "n@10.0.0.1": "other-cluster: n has another cluster",
    }
    refusals.clear("10.0.0.1", "n")
    assert list(refusals.shown(2.0)) == ["m@10.0.0.2:7170"]
    assert not refusals.shown(1.0 + FORGET_S)


def test_their_number_is_bounded() -> None:
    refusals = Refusals()
    for number in range(3 * SHOWN_MAX):
        refusals.note(OTHER, remote=f"10.0.1.{number}", node="", here=True, now_s=0.0)
    assert len(refusals.shown(0.0)) == SHOWN_MAX
