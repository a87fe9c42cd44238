"""When a batch is acknowledged: the accounting of copies per holder set.

`w` counts disks: `one` is any disk, `quorum` more than half of the holders, `all` as many as
there are holders. A keeper's disk counts as one, because promise 1 is about disks; that the
copy does not lie where it belongs is what `outstanding` is for.
"""

from collections.abc import Iterable, Sequence

from node.errors import DeadlineExceeded, PeerUnreachable
from node.query import WriteLevel, WriteReply


def copies_needed(w: WriteLevel, holders: int) -> int:
    """Disks that a record of `holders` holders must be on before it is acknowledged."""
    assert holders >= 1, holders
    return {"one": 1, "quorum": holders // 2 + 1, "all": holders}[w]


def spreader(
    holders: Sequence[str], *, here: str, contact: frozenset[str], failed: frozenset[str]
) -> str:
    """The node that takes a record first and owes the other holders their copies.

    This node where it is a holder itself, else the first holder in contact that has not failed
    during this write, else this node as keeper.
    """
    if here in holders and here not in failed:
        return here
    for node in holders:
        if node in contact and node not in failed:
            return node
    return here


class Tally:
    """Copies of one batch at the node that spreads it.

    Args:
        sets: the holder sets that occur in the batch, owner first, and the records of each.
        here: the node that spreads; it counts once `stored` was called for it.
        w: what the caller asked for.
    """

    __slots__ = ("_durable", "_here", "_lacking", "_pending", "_sets", "_w")

    def __init__(self, sets: Sequence[tuple[str, ...]], *, here: str, w: WriteLevel) -> None:
        self._sets = tuple(sets)
        self._here = here
        self._w = w
        self._durable: set[str] = set()
        self._pending: set[str] = set()
        self._lacking: dict[str, str] = {}

    def absent(self, node: str) -> None:
        """A holder is away; nothing is sent to it."""
        self._lacking[node] = PeerUnreachable.reason

    def sent(self, node: str) -> None:
        """A copy is on its way to a holder."""
        self._pending.add(node)

    def stored(self, node: str) -> None:
        """A node has every record that was meant for it on its disk."""
        self._pending.discard(node)
        self._durable.add(node)

    def failed(self, node: str, reason: str) -> None:
        """A node has not confirmed its copy, and will not; it may or may not have it."""
        self._pending.discard(node)
        self._lacking[node] = reason

    def enough(self) -> bool:
        """Whether every record is on as many disks as `w` asks for."""
        return self._here in self._durable and all(
            self._copies(holders) >= copies_needed(self._w, len(holders)) for holders in self._sets
        )

    def settled(self) -> bool:
        """Whether waiting on can change nothing that the caller asked for.

        That is: every record is on enough disks and its owner, who answers reads, has answered
        too; or nobody is left to wait for.
        """
        if not self._pending:
            return True
        return self.enough() and not any(holders[0] in self._pending for holders in self._sets)

    def pending(self) -> list[str]:
        """Nodes whose answer is still out, sorted."""
        return sorted(self._pending)

    def reply(self, records: int) -> WriteReply:
        """The answer as things stand."""
        copies = [self._copies(holders) for holders in self._sets]
        needed = [copies_needed(self._w, len(holders)) for holders in self._sets]
        durable = self._here in self._durable
        enough = durable and all(have >= need for have, need in zip(copies, needed, strict=True))
        late = {} if enough else dict.fromkeys(self._pending, DeadlineExceeded.reason)
        return WriteReply(
            stored=records if durable else 0,
            copies_wanted=min((len(holders) for holders in self._sets), default=0),
            copies_durable=min(copies, default=0),
            acknowledged=enough,
            lacking=dict(sorted((self._lacking | late).items())),
        )

    def _copies(self, holders: tuple[str, ...]) -> int:
        disks = self._durable.intersection(holders)
        return len(disks) + (self._here in self._durable and self._here not in holders)


def merge_replies(replies: Iterable[WriteReply], *, records: int) -> WriteReply:
    """One answer for a batch whose parts were taken by several nodes.

    Args:
        records: records of the whole batch; those that no reply counts were not stored.
    """
    parts = list(replies)
    lacking: dict[str, str] = {}
    for part in parts:
        lacking |= part.lacking
    stored = sum(part.stored for part in parts)
    return WriteReply(
        stored=stored,
        copies_wanted=min((part.copies_wanted for part in parts), default=0),
        copies_durable=min((part.copies_durable for part in parts), default=0)
        if stored == records
        else 0,
        acknowledged=stored == records and all(part.acknowledged for part in parts),
        lacking=dict(sorted(lacking.items())),
    )
