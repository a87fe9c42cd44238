"""Pages of several readers joined, against sorting everything at once."""

from random import Random

import numpy as np
import pyarrow as pa
import pytest

from node.protocol.paging import join_pages, limit_page, rows_up_to
from node.records import Key, Rows, concat_rows, newest_rows, sort_rows


def random_rows(rng: Random, count: int, *, codes: int = 5) -> Rows:
    """Few codes, times and sensors, so that ties are common."""
    sensor = pa.array([f"s{rng.randrange(3)}" for _ in range(count)], pa.string())
    numbers = np.array([rng.randrange(100) for _ in range(count)], np.int64)
    rows = Rows.build(
        time=np.array([rng.randrange(4) for _ in range(count)], np.int64),
        lon=np.zeros(count, np.int32),
        lat=np.zeros(count, np.int32),
        code=np.array([rng.randrange(codes) for _ in range(count)], np.int64),
        sensor=sensor,
        version=np.array([rng.randrange(3) for _ in range(count)], np.int64),
        values={"v": pa.array(numbers)},
    )
    return newest_rows(sort_rows(rows))


def keys(rows: Rows) -> list[Key]:
    return [rows.key(index) for index in range(len(rows))]


@pytest.mark.parametrize("seed", range(30))
def test_rows_up_to(seed: int) -> None:
    rng = Random(seed)
    rows = random_rows(rng, 30)
    for _ in range(20):
        key = rng.choice([*keys(rows), Key(rng.randrange(6), rng.randrange(5), 1 << 63)])
        assert rows_up_to(rows, key) == sum(known <= key for known in keys(rows))


@pytest.mark.parametrize("seed", range(60))
def test_paging_over_several_readers_gives_what_one_sort_gives(seed: int) -> None:
    rng = Random(seed)
    stores = [random_rows(rng, rng.randrange(25)) for _ in range(rng.randint(1, 4))]
    truth = newest_rows(sort_rows(concat_rows(stores)))
    limit = rng.randint(1, 6)
    given: list[Rows] = []
    after: Key | None = None
    while True:
        pages = []
        for store in stores:
            start = 0 if after is None else rows_up_to(store, after)
            rest = store.slice(start, len(store))
            pages.append(limit_page(rest, None, rng.randint(1, 4)))
        rows, cut = join_pages(pages, overlapping=True)
        page, after = limit_page(rows, cut, limit)
        assert len(page) <= limit
        given.append(page)
        if after is None:
            break
    joined = concat_rows(given)
    assert keys(joined) == keys(truth)
    assert joined.version.tolist() == truth.version.tolist()


def test_no_pages() -> None:
    rows, cut = join_pages([], overlapping=False)
    assert not len(rows) and cut is None


def test_a_full_page_that_is_the_last_has_no_resume() -> None:
    rows = random_rows(Random(1), 10)
    assert limit_page(rows, None, len(rows)) == (rows, None)
