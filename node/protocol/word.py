"""What a node says of itself, and how it looks between nodes.

As plain values a word is a list. Places are append-only and those beyond the last are ignored:

    0 node, 1 cluster, 2 incarnation, 3 version, 4 store id, 5 sequence, 6 birth, 7 address, 8 url,
    9 records, 10 ring digest, 11 clock_us, 12 life (index in `LIVES`), 13 filled: spans,
    14 owed: {holder: spans}, 15 stores: {node: [store id, sequence, instance, earlier]},
    16 location: [lon, lat] in e7, or nil; absent in words of older versions
    17 instance, 18 found: absent in words of older versions
    19 forgotten: {node: incarnation}: absent in words of older versions

Spans are a flat list: the number of low bits that are 0 in all ends, then the ends without these
bits, each as the difference from the one before it: areas of whole grains cost few bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate, chain
from operator import or_, sub
from typing import Any, Literal, NamedTuple, cast

from node.errors import BadRequest
from zring.domain import E7_PER_DEGREE
from zring.morton import CODE_BITS, CODE_STOP
from zring.span import Spans

StoreAt = tuple[str, int]
"""Id of a store and the instance of the process that has it open."""
NO_STORE: StoreAt = ("", 0)

Life = Literal["starting", "serving", "draining", "left"]
LIVES: tuple[Life, ...] = ("starting", "serving", "draining", "left")

NAMES_MAX = 20_000
"""Nodes that one word may name: twice the largest cluster that the scale model runs."""
SPANS_MAX = 4 << 20
"""Spans of one list that is accepted; a ring of a million grains falls far below."""


class StoreSeen(NamedTuple):
    """What a member remembers of another one's store.

    Attributes:
        sequence: the greatest that was seen; of the process `instance`, or of one before it.
        earlier: the greatest that was seen of processes before that one.
    """

    store_id: str
    sequence: int
    instance: int = 0
    earlier: int = 0

    def before(self, instance: int) -> int:
        """The greatest sequence that was seen of a process before this one.

        0 names no process: of it nothing may have been seen yet.
        """
        return self.earlier if instance and instance == self.instance else self.sequence


@dataclass(frozen=True, slots=True)
class Word:
    """What a node says of itself.

    Attributes:
        incarnation: rises with each life of the node, and when it answers a wrong suspicion; at
            first the second of its start, so that a wiped disk does not begin anew.
        version: rises with each change of content within an incarnation.
        store_id, sequence: of its store and its last durable log entry.
        birth: its `filled` is by birth: a founder's first store that was never verified since.
        address, url: where peers and clients reach it.
        records: rows in its store, copies of others included.
        clock_us: its wall clock.
        filled: codes for which its store is filled; may include some that it no longer holds.
        owed: holder → spans in which that holder may lack records that this node has; bounded.
        stores: node → what it remembers of that node's store.
        instance: random number of its process; 0 where nobody says.
        found: the sequence that this process found in the store when it opened it.
        forgotten: member that a person gave up → the incarnation up to which (`forgotten`).
        location: where it stands (lon, lat; e7), for plans; None where nobody said.
    """

    node: str
    cluster: str
    store_id: str
    sequence: int
    incarnation: int = 0
    version: int = 0
    birth: bool = False
    address: str = ""
    url: str = ""
    records: int = 0
    ring_digest: int = 0
    clock_us: int = 0
    life: Life = "serving"
    filled: Spans = ()
    owed: Mapping[str, Spans] = field(default_factory=dict)
    stores: Mapping[str, StoreSeen] = field(default_factory=dict)
    location: tuple[int, int] | None = None
    instance: int = 0
    found: int | None = None
    forgotten: Mapping[str, int] = field(default_factory=dict)

    @property
    def store(self) -> StoreAt:
        """Its store, in the process that has it open."""
        return self.store_id, self.instance

    @property
    def stamp(self) -> tuple[int, int]:
        """Of two words of one node the one with the greater stamp is the newer."""
        return self.incarnation, self.version


def store_of_reply(header: Mapping[str, Any]) -> StoreAt:
    """Which store and process a reply came from; others than any where it does not say."""
    store_id, instance = header.get("store"), header.get("instance")
    if isinstance(store_id, str) and isinstance(instance, int):
        return store_id, instance
    return "", -1


def word_to_plain(word: Word) -> list[Any]:
    """A word as values that msgpack packs."""
    return [
        word.node,
        word.cluster,
        word.incarnation,
        word.version,
        word.store_id,
        word.sequence,
        word.birth,
        word.address,
        word.url,
        word.records,
        word.ring_digest,
        word.clock_us,
        LIVES.index(word.life),
        spans_to_plain(word.filled),
        {holder: spans_to_plain(spans) for holder, spans in sorted(word.owed.items())},
        {node: list(known) for node, known in sorted(word.stores.items())},
        None if word.location is None else list(word.location),
        word.instance,
        word.found,
        dict(sorted(word.forgotten.items())),
    ]


def plain_to_word(plain: object) -> Word:
    """Undo `word_to_plain`.

    Raises:
        BadRequest: a place is absent, of another type, or too large.
    """
    if not isinstance(plain, list | tuple) or len(plain) < 16:
        raise BadRequest("a node's word is no list of 16 places", field="word")
    places = _Places(plain)
    life = places.number(12)
    if life >= len(LIVES):
        raise _malformed(12, life)
    return Word(
        node=places.name(0),
        cluster=places.text(1),
        incarnation=places.number(2),
        version=places.number(3),
        store_id=places.text(4),
        sequence=places.number(5),
        birth=bool(places.number(6)),
        address=places.text(7),
        url=places.text(8),
        records=places.number(9),
        ring_digest=places.number(10),
        clock_us=places.number(11),
        life=LIVES[life],
        filled=plain_to_spans(plain[13]),
        owed={holder: plain_to_spans(spans) for holder, spans in places.entries(14)},
        stores={node: _store(known) for node, known in places.entries(15)},
        location=_location(plain[16]) if len(plain) > 16 else None,
        instance=places.number(17) if len(plain) > 17 else 0,
        found=places.number(18) if len(plain) > 18 and plain[18] is not None else None,
        forgotten=_forgotten(places.entries(19)) if len(plain) > 19 else {},
    )


def spans_to_plain(spans: Spans) -> list[int]:
    """Spans as a flat list of small numbers; empty for none."""
    if not spans:
        return []
    ends = list(chain.from_iterable(spans))
    combined = reduce(or_, ends)
    shift = (combined & -combined).bit_length() - 1
    short = [end >> shift for end in ends]
    return [shift, short[0], *map(sub, short[1:], short)]


def plain_to_spans(plain: object) -> Spans:
    """Undo `spans_to_plain`.

    Raises:
        BadRequest: it is no such list.
    """
    if not isinstance(plain, list | tuple) or len(plain) > 2 * SPANS_MAX + 1:
        raise BadRequest("spans in a node's word are no list, or too many", field="word")
    if not plain:
        return ()
    if len(plain) < 3 or len(plain) % 2 == 0 or not _all_counts(plain):
        raise BadRequest("spans in a node's word are malformed", field="word")
    shift = plain[0]
    if shift > CODE_BITS:
        raise _malformed(13, shift)
    ends = [end << shift for end in accumulate(plain[1:])]
    if 0 in plain[2:] or ends[-1] > CODE_STOP:
        raise BadRequest("spans in a node's word are not in order", field="word")
    return tuple(zip(ends[::2], ends[1::2], strict=True))


def _all_counts(values: Sequence[object]) -> bool:
    """Whether all are integers from 0; there is at least one."""
    return set(map(type, values)) == {int} and min(cast("Sequence[int]", values)) >= 0


@dataclass(frozen=True, slots=True)
class _Places:
    plain: list[Any] | tuple[Any, ...]

    def text(self, place: int) -> str:
        value = self.plain[place]
        if not isinstance(value, str) or len(value) > 2_048:
            raise _malformed(place, value)
        return value

    def name(self, place: int) -> str:
        value = self.text(place)
        if not value:
            raise _malformed(place, value)
        return value

    def number(self, place: int) -> int:
        value = self.plain[place]
        if not isinstance(value, int) or value < 0:
            raise _malformed(place, value)
        return value

    def entries(self, place: int) -> list[tuple[str, object]]:
        value = self.plain[place]
        if not isinstance(value, dict) or len(value) > NAMES_MAX or not all(map(_is_name, value)):
            raise _malformed(place, value)
        return cast("list[tuple[str, object]]", sorted(value.items()))


def _is_name(value: object) -> bool:
    return bool(value) and isinstance(value, str)


def _store(known: object) -> StoreSeen:
    if isinstance(known, list | tuple) and len(known) >= 2:
        store_id, *numbers = known[:4]
        if isinstance(store_id, str) and _all_counts(numbers):
            return StoreSeen(store_id, *numbers)
    raise _malformed(15, known)


def _forgotten(entries: list[tuple[str, object]]) -> dict[str, int]:
    incarnations: dict[str, int] = {}
    for node, incarnation in entries:
        if type(incarnation) is not int or incarnation < 0:
            raise _malformed(19, incarnation)
        incarnations[node] = incarnation
    return incarnations


def _location(known: object) -> tuple[int, int] | None:
    if known is None:
        return None
    if isinstance(known, list | tuple) and len(known) == 2:
        lon, lat = known
        if (
            type(lon) is int
            and type(lat) is int
            and abs(lon) <= 180 * E7_PER_DEGREE
            and abs(lat) <= 90 * E7_PER_DEGREE
        ):
            return lon, lat
    raise _malformed(16, known)


def _malformed(place: int, value: object) -> BadRequest:
    return BadRequest(f"place {place} of a node's word is {str(value)[:100]!r}", field="word")
