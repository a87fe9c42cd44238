"""The holders under a ring, worked out once for all simulated nodes: they all have the same rings.

`holder_map` is a pure function, so nodes that share its result are as apart as before.
"""

from node.service import holding
from zring.placement import HolderMap, holder_map
from zring.ring import Ring

RINGS_KEPT = 64
_kept: dict[int, HolderMap] = {}


def shared_holder_map(ring: Ring) -> HolderMap:
    """`holder_map`, remembered for the rings that were asked for last."""
    known = _kept.pop(ring.digest(), None) or holder_map(ring)
    _kept[ring.digest()] = known
    if len(_kept) > RINGS_KEPT:
        del _kept[next(iter(_kept))]
    return known


def share() -> None:
    """Let the nodes of this process use it."""
    holding.holder_map = shared_holder_map
