"""The network seam between nodes: one call, one reply.

`node.peer.http` is the real one; `tests/sim` has the simulated one; both pass
`tests/unit/node/peer/test_transport_contract.py`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a reply between nodes.

    Attributes:
        kind: the verb of a request ("probe", "store", "scan", "aggregate", …); "" in a reply.
        header: small, msgpack-able control fields; unknown ones are ignored by readers.
            Every request carries `from` (node id), `ring` (digest) and `deadline_ms` (what is
            left of it); every reply carries `ring`.
        body: records as an Arrow IPC stream, or empty.
    """

    kind: str
    header: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | memoryview = b""


Handler = Callable[[Message], Awaitable[Message]]
Arriving = Callable[[str], None]
"""Told, by its name, of a node of which bytes are just arriving; cheap, and never raises."""


def nobody_listens(_node: str) -> None:
    """Where nobody wants to know."""


class Transport(Protocol):
    """Sends messages to peers by address and hands received ones to one handler."""

    async def start(self, handler: Handler, arriving: Arriving = nobody_listens) -> None:
        """Begin to receive. An error of the tree in `node.errors` that the handler raises is
        carried to the caller and raised there again as the same class.

        Args:
            arriving: told of the sender while more and more of a long message arrives.
        """

    async def call(
        self,
        address: str,
        message: Message,
        *,
        timeout_ms: int,
        arriving: Arriving = nobody_listens,
    ) -> Message:
        """Send a message and wait for its reply, at most `timeout_ms`.

        Cancelling the call cancels the handler at the other end.

        Args:
            arriving: told of the node that answers at every piece of its reply.
        Raises:
            PeerUnreachable: no connection, or it broke, or time is up; it may have been acted on.
            PeerRefused: the peer answered with an error that has no class here.
            NodeError: any error class the peer's handler raised.
        """

    async def close(self) -> None:
        """Stop receiving, let go of all connections."""
