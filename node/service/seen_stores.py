"""What this node remembers of the stores of all nodes, and what its word tells of that.

A wiped node starts with a new store that claims to be filled by birth, and must hear of the store
that it had: so the former one stays remembered, and is told, until the claim is given up. How far
the new one has come is remembered besides: it may be put back from an image before that.
"""

from collections.abc import Mapping
from typing import Any

import msgpack

from node.protocol.filled import STORES_AWAY_MAX, is_restored, remember_store, stores_told
from node.protocol.roster import NEVER_MS, Roster
from node.protocol.word import StoreSeen, Word
from zring.placement import HolderMap


class SeenStores:
    """Node → the store that it had when it was last heard.

    Args:
        document: what a former life of this node kept; None for nothing.
    """

    def __init__(self, document: bytes | None) -> None:
        known = {} if document is None else msgpack.unpackb(document)
        self._seen = {node: StoreSeen(*seen) for node, seen in known.items()}
        self._persisted = self._lives()
        self._born: dict[str, StoreSeen] = {}
        """Stores with a claim by birth that is not believed: another one is remembered. Kept in
        memory only, as is what their nodes were given: after a start all is compared anew."""
        self._told: dict[str, StoreSeen] | None = None

    def find(self, node: str) -> StoreSeen | None:
        """What is remembered of a node's store."""
        return self._seen.get(node)

    def take(self, word: Word) -> bool:
        """A node has another word; returns whether its store is an old image of one seen."""
        node = word.node
        seen, born = self._seen.get(node), self._born.get(node)
        restored = any(
            known is not None and known.instance != word.instance and is_restored(word, known)
            for known in (seen, born)
        )
        if born is not None and born.store_id != word.store_id:
            born = None
        if seen is not None and seen.store_id != word.store_id and word.birth:
            self._born[node] = remember_store(born, word)
        else:
            self._born.pop(node, None)
            self._set(node, remember_store(born or seen, word))
        return restored

    def heard(self, header: Mapping[str, Any]) -> None:
        """A member's reply says how far its store is: nothing that it has told is forgotten."""
        node, sequence = str(header.get("node")), header.get("sequence")
        store = header.get("store"), header.get("instance")
        if not isinstance(sequence, int):
            return
        seen, born = self._seen.get(node), self._born.get(node)
        if seen is not None and (seen.store_id, seen.instance) == store:
            self._set(node, seen._replace(sequence=max(seen.sequence, sequence)))
        elif born is not None and (born.store_id, born.instance) == store:
            self._born[node] = born._replace(sequence=max(born.sequence, sequence))

    def forget(self, node: str) -> None:
        """A member was given up."""
        self._seen.pop(node, None)
        self._born.pop(node, None)
        self._told = None

    def told(self, members: Roster, holders: HolderMap) -> Mapping[str, StoreSeen]:
        """What a word tells, sorted; the same object until something changes, but in a cluster
        with a long past."""
        if len(self._seen) > STORES_AWAY_MAX:
            return self._chosen(members, holders)
        return self._told_all()

    def changed_document(self) -> bytes | None:
        """What a next life must know, where more than sequences has changed."""
        lives = self._lives()
        if lives == self._persisted:
            return None
        self._persisted = lives
        return bytes(msgpack.packb(dict(sorted(self._seen.items()))))

    def _told_all(self) -> Mapping[str, StoreSeen]:
        if self._told is None:
            self._told = dict(sorted(self._seen.items()))
        return self._told

    def _set(self, node: str, seen: StoreSeen) -> None:
        if seen != self._seen.get(node):
            self._seen[node] = seen
            self._told = None

    def _chosen(self, members: Roster, holders: HolderMap) -> Mapping[str, StoreSeen]:
        found = {node: members.find(node) for node in self._seen}
        away = {
            node: NEVER_MS if member is None else member.heard_ms
            for node, member in found.items()
            if member is None or member.state == "away"
        }
        return stores_told(
            self._seen, kept=found.keys() - away.keys() | set(holders.nodes), away=away
        )

    def _lives(self) -> dict[str, tuple[str, int]]:
        return {node: (seen.store_id, seen.instance) for node, seen in self._seen.items()}
