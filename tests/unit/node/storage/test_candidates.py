"""Blocks that a step may need: one by one and all at once give the same ones in the same order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from node.records import Key
from node.storage.block_index import SUMMARY, BlockIndex
from node.storage.candidates import StepRequest, few_candidates, many_candidates
from node.storage.engine import Scan

SMALL = st.integers(0, 9)
KEYS = st.none() | st.builds(Key, SMALL, SMALL, SMALL)


def _index(seed: int, blocks: int) -> BlockIndex:
    """Blocks with any bounds out of a few numbers, so that all cases of touching come."""
    rng = np.random.default_rng(seed)
    summaries = np.zeros(blocks, SUMMARY)
    summaries["block"] = np.arange(blocks)
    summaries["slice_start"] = rng.integers(0, 4, blocks) * 3
    for low, high in (
        ("code_low", "code_high"),
        ("time_low", "time_high"),
        ("west", "east"),
        ("south", "north"),
    ):
        ends = np.sort(rng.integers(0, 10, (2, blocks)), axis=0)
        summaries[low], summaries[high] = ends
    summaries["time_first"] = rng.integers(summaries["time_low"], summaries["time_high"] + 1)
    summaries["hash_first"] = rng.integers(0, 10, blocks)
    return BlockIndex.of(summaries)


@settings(deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.integers(0, 40),
    st.tuples(SMALL, SMALL, SMALL, SMALL, SMALL, SMALL, SMALL, SMALL),
    st.none() | st.lists(SMALL, unique=True, max_size=6).map(sorted),
    KEYS,
    st.integers(0, 1),
)
def test_both_ways_give_the_same(
    seed: int,
    blocks: int,
    ends: tuple[int, ...],
    edges: list[int] | None,
    after: Key | None,
    padding: int,
) -> None:
    index = _index(seed, blocks)
    start, stop = sorted(ends[:2])
    west, east = sorted(ends[2:4])
    south, north = sorted(ends[4:6])
    code_low, code_high = sorted(ends[6:])
    spans = None if edges is None else tuple(zip(edges[::2], edges[1::2], strict=False))
    scan = Scan("c", start, stop + 1, west, south, east, north, spans)
    request = StepRequest(scan, after, None, None, code_low, code_high, padding)
    few = few_candidates(request, index.entries(scan.time_start, scan.time_stop))
    around = index.between(scan.time_start, scan.time_stop)
    many = list(many_candidates(request, index, around))
    assert [one.bound for one in few] == [one.bound for one in many]
    assert sorted(few) == sorted(many)
    # Twice, because the entries of a slice are kept.
    assert few == few_candidates(request, index.entries(scan.time_start, scan.time_stop))
