"""Changing a cluster through one of its nodes; the documents are those of `/api`."""

from collections.abc import Sequence
from typing import Any

from node.client.channel import Channel


class Operations:
    """Plans, commits, aborts; reached as `client.operations`."""

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

    def abort(self, bbox: Sequence[float] | None = None) -> dict[str, Any]:
        """Stop the moves that were not handed over yet, everywhere or in a box."""
        return self._channel.post_json(
            "/cluster/abort", {} if bbox is None else {"bbox": list(bbox)}
        )
