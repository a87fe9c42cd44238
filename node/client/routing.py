"""The ring as a client sees it: which node to ask, which node to send a record to.

A routing mistake costs one forwarding hop and never an answer, because every node forwards what
it does not own. So a client may use an old ring until a node's `Zring-Ring` header shows another
digest.
"""

import itertools
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from node.errors import PeerRefused
from zring.domain import Domain
from zring.errors import ZringError
from zring.morton import CODE_STOP, Int64s, code_to_xy, xy_to_code

SPLITS_MAX = 32
"""Steps of the search for a box's owners; a box with more borders is asked of any of them."""
REMEMBERED_BOXES_MAX = 4_096
"""Boxes whose owners are remembered; programs ask for the same boxes again and again."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class RingView:
    """Spans of the ring with their owners' URLs.

    Attributes:
        starts: sorted first codes of the spans; span i ends where span i + 1 starts.
        owners: index into `names` of each span's owner.
        urls: name → URL, only of nodes that are not away.
    """

    digest: str
    domain: Domain
    starts: tuple[int, ...]
    owners: tuple[int, ...]
    names: tuple[str, ...]
    urls: Mapping[str, str]
    _starts_array: Int64s
    _owners_array: npt.NDArray[np.intp]
    _boxes: dict[Box, tuple[int, ...]] = field(default_factory=dict)
    _turn: "itertools.count[int]" = field(default_factory=itertools.count)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "RingView":
        """Read the answer of `/cluster/ring`.

        Raises:
            PeerRefused: when it is something else.
        """
        try:
            west, south, east, north = document["domain"]
            spans = sorted((int(span["start"]), span["owner"]) for span in document["spans"])
            names = tuple(sorted({owner for _, owner in spans}))
            positions = {name: index for index, name in enumerate(names)}
            starts = tuple(start for start, _ in spans)
            owners = tuple(positions[owner] for _, owner in spans)
            return cls(
                digest=str(document["digest"]),
                domain=Domain.from_degrees(west=west, south=south, east=east, north=north),
                starts=starts,
                owners=owners,
                names=names,
                urls={
                    entry["id"]: entry["url"].rstrip("/")
                    for entry in document["nodes"]
                    if entry.get("url") and entry.get("state") != "away"
                },
                _starts_array=np.array(starts, np.int64),
                _owners_array=np.array(owners, np.intp),
            )
        except (AttributeError, KeyError, TypeError, ValueError, ZringError) as error:
            raise PeerRefused(f"/cluster/ring is no ring of a zring node: {error!r}") from None

    def stop_of(self, place: int) -> int:
        """Where a span ends."""
        return self.starts[place + 1] if place + 1 < len(self.starts) else CODE_STOP

    def box_owners(self, box: Box) -> tuple[int, ...]:
        """Sorted indices of the nodes that own a part of a closed e7 box; all when in doubt."""
        found = self._boxes.get(box)
        if found is None:
            found = self._search_owners(box)
            if len(self._boxes) >= REMEMBERED_BOXES_MAX:
                self._boxes.clear()
            self._boxes[box] = found
        return found

    def url_for_box(self, box: Box | None) -> str | None:
        """The owner of the whole box, else one of its owners in turn; None when all are away."""
        owners = range(len(self.names)) if box is None else self.box_owners(box)
        first = 0 if len(owners) == 1 else next(self._turn)
        for step in range(len(owners)):
            url = self.urls.get(self.names[owners[(first + step) % len(owners)]])
            if url is not None:
                return url
        return None

    def position_owners(self, *, lon: Int64s, lat: Int64s) -> npt.NDArray[np.intp]:
        """Index int[n] of the owner of each e7 position; -1 outside the domain."""
        inside = self.domain.contains(lon=lon, lat=lat)
        owners = np.full(len(lon), -1, np.intp)
        codes = self.domain.positions_to_codes(lon=lon[inside], lat=lat[inside])
        at = np.searchsorted(self._starts_array, codes, side="right") - 1
        owners[inside] = self._owners_array[at]
        return owners

    def _search_owners(self, box: Box) -> tuple[int, ...]:
        domain = self.domain
        west, south = max(box[0], domain.west), max(box[1], domain.south)
        east, north = min(box[2], domain.east), min(box[3], domain.north)
        if west > east or south > north:
            return tuple(range(len(self.names)))
        # The grid is that of the curve; corners of a box have its least and its greatest code.
        x_low, y_low = code_to_xy(domain.position_to_code(lon=west, lat=south))
        x_high, y_high = code_to_xy(domain.position_to_code(lon=east, lat=north))
        found: set[int] = set()
        waiting = [(x_low, y_low, x_high, y_high)]
        for _ in range(SPLITS_MAX):
            if not waiting:
                return tuple(sorted(found))
            part = waiting.pop()
            low, high = xy_to_code(part[0], part[1]), xy_to_code(part[2], part[3])
            first, last = bisect_right(self.starts, low) - 1, bisect_right(self.starts, high)
            owners = set(self.owners[first:last])
            if len(owners) == 1 or owners <= found:
                found |= owners
            else:
                waiting.extend(_halves(part, low ^ high))
        return tuple(range(len(self.names)))


def _halves(part: Box, difference: int) -> tuple[Box, Box]:
    """A grid box cut where the curve jumps most: at its greatest cell border."""
    x_low, y_low, x_high, y_high = part
    bit = difference.bit_length() - 1
    # Longitude has the more significant bit of each pair: the odd ones.
    if bit % 2:
        cut = x_high >> (bit // 2) << (bit // 2)
        return (x_low, y_low, cut - 1, y_high), (cut, y_low, x_high, y_high)
    cut = y_high >> (bit // 2) << (bit // 2)
    return (x_low, y_low, x_high, cut - 1), (x_low, cut, x_high, y_high)
