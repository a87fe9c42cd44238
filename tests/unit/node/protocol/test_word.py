"""Words: there and back, and any bytes are a word or refused."""

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import BadRequest
from node.protocol.word import (
    LIVES,
    StoreSeen,
    Word,
    plain_to_spans,
    plain_to_word,
    spans_to_plain,
    word_to_plain,
)
from zring.morton import CODE_STOP
from zring.span import EVERYTHING, Spans, normalise

NAMES = st.text(min_size=1, max_size=8)
NUMBERS = st.integers(0, 2**64 - 1)
SPANS = st.lists(
    st.tuples(st.integers(0, CODE_STOP - 1), st.integers(1, 1 << 50)).map(
        lambda pair: (pair[0], min(sum(pair), CODE_STOP))
    ),
    max_size=5,
).map(normalise)
WORDS = st.builds(
    Word,
    node=NAMES,
    cluster=NAMES,
    store_id=NAMES,
    sequence=NUMBERS,
    incarnation=NUMBERS,
    version=NUMBERS,
    birth=st.booleans(),
    address=NAMES,
    url=NAMES,
    records=NUMBERS,
    ring_digest=NUMBERS,
    clock_us=NUMBERS,
    life=st.sampled_from(LIVES),
    filled=SPANS,
    owed=st.dictionaries(NAMES, SPANS, max_size=3),
    stores=st.dictionaries(
        NAMES, st.builds(StoreSeen, NAMES, NUMBERS, NUMBERS, NUMBERS), max_size=3
    ),
    instance=NUMBERS,
    found=st.none() | NUMBERS,
    forgotten=st.dictionaries(NAMES, NUMBERS, max_size=3),
    location=st.none()
    | st.tuples(st.integers(-1_800_000_000, 1_800_000_000), st.integers(-900_000_000, 900_000_000)),
)
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**64) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=17) | st.dictionaries(st.text(max_size=3), inner),
)


def test_a_word_of_a_version_without_locations_has_none() -> None:
    word = Word("n", "c", "s", 1, location=(1_350_000_000, 330_000_000))
    older = plain_to_word(word_to_plain(word)[:16])
    assert older.location is None and older.store_id == "s"


@pytest.mark.parametrize("location", [[1], [0, 900_000_001], [-1_800_000_001, 0], "x", [0.5, 0]])
def test_a_location_off_the_map_is_refused(location: Any) -> None:
    plain = word_to_plain(Word("n", "c", "s", 1))
    plain[16] = location
    with pytest.raises(BadRequest, match="place 16"):
        plain_to_word(plain)


@given(WORDS)
def test_there_and_back(word: Word) -> None:
    assert plain_to_word(msgpack.unpackb(msgpack.packb(word_to_plain(word)))) == word
    assert plain_to_word([*word_to_plain(word), "of a later version"]) == word


@given(SPANS)
def test_spans_there_and_back(spans: Spans) -> None:
    assert plain_to_spans(spans_to_plain(spans)) == spans


def test_areas_of_whole_grains_take_few_bytes() -> None:
    assert spans_to_plain(EVERYTHING) == [62, 0, 1]
    grain = 1 << 46
    quarters = tuple((index * grain, (index + 1) * grain) for index in range(0, 64, 2))
    assert len(msgpack.packb(spans_to_plain(quarters))) < 70


@given(WORDS, st.integers(0, 19), PLAIN)
def test_anything_is_a_word_or_refused(word: Word, place: int, value: object) -> None:
    plain = word_to_plain(word)
    plain[place] = value
    try:
        plain_to_word(plain)
    except BadRequest as error:
        assert "word" in str(error)


MALFORMED = [None, {}, [1], [0, 1, 1, 1], [63, 0, 1], [0, 0], [0, 5, 0], [62, 0, 2], [-1, 0, 1]]


@pytest.mark.parametrize("plain", MALFORMED)
def test_malformed_spans_and_words_are_refused(plain: object) -> None:
    with pytest.raises(BadRequest):
        plain_to_word(plain)
    with pytest.raises(BadRequest):
        plain_to_spans(plain)
