"""What this node remembers of the stores of all nodes, and what its word tells of that."""

from collections.abc import Mapping
from typing import Any

import msgpack

from node.protocol.filled import STORES_AWAY_MAX, remember_store, stores_told
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
        self._told: dict[str, StoreSeen] | None = None

    def find(self, node: str) -> StoreSeen | None:
        """What is remembered of a node's store."""
        return self._seen.get(node)

    def take(self, word: Word) -> None:
        """A node has another word."""
        seen = self._seen.get(word.node)
        self._set(word.node, remember_store(seen, word))

    def heard(self, header: Mapping[str, Any]) -> None:
        """A member's reply says how far its store is: nothing that it has told is forgotten."""
        node, instance = str(header.get("node")), header.get("instance")
        seen, sequence = self._seen.get(node), header.get("sequence")
        if (
            seen is not None
            and (seen.store_id, seen.instance) == (header.get("store"), instance)
            and isinstance(sequence, int)
            and sequence > seen.sequence
        ):
            self._set(node, seen._replace(sequence=sequence))

    def forget(self, node: str) -> None:
        """A member was given up."""
        self._seen.pop(node, None)
        self._told = None

    def told(self, members: Roster, holders: HolderMap) -> Mapping[str, StoreSeen]:
        """What a word tells, sorted; the same object until something changes, but in a cluster
        with a long past."""
        if len(self._seen) > STORES_AWAY_MAX:
            return self._chosen(members, holders)
        if self._told is None:
            self._told = dict(sorted(self._seen.items()))
        return self._told

    def changed_document(self) -> bytes | None:
        """What a next life must know, where more than sequences has changed."""
        lives = self._lives()
        if lives == self._persisted:
            return None
        self._persisted = lives
        return bytes(msgpack.packb(dict(sorted(self._seen.items()))))

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
