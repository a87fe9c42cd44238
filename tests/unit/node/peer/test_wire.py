"""Any bytes decode or raise the one documented error; rows come back as they were."""

import contextlib

import msgpack
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import BadRequest, NodeError, NotFound, PeerRefused
from node.peer.rows import bytes_to_rows, rows_to_bytes
from node.peer.transport import Message
from node.peer.wire import decode_reply, decode_request, encode_error, encode_message
from node.records import JSON, Rows, record_digests

HEADERS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
        lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(), part, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(st.text(), HEADERS, st.binary(max_size=200))
def test_round_trip(kind: str, header: dict[str, object], body: bytes) -> None:
    message = decode_request(b"".join(encode_message(Message(kind, header, body))))
    assert (message.kind, message.header, bytes(message.body)) == (kind, header, body)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for decode, error in ((decode_request, BadRequest), (decode_reply, NodeError)):
        with contextlib.suppress(error):
            decode(data)


@given(st.data())
def test_any_cut_or_changed_byte(data: st.DataObject) -> None:
    whole = bytearray(b"".join(encode_message(Message("scan", {"a": [1, 2]}, b"body"))))
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        whole = whole[:at]
    else:
        whole[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadRequest):
        decode_request(bytes(whole))


@pytest.mark.parametrize(
    "head",
    [
        {"v": 1, "error": "SystemExit", "message": "m", "fields": {}},
        {"v": 1, "error": "NodeError", "message": "m", "fields": {}},
        {"v": 1, "error": "Mapping", "message": "m", "fields": {}},
        {"v": 1, "error": "NotFound", "message": "m", "fields": {"field": "x"}},
        {"v": 1, "error": "StaleRing", "message": "m", "fields": {}},
        {"v": 1, "error": "NotFound", "message": "m", "fields": 5},
        {"v": 1, "kind": "", "header": 5},
        {"v": 2, "header": {}},
    ],
)
def test_strange_errors_are_refusals(head: dict[str, object]) -> None:
    packed = msgpack.packb(head)
    with pytest.raises(PeerRefused):
        decode_reply(len(packed).to_bytes(4, "big") + packed)


def test_an_error_keeps_its_words() -> None:
    with pytest.raises(NotFound, match=r"^gone$"):
        decode_reply(encode_error(NotFound("gone")))


def rows() -> Rows:
    return Rows.build(
        time=np.array([5, 6, 7], np.int64),
        lon=np.array([-1, 2, 3], np.int32),
        lat=np.array([4, 5, 6], np.int32),
        code=np.array([1, 2, 2**61], np.int64),
        sensor=pa.array(["a", "ü", ""]),
        version=np.array([0, 2**62, 3], np.int64),
        deleted=np.array([False, True, False]),
        values={
            "=odd.name": pa.array([1, None, 3]),
            "f": pa.array([1.5, None, float("inf")]),
            "b": pa.array([True, None, False]),
            "t": pa.array(["x", None, ""]),
            "i": pa.array([b"\x00", None, b""]),
            "j": pa.ExtensionArray.from_storage(JSON, pa.array(["[1]", None, "{}"])),
        },
    )


def test_rows_come_back_as_they_were() -> None:
    sent = rows()
    for part in (sent, sent.slice(0, 1), sent.slice(1, 3), sent.slice(0, 0)):
        got = bytes_to_rows(bytes(rows_to_bytes(part)))
        assert len(got) == len(part)
        assert got.deleted.tolist() == part.deleted.tolist()
        if len(part):
            assert record_digests("c", got).tolist() == record_digests("c", part).tolist()
            assert {n: a.type for n, a in got.values.items()} == {
                n: a.type for n, a in part.values.items()
            }


@given(st.data())
def test_any_damage_to_rows(data: st.DataObject) -> None:
    whole = bytearray(rows_to_bytes(rows().slice(0, 1)))
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        whole = whole[:at]
    else:
        whole[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadRequest):
        bytes_to_rows(bytes(whole))


@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_are_no_rows(data: bytes) -> None:
    with pytest.raises(BadRequest):
        bytes_to_rows(data)
