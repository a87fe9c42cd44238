"""Any bytes are decoded or refused, and everything is accounted for."""

import msgpack
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.messages import FORMATS, DecodedMessages, MessageDecoder
from node.records import record_digests
from zring.domain import WORLD

NAMES = st.sampled_from(
    ["sensor", "id", "time", "ts", "lon", "lat", "x", "y", "values", "type", "geometry", "features",
     "properties", "coordinates", "temp", "a.b", "", "version"]
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["2023-07-01T00:00:00Z", "Feature", "Point", "FeatureCollection", "135.5"])
)
CELLS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5)
)
RECORDS = st.dictionaries(NAMES, CELLS, max_size=8)
PLACED = RECORDS.map(lambda record: {"sensor": "s", "time": 1, "lon": 1.5, "lat": 2, **record})
DOCUMENTS = CELLS | RECORDS | PLACED | st.lists(PLACED, max_size=4)


def packed(document: object) -> bytes:
    return msgpack.packb(document)


def dumped(document: object) -> bytes:
    return orjson.dumps(document)


def event(document: object) -> bytes:
    return msgpack.packb([1_700_000_000, document])


BODIES = (
    st.none()
    | st.binary(max_size=60)
    | DOCUMENTS.flatmap(
        lambda document: st.sampled_from([packed(document), dumped(document), event(document)])
    )
)


@pytest.mark.parametrize("format_name", FORMATS)
@given(bodies=st.lists(BODIES, max_size=6))
@settings(max_examples=40)
def test_any_bytes_are_decoded_or_refused(format_name: str, bodies: list[bytes | None]) -> None:
    decoder = MessageDecoder(format_name, domain=WORLD)
    decoded = decoder.decode(bodies, lambda index: f"2025062818{index:02}00.json")
    assert decoded.records == decoded.good + len(decoded.refusals)
    touched = {entry.message for entry in decoded.refusals}
    for part in decoded.parts:
        assert (part.message[1:] >= part.message[:-1]).all()
        touched.update(part.message.tolist())
    if format_name != "amedas":  # a download may hold no observation at all
        assert touched == set(range(len(bodies)))


@pytest.mark.parametrize("format_name", ["json", "msgpack", "fluentd", "csv"])
@given(bodies=st.lists(BODIES, max_size=6))
@settings(max_examples=40)
def test_company_changes_nothing(format_name: str, bodies: list[bytes | None]) -> None:
    decoder = MessageDecoder(format_name, domain=WORLD)
    alone = [decoder.decode([body]) for body in bodies]
    together = decoder.decode(bodies)
    assert together.good == sum(one.good for one in alone)
    assert digests([together]) == digests(alone)


def digests(batches: list[DecodedMessages]) -> list[int]:
    return sorted(
        digest
        for batch in batches
        for part in batch.parts
        for digest in record_digests("c", part.rows).tolist()
    )
