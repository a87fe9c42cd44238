"""Who was refused, by this node or by others, and why: for status, log and audit."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from node.errors import NodeError, PeerRefused

log = logging.getLogger("zring.peer")
SHOWN_MAX = 64
"""Refusals that are remembered; older ones are in the audit log."""
REPEAT_S = 60.0
"""The same refusal is told again after this long; a wrong node asks every second."""
FORGET_S = 600.0
"""A refusal that was not repeated for this long is no longer shown."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal.

    Attributes:
        remote: the address that was called, or that the call came from.
        node: as the other one calls itself; "" where it did not say so credibly.
        here: whether this node refused, or was refused.
        count: how often since it was last told.
    """

    remote: str
    node: str
    here: bool
    reason: str
    message: str
    count: int


Listener = Callable[[Refusal], None]


@dataclass(slots=True)
class _Entry:
    told_s: float
    last_s: float
    message: str
    count: int = 0


class Refusals:
    """Bounded memory of refusals; tells a listener of each, but not of every repetition."""

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = listener
        self._entries: OrderedDict[tuple[str, str, bool, str], _Entry] = OrderedDict()

    def note(self, error: NodeError, *, remote: str, node: str, here: bool, now_s: float) -> None:
        """Remember one; `error` is what the other side gets or gave."""
        reason = error.peer_reason if isinstance(error, PeerRefused) else error.reason
        key = (remote, node, here, reason)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(now_s - REPEAT_S, now_s, str(error))
            if len(self._entries) > SHOWN_MAX:
                self._entries.popitem(last=False)
        entry.last_s, entry.message = now_s, str(error)
        entry.count += 1
        self._entries.move_to_end(key)
        if now_s - entry.told_s < REPEAT_S:
            return
        refusal = Refusal(remote, node, here, reason, str(error), entry.count)
        entry.told_s, entry.count = now_s, 0
        who = f"{node or 'a caller'} at {remote}"
        if here:
            log.warning("refused %s: %s", who, error)
        else:
            log.warning("refused by %s: %s", who, error)
        if self._listener is not None:
            self._listener(refusal)

    def clear(self, remote: str, node: str) -> None:
        """That one is accepted now."""
        for key in [key for key in self._entries if key[:2] in ((remote, node), (remote, ""))]:
            del self._entries[key]

    def shown(self, now_s: float) -> Mapping[str, str]:
        """Address (and node) → why it was refused lately, sorted."""
        shown: dict[str, list[str]] = {}
        for (remote, node, here, reason), entry in sorted(self._entries.items()):
            if now_s - entry.last_s < FORGET_S:
                who = f"{node}@{remote}" if node else remote
                side = "" if here else "refused us: "
                shown.setdefault(who, []).append(f"{side}{reason}: {entry.message}")
        return MappingProxyType({who: "; ".join(texts) for who, texts in shown.items()})
