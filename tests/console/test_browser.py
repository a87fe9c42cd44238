"""The page in a real browser against recorded answers: what a person would see."""

import re
from typing import Any

from node.console import PAGE_PATH
from tests.console.conftest import CORNERS, quarter, status_document, task_document


async def test_areas_dots_and_tables_are_drawn(recorded_node: Any, browse: Any) -> None:
    page = await browse(recorded_node.url + PAGE_PATH)
    assert set(re.findall(r'<g class="area alive" data-node="(\w+)"', page)) == {
        "ne",
        "nw",
        "se",
        "sw",
    }
    assert set(re.findall(r'data-sensor="(\w+)"', page)) == {"65042", "65356"}
    assert 'data-ready="true"' in page
    assert 'data-land="drawn"' in page
    assert re.search(r'<g class="land"><path d="M[\d.-]+ [\d.-]+L', page)
    assert re.search(r'id="coverage"[^>]*data-state="complete"[^>]*>complete<', page)
    assert re.search(r'id="updated"[^>]*>updated \d\d:\d\d:\d\d<', page)
    assert ">27.1<" in page
    assert re.search(r'<tr data-node="sw" data-state="alive">', page)
    assert "this one" in page
    assert re.search(r'<p id="notice"[^>]*hidden=""', page)


async def test_only_the_own_node_is_asked_and_only_for_what_is_shown(
    recorded_node: Any, browse: Any
) -> None:
    await browse(recorded_node.url + PAGE_PATH)
    latest = [path for path in recorded_node.asked if path.startswith("/collections/amedas/")]
    assert latest[0].startswith(
        "/collections/amedas/latest?f=json&bbox=135.00000,33.00000,136.60000,34.60000&limit="
    )
    others = {path.split("?")[0] for path in recorded_node.asked} - set(recorded_node.answers)
    assert not others


async def test_a_node_that_is_away_is_said_and_shown(recorded_node: Any, browse: Any) -> None:
    recorded_node.lose("se")
    page = await browse(recorded_node.url + PAGE_PATH)
    assert "1 of 4 nodes is away: se (since 2025-03-01 05:00 UTC)." in page
    assert "Copies on other nodes answer for the striped area." in page
    assert re.search(r'<g class="area away" data-node="se" fill="url\(#hatch-2\)"', page)
    assert re.search(r'<tr data-node="se" data-state="away">', page)
    assert re.search(r'id="coverage"[^>]*data-state="local"', page)


async def test_choices_in_the_address_are_followed(recorded_node: Any, browse: Any) -> None:
    page = await browse(recorded_node.url + PAGE_PATH + "#selected=nw&value=note")
    assert re.search(r'class="area alive selected" data-node="nw"', page)
    assert 'data-copies-of="nw"' in page
    assert "127.0.0.1:7171" in page  # the details of the node
    assert re.search(r'id="sensor-value"[^>]*>note<', page)


async def test_values_are_text_and_never_markup(recorded_node: Any, browse: Any) -> None:
    page = await browse(recorded_node.url + PAGE_PATH + "#value=note")
    assert "&lt;b&gt;fine&lt;/b&gt;" in page
    assert "<b>" not in page


async def test_a_node_that_wants_a_token_gets_asked_for_one(
    recorded_node: Any, browse: Any
) -> None:
    recorded_node.answers["/cluster/status"] = 401
    page = await browse(recorded_node.url + PAGE_PATH)
    assert re.search(r'<form id="login">', page)


async def test_an_error_is_told_and_the_page_lives(recorded_node: Any, browse: Any) -> None:
    recorded_node.answers["/cluster/status"] = 503
    page = await browse(recorded_node.url + PAGE_PATH)
    assert "The node answered with an error: no." in page
    assert 'data-ready="true"' in page


