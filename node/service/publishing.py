"""Bringing a ring into force: durable here first, then told to the members in contact.

Whoever is not told, or cannot be reached, learns of it with the next exchange of digests.
"""

import asyncio

from node.errors import NodeError
from node.service.parts import Parts
from zring.ring import Ring, to_document


async def publish(parts: Parts, ring: Ring) -> Ring:
    """Merge a ring into the one in force, tell the others, and return what is in force now.

    Raises:
        StoreFull: nothing has changed.
    """
    await parts.members.holding.change(ring)
    await tell_ring(parts)
    return parts.members.ring


async def tell_ring(parts: Parts, *, first: str | None = None) -> None:
    """Give the ring in force to the members in contact, to one of them before the others."""
    members = parts.members
    contact = members.view().standing.contact - {parts.node_id}
    document = to_document(members.ring)

    async def tell(node: str) -> None:
        try:
            await parts.peers.call(
                members.address_of(node),
                "ring",
                {},
                document,
                deadline_ms=parts.clock.now_ms() + parts.limits.peer_timeout_ms,
            )
        except NodeError:
            return

    if first in contact:
        await tell(first)
    await asyncio.gather(*(tell(node) for node in sorted(contact - {first})))
