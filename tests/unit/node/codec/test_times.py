"""Times in columns: the short way for a few texts agrees with the one for many."""

import pyarrow as pa
import pytest

from node.codec.times import FEW_TEXTS, texts_to_times


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2023-02-29T00:00:00Z",
        "2024-05-01T24:00:00Z",
        "2024-05-01T23:59:60Z",
        "2024-05-01T00:00:00Z\n",
        "2024-05-01T00:00:00+09:00",
        "0000-01-01T00:00:00Z",
    ],
)
def test_a_few_texts_are_read_like_many(text: str) -> None:
    few_times, few_bad = texts_to_times(pa.array([text]))
    many_times, many_bad = texts_to_times(pa.array([text] * (FEW_TEXTS + 1)))
    assert few_bad[0] == many_bad[0]
    assert few_bad[0] or few_times[0] == many_times[0]
