"""Who keeps copies of every grain: a pure function of the ring document.

Holders of a grain are placement(owner map) ∪ placement(next map) ∪ archives (PROTOCOL 2.3).
Placements of one map:

- `halo`: the owner and the r nodes whose areas lie nearest to the grain. A node so keeps what
  lies around its own area, nearly in the shape of a circle, which is what it needs to serve its
  neighbourhood when it is cut off.
- `edge`, `corner`, `moore`: the owner and all nodes whose areas touch its area along an edge,
  only at a corner, or either way: on a grid of equal squares 4, 4 and 8 nodes. Patterns of the
  literature, for comparison; they follow whole areas, not grains.
- `far_copies` more on the nodes farthest from the grain, against a disaster in one district.

Promises: the owner comes first; no node twice; as many different nodes as asked for or as exist;
equal rings give equal maps. A holder map costs from milliseconds to a second: keep it by the
ring's digest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from zring.morton import CODE_BITS, CODE_STOP, Int64s, code_to_xy
from zring.nearness import Rectangles, areas_to_rectangles, nearest_nodes
from zring.ring import Ring
from zring.span import Span, Spans, normalise
from zring.steps import Steps, normal_steps

Copies = tuple[tuple[str, ...], tuple[str, ...]]
"""The owner and its replicas, nearest first; and the far copies, farthest first."""

NEIGHBOURS_WANTED = {"edge": 4, "corner": 4, "moore": 8}
"""Replicas of the whole-area patterns on a grid of equal squares, away from its rim."""
FAR_LEVEL_MAX = 5
"""Cells that choose far copies: 1,024 of the domain, each some 3 % of its side."""


@dataclass(frozen=True, slots=True)
class HolderMap:
    """The holders of every code, as a step function.

    Attributes:
        starts: int64[k], first code of each stretch; a stretch ends where the next starts.
        chosen: int64[k], each stretch's index into `sets`.
        sets: different lists of holders: the owner, the owner to come, replicas nearest first,
            far copies, archives.
        copies_wanted: nodes that the settings ask for, besides archives.
        copies_missing: how many of them some grain lacks because there are too few nodes.
    """

    starts: Int64s = field(compare=False)
    chosen: Int64s = field(compare=False)
    sets: tuple[tuple[str, ...], ...]
    copies_wanted: int
    copies_missing: int
    nodes: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Every node that holds something, sorted."""
    _spans: dict[str, Spans] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Node → the codes that it holds, once somebody has asked; at most one entry for each node."""

    def __post_init__(self) -> None:
        nodes = sorted({node for set_ in self.sets for node in set_})
        object.__setattr__(self, "nodes", tuple(nodes))

    @property
    def holders(self) -> tuple[tuple[str, ...], ...]:
        """The holders of each stretch; built anew on every use."""
        return tuple(self.sets[index] for index in self.chosen.tolist())

    def holders_of(self, codes: Int64s) -> Int64s:
        """int64[n]: index into `sets` for each code int64[n]."""
        return self.chosen[np.searchsorted(self.starts, codes, side="right") - 1]

    def holders_at(self, code: int) -> tuple[str, ...]:
        """The holders of one code."""
        assert 0 <= code < CODE_STOP, code
        return self.sets[int(self.chosen[np.searchsorted(self.starts, code, side="right") - 1])]

    def spans_with(self, wanted: Callable[[tuple[str, ...]], bool]) -> Spans:
        """The codes whose list of holders satisfies `wanted`; called once for each set."""
        hits = np.fromiter((wanted(holders) for holders in self.sets), np.bool_, len(self.sets))
        at = hits[self.chosen]
        ends = np.append(self.starts[1:], CODE_STOP)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], at, [False])).astype(np.int8)))
        return tuple(
            zip(self.starts[edges[::2]].tolist(), ends[edges[1::2] - 1].tolist(), strict=True)
        )

    def spans_of(self, node: str) -> Spans:
        """The codes that a node holds; looked for once, since every word of a node is about it."""
        spans = self._spans.get(node)
        if spans is None:
            if node not in self.nodes:
                return ()
            spans = self._spans[node] = self.spans_with(lambda holders: node in holders)
        return spans

    def stretches(self, spans: Spans) -> list[tuple[Span, tuple[str, ...]]]:
        """These codes cut where holders change: ((start, stop), holders), in curve order."""
        pieces: list[tuple[Span, tuple[str, ...]]] = []
        for start, stop in spans:
            at = int(np.searchsorted(self.starts, start, side="right"))
            end = int(np.searchsorted(self.starts, stop, side="left"))
            cuts = [start, *self.starts[at:end].tolist(), stop]
            chosen = self.chosen[at - 1 : end].tolist()
            pieces.extend(
                (piece, self.sets[index])
                for piece, index in zip(pairwise(cuts), chosen, strict=True)
            )
        return pieces


def holder_map(ring: Ring) -> HolderMap:
    """The holders of every code under this ring.

    Cost: below 5 ms for four quarters at grain level 8; grows with the length, in grains, of the
    borders between choices.
    """
    settings = ring.settings
    present = _placement(ring, [(span.start, span.stop, span.owner) for span in ring.spans])
    copies = present.mapped(lambda near_far: (near_far, near_far))
    if any(span.next is not None for span in ring.spans):
        coming = [(span.start, span.stop, span.next or span.owner) for span in ring.spans]
        copies = present.joined(_placement(ring, coming), lambda now, then: (now, then))
    holders = copies.mapped(lambda pair: _holders(*pair, archives=settings.archives))
    replicas = NEIGHBOURS_WANTED.get(settings.placement, settings.replicas)
    wanted = 1 + replicas + settings.far_copies
    fewest = min(len(near) + len(far) for near, far in present.values)
    return HolderMap(
        holders.starts,
        holders.chosen,
        holders.values,
        copies_wanted=wanted,
        copies_missing=max(0, wanted - fewest),
    )


def _holders(now: Copies, then: Copies, *, archives: Sequence[str]) -> tuple[str, ...]:
    """One list: owner, owner to come, replicas of both, far copies of both, archives."""
    near, far = now
    next_near, next_far = then
    order = (near[0], next_near[0], *near[1:], *next_near[1:], *far, *next_far, *archives)
    return tuple(dict.fromkeys(order))


def _placement(ring: Ring, owned: Sequence[tuple[int, int, str]]) -> Steps[Copies]:
    """Placement of one owner map: spans with their owners."""
    settings = ring.settings
    nodes = sorted({owner for _, _, owner in owned})
    number = {node: index for index, node in enumerate(nodes)}
    pieces: list[list[Span]] = [[] for _ in nodes]
    for start, stop, owner in owned:
        pieces[number[owner]].append((start, stop))
    areas = [normalise(spans) for spans in pieces]
    rectangles = areas_to_rectangles(areas, grain_level=ring.grain_level)
    if settings.placement == "halo":
        near = nearest_nodes(rectangles, grain_level=ring.grain_level, count=1 + settings.replicas)
    else:
        patterns = _neighbours(rectangles, kind=settings.placement, nodes=len(nodes))
        near = normal_steps(
            np.array([start for start, _, _ in owned], np.int64),
            np.array([number[owner] for _, _, owner in owned], np.int64),
            patterns,
        )

    def named(numbers: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(nodes[index] for index in numbers)

    if not settings.far_copies:
        return near.mapped(lambda numbers: (named(numbers), ()))

    def with_far(numbers: tuple[int, ...], farthest: tuple[int, ...]) -> Copies:
        others = [index for index in farthest if index not in numbers]
        return named(numbers), named(tuple(others[: settings.far_copies]))

    return near.joined(_farthest_nodes(rectangles, grain_level=ring.grain_level), with_far)


def _farthest_nodes(rectangles: Rectangles, *, grain_level: int) -> Steps[tuple[int, ...]]:
    """All nodes, farthest first, for the cells of a coarse level.

    A district is far larger than a grain, so far copies are chosen for cells of at most
    `FAR_LEVEL_MAX`, by the distance in grains between the cell and a node's nearest grain.
    """
    level = min(grain_level, FAR_LEVEL_MAX)
    side = 1 << (grain_level - level)
    cells = np.arange(1 << (2 * level), dtype=np.int64)
    nodes = np.unique(rectangles.node)
    distances = np.empty((len(nodes), len(cells)), np.int64)
    start = np.stack(code_to_xy(cells << (CODE_BITS - 2 * level))) >> (CODE_BITS // 2 - grain_level)
    for node in nodes.tolist():
        mine = rectangles.take(np.flatnonzero(rectangles.node == node))
        gap = np.maximum(
            mine.first[:, :, None] - (start + side - 1)[:, None, :],
            start[:, None, :] - mine.last[:, :, None],
        )
        distances[node] = (np.maximum(gap, 0) ** 2).sum(axis=0).min(axis=0)
    order = np.argsort(-distances, axis=0, kind="stable").T
    return normal_steps(
        cells << (CODE_BITS - 2 * level), cells, [tuple(row) for row in order.tolist()]
    )


def _neighbours(rectangles: Rectangles, *, kind: str, nodes: int) -> list[tuple[int, ...]]:
    """For each node itself and the nodes whose areas touch its own in the way of the pattern."""
    patterns: list[tuple[int, ...]] = []
    for node in range(nodes):
        mine = rectangles.take(np.flatnonzero(rectangles.node == node))
        # In whole grains, two rectangles that touch lie 1 apart on an axis, or 0 if they overlap.
        apart = np.maximum(
            rectangles.first[:, None, :] - mine.last[:, :, None],
            mine.first[:, :, None] - rectangles.last[:, None, :],
        )
        edge = (apart.max(axis=0) == 1) & (apart.min(axis=0) < 1)
        corner = (apart == 1).all(axis=0)
        along_edge = set(rectangles.node[edge.any(axis=0)].tolist()) - {node}
        at_corner = set(rectangles.node[corner.any(axis=0)].tolist()) - along_edge - {node}
        chosen = {"edge": along_edge, "corner": at_corner, "moore": along_edge | at_corner}[kind]
        patterns.append((node, *sorted(chosen)))
    return patterns
