"""Bodies in few bytes: what was packed comes out, anything else is refused."""

import pytest

from node.errors import BadRequest
from node.peer.packing import UNPACKED_BYTES_MAX, pack, unpack


def test_what_was_packed_comes_out() -> None:
    body = b"temp rain wind " * 200
    packed, header = pack(body, wanted=True)
    assert len(packed) < len(body) / 10
    assert unpack(packed, header) == body


def test_fast_links_carry_bodies_as_they_are() -> None:
    body = b"temp rain wind " * 200
    assert pack(body, wanted=False) == (body, {})
    assert pack(b"", wanted=True) == (b"", {})
    assert unpack(body, {}) is body


@pytest.mark.parametrize("size", [0, -1, UNPACKED_BYTES_MAX + 1, "9", True, 3_001, 2_999, 1])
def test_other_sizes_and_other_bytes_are_refused(size: object) -> None:
    packed, _ = pack(b"temp rain wind " * 200, wanted=True)
    with pytest.raises(BadRequest):
        unpack(packed, {"zstd": size})
    with pytest.raises(BadRequest):
        unpack(b"no frame", {"zstd": 3_000})