async def test_an_empty_cluster_says_how_to_begin(recorded_node: Any, browse: Any) -> None:
    recorded_node.answers["/collections"] = {"links": [], "collections": []}
    page = await browse(recorded_node.url + PAGE_PATH)
    assert "Nothing is stored yet" in page
    assert len(re.findall(r'data-node="\w+" fill', page)) == 4


async def test_what_was_known_stays_when_the_node_stops_answering(
    recorded_node: Any, browse: Any
) -> None:
    recorded_node.answers_left = 4
    page = await browse(recorded_node.url + PAGE_PATH, "--virtual-time-budget=16000")
    assert re.search(r'id="coverage"[^>]*data-state="unreachable"[^>]*>no contact<', page)
    assert re.search(r"This node gives no answer .*Shown is what was known at \d\d:\d\d", page)
    assert len(re.findall(r'data-sensor="', page)) == 2


async def test_moves_and_what_is_left_are_shown(recorded_node: Any, browse: Any) -> None:
    status = status_document()
    status["tasks"] = [
        task_document("move", "ne", "se", phase="filling", area=quarter(*CORNERS["ne"])),
        task_document("hand-over", "ne", "se", records_left=1_700, bytes_per_s=1_200_000, eta_s=12),
        task_document("fill", "se", None, reason="ne must have compared everything with it"),
    ]
    recorded_node.answers["/cluster/status"] = status
    page = await browse(recorded_node.url + PAGE_PATH)
    assert re.search(r'<g class="move" data-from="ne" data-to="se" fill="url\(#hatch-2\)"', page)
    assert re.search(r'<path class="arrow" d="M[\d. ]+L[\d. ]+" marker-end', page)
    assert re.search(r'<section id="under-way"[^>]*labelledby="tasks-title">', page)
    assert "1,700 records left, 1.2 MB/s, about 12 s" in page
    assert re.search(r'<progress max="1700" value="0"', page)
    assert "se is being filled" in page
    assert "ne must have compared everything with it" in page


async def test_a_bar_grows_with_what_was_done(recorded_node: Any, browse: Any) -> None:
    left = iter((400, 100))

    def answer() -> dict[str, Any]:
        task = task_document("hand-over", "ne", "se", records_left=next(left, 100))
        return {**status_document(), "tasks": [task]}

    recorded_node.made["/cluster/status"] = answer
    page = await browse(recorded_node.url + PAGE_PATH)
    assert re.search(r'<progress max="400" value="300"', page), "it looks again by itself"


async def test_nothing_under_way_is_not_shown(recorded_node: Any, browse: Any) -> None:
    page = await browse(recorded_node.url + PAGE_PATH)
    assert re.search(r'<section id="under-way"[^>]*hidden', page)
    assert 'class="move"' not in page


async def test_areas_that_do_not_answer_as_usual_are_shown(recorded_node: Any, browse: Any) -> None:
    status = status_document(away="se")
    status["nodes"][0]["state"] = "suspect"
    status["coverage"] |= {
        "state": "partial",
        "alone_since": "2025-03-01T05:00:00Z",
        "replicas": {"se": quarter(*CORNERS["se"])},
        "replicas_as_of": {"se": "2025-03-01T04:59:00Z"},
        "settling": quarter(*CORNERS["nw"]),
        "missing": quarter(*CORNERS["ne"]),
    }
    recorded_node.answers["/cluster/status"] = status
    page = await browse(recorded_node.url + PAGE_PATH)
    assert re.search(r'<g class="replicas" fill="url\(#hatch-replicas\)" data-owner="se"', page)
    assert "copies answer for se, as of 2025-03-01 04:59 UTC" in page
    assert re.search(r'<g class="settling" fill="url\(#hatch-settling\)"', page)
    assert re.search(r'<g class="missing" fill="url\(#hatch-missing\)"', page)
    assert "This node has been alone since 2025-03-01 05:00 UTC." in page
    assert "there is nobody to answer" in page
    assert re.search(r'<g class="area suspect" data-node="ne" fill="(?!url)', page)
    assert "silent since 2025-03-01 05:00 UTC, still asked" in page
