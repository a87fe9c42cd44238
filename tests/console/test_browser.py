"""The page in a real browser against recorded answers: what a person would see."""

import re
from typing import Any

from node.console import PAGE_PATH


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
