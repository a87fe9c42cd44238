"""Changing a cluster through one of its nodes; the documents are those of `/api`."""

from collections.abc import Sequence
from typing import Any

from node.client.channel import Channel


class Operations:
    """Plans, commits, aborts, tasks, repair, forget; reached as `client.operations`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def plan(self, kind: str, **details: Any) -> dict[str, Any]:
        """Plan a change and see what it would cost; nothing moves.

        Args:
            kind: join, leave, remove, rebalance, assign or settings.
            details: node, policy, archive, lon, lat, side_grains, bbox, accept_loss, replicas,
                placement, far_copies; those of None are left out.
        """
        given = {name: value for name, value in details.items() if value is not None}
        return self._channel.post_json("/cluster/plans", {"kind": kind, **given})

    def commit(self, plan: dict[str, Any], *, force: bool = False) -> dict[str, Any]:
        """Commit a plan as `plan` gave it; `force` in spite of objections."""
        return self._channel.post_json("/cluster/commit", {"plan": plan, "force": force})

    def tasks(self) -> dict[str, Any]:
        """What is under way in the whole cluster: moves, hand-overs, what is being filled.

        `settled` is true when nothing is, every member said so, and answers are complete.
        """
        return self._channel.json("/cluster/tasks", url=self._channel.url)

    def repair(
        self,
        *,
        bbox: Sequence[float] | None = None,
        from_: str | None = None,
        to: str | None = None,
        accept_loss: bool = False,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Have every member compare what it has with the others.

        Args:
            bbox, from_, to: only this area and these days (RFC 3339 with zone); default: all.
            accept_loss: give up what no node in contact has for certain: areas that answer
                `partial` answer with what is left.
            dry_run: only say what would be given up, and which nodes had it.
        """
        given: dict[str, Any] = {"accept_loss": accept_loss, "dry_run": dry_run}
        if bbox is not None:
            given["bbox"] = list(bbox)
        times = {name: text for name, text in (("from", from_), ("to", to)) if text is not None}
        return self._channel.post_json("/cluster/repair", {**given, **times})

    def forget(self, node: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Give up a removed member that died for good; the answer says what goes with it.

        Args:
            dry_run: only say so.
        """
        return self._channel.post_json("/cluster/forget", {"node": node, "dry_run": dry_run})

    def abort(self, bbox: Sequence[float] | None = None) -> dict[str, Any]:
        """Stop the moves that were not handed over yet, everywhere or in a box."""
        return self._channel.post_json(
            "/cluster/abort", {} if bbox is None else {"bbox": list(bbox)}
        )
