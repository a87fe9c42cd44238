"""The page in use: keys, clicks and the modules' arithmetic, inside the browser."""

import html
import json
import re
from typing import Any


async def test_page_follows_keys_and_clicks(recorded_node: Any, browse: Any) -> None:
    page = await browse(recorded_node.url + "/driven", "--virtual-time-budget=12000")
    found = re.search(r'<pre id="results">(.*?)</pre>', page)
    assert found is not None, page[-2_000:]
    results = json.loads(html.unescape(found.group(1)))
    assert results == {
        "outline": [8, 10, 8],  # a square; with a smaller neighbour; two that do not touch
        "fixed": True,
        "inside": True,
        "texts": ["0.25° W", "0°", 0.2, 45],
        "clipped": [5, 5],
        "beside": 0,
        "scale": [True, "ab"],
        "moved": True,
        "back": True,
        "selected": ["se", True],
        "tip": "65042",
        "legend": "<b>fine</b>",
        "paused": True,
    }
