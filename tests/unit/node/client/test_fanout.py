"""Which questions go to several owners at once, and with which spans."""

import orjson
import pyarrow as pa

from node.client.fanout import FanOut, owner_runs
from node.client.result import AnswerCoverage, Result, joined
from node.client.routing import RingView
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_STOP

QUARTER = CODE_STOP // 4


def make_view(*, away: str = "", scattered: bool = False) -> RingView:
    names = ["sw", "nw", "se", "ne"]
    owners = ["sw", "nw", "sw", "ne"] if scattered else names
    return RingView.from_json(
        {
            "digest": "d",
            "domain": DEMO_DOMAIN.degrees(),
            "spans": [
                {"start": str(place * QUARTER), "owner": owner}
                for place, owner in enumerate(owners)
            ],
            "nodes": [
                {"id": name, "url": f"http://{name}", "state": "away" if name == away else "alive"}
                for name in names
            ],
        }
    )


def test_owners_of_a_box_are_asked_for_their_runs_in_key_order() -> None:
    middle = (1_357_000_000, 337_000_000, 1_359_000_000, 339_000_000)
    assert owner_runs(make_view(), middle) == [
        ("http://sw", f"0-{QUARTER}"),
        ("http://nw", f"{QUARTER}-{2 * QUARTER}"),
        ("http://se", f"{2 * QUARTER}-{3 * QUARTER}"),
        ("http://ne", f"{3 * QUARTER}-{CODE_STOP}"),
    ]
    west = (1_351_000_000, 337_000_000, 1_352_000_000, 339_000_000)
    assert [url for url, _ in owner_runs(make_view(), west)] == ["http://sw", "http://nw"]
    assert len(owner_runs(make_view(), None)) == 4


def test_cells_that_two_owners_share_mean_one_node_for_all() -> None:
    assert len(owner_runs(make_view(), None, level=1)) == 4
    assert len(owner_runs(make_view(), None, level=31)) == 4
    assert owner_runs(make_view(), None, level=0) == []
    assert owner_runs(make_view(), None, level=-1) == []
    assert owner_runs(make_view(), None, level=32) == []


def test_a_scattered_ring_or_an_absent_owner_means_one_node_for_all() -> None:
    assert owner_runs(make_view(scattered=True), None) == []
    assert owner_runs(make_view(away="se"), None) == []
    fan_out = FanOut()
    assert fan_out.ask(make_view(away="se"), None, never) is None
    inside = (1_351_000_000, 331_000_000, 1_352_000_000, 332_000_000)
    assert fan_out.ask(make_view(), inside, never) is None


def never(url: str, spans: str) -> Result:
    raise AssertionError((url, spans))


def test_parts_come_in_key_order_whoever_is_first() -> None:
    asked: list[str] = []

    def ask(url: str, spans: str) -> Result:
        asked.append(url)
        return Result(b"", AnswerCoverage("complete", {"url": url}))

    fan_out = FanOut()
    parts = fan_out.ask(make_view(), None, ask)
    fan_out.close()
    assert parts is not None
    assert sorted(asked) == ["http://ne", "http://nw", "http://se", "http://sw"]
    urls = [part.coverage.details["url"] for part in parts]
    assert urls == ["http://sw", "http://nw", "http://se", "http://ne"]


def test_parts_of_different_types_are_widened_like_blocks() -> None:
    parts = [
        Result(pa.table({"v": pa.array([1], pa.int64())}), AnswerCoverage("complete")),
        Result(
            pa.table({"v": pa.array(["foggy"]), "w": pa.array([True])}), AnswerCoverage("local")
        ),
        Result(pa.table({}), AnswerCoverage("complete")),
    ]
    whole = joined(parts)
    assert whole.coverage.state == "local"
    assert whole.table["w"].to_pylist() == [None, True]
    assert [orjson.loads(cell) for cell in whole.table["v"].to_pylist()] == [1, "foggy"]
