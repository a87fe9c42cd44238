"""How complete an answer is, in headers and in JSON, bounded however scattered the areas are."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from node.api.coverage import (
    CELLS_SHOWN_MAX,
    coverage_headers,
    coverage_to_json,
    spans_to_shape,
    time_text,
)
from node.query import Coverage
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_STOP, code_to_xy

QUARTER = CODE_STOP // 4
HALF_GRAIN = 1 << 18  # of cells of level 12
WORST = Coverage(
    "partial",
    as_of=1_689_224_400_500_000,
    away={"se": 1_689_220_000_000_000, "ne": 1_689_220_000_000_000},
    replicas={"se": ((2 * QUARTER, 3 * QUARTER),)},
    missing=((3 * QUARTER, CODE_STOP),),
    replicas_as_of={"se": 1_689_220_000_000_000},
    alone_since=1_689_220_000_000_000,
)


def test_an_answer_that_lacks_something_says_what_and_where() -> None:
    document = coverage_to_json(WORST, DEMO_DOMAIN)
    assert document["state"] == "partial" and document["as_of"] == "2023-07-13T05:00:00.500000Z"
    assert list(document["away"]) == ["ne", "se"]
    south_east_ne = document["missing"]["coordinates"]
    assert south_east_ne == [
        [[[135.8, 33.8], [136.6, 33.8], [136.6, 34.6], [135.8, 34.6], [135.8, 33.8]]]
    ]
    assert "settling" not in document
    assert document["replicas_as_of"] == {"se": "2023-07-13T03:46:40Z"}
    assert document["alone_since"] == "2023-07-13T03:46:40Z"


def test_headers_say_the_same_without_shapes() -> None:
    headers = coverage_headers(WORST, DEMO_DOMAIN)
    assert headers["Zring-Coverage"] == "partial"
    details = orjson.loads(headers["Zring-Coverage-Details"])
    assert details["missing"] == [[135.8, 33.8, 136.6, 34.6]] and details["replicas"] == ["se"]
    crowd = Coverage("local", as_of=0, away={f"node{number}": 0 for number in range(5_000)})
    assert len(coverage_headers(crowd, DEMO_DOMAIN)["Zring-Coverage-Details"]) < 4_096
    scattered = tuple((at * QUARTER // 999, (2 * at + 1) * QUARTER // 1_998) for at in range(999))
    torn = Coverage("settling", as_of=0, settling=scattered, missing=scattered)
    assert len(coverage_headers(torn, DEMO_DOMAIN)["Zring-Coverage-Details"]) < 4_096


def test_times_beyond_the_calendar_are_clipped() -> None:
    assert time_text(-(1 << 62)) == "0001-01-01T00:00:00Z"
    assert time_text(1 << 62) == "9999-12-31T23:59:59.999999Z"


@given(st.lists(st.integers(0, (1 << 24) - 1), min_size=1, max_size=600, unique=True))
def test_shapes_cover_every_span_and_stay_small(grains: list[int]) -> None:
    side = CODE_STOP >> 24
    spans = [(grain * side, (grain + 1) * side) for grain in grains]
    shape = spans_to_shape(spans, DEMO_DOMAIN)
    assert 1 <= len(shape["coordinates"]) <= CELLS_SHOWN_MAX
    boxes = [(ring[0], ring[2]) for (ring,) in shape["coordinates"]]
    for start, _ in spans[:20]:
        x, y = code_to_xy(start)
        lon = 135 + 1.6 * (x + HALF_GRAIN) / (1 << 31)  # its middle: edges are rounded
        lat = 33 + 1.6 * (y + HALF_GRAIN) / (1 << 31)
        assert any(low[0] <= lon <= high[0] and low[1] <= lat <= high[1] for low, high in boxes)
