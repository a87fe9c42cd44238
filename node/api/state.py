"""What all handlers of one application share."""

from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from node.api.metrics import RequestMetrics
from node.api.security import Access
from node.config import Limits
from node.peer.http import HttpTransport
from node.service.service import Service
from zring.domain import Domain
from zring.ring import Ring


@dataclass(slots=True)
class State:
    """Handed to every handler under STATE.

    Attributes:
        cors: origins that may call from a browser; "*" is any.
        access: whose tokens let in whom.
        peer_door: the peer port, for its counts and refusals; None where there is none.
        data: the store's folder, to list damaged stores beside it; None where there is none.
        body_bytes: of the bodies that are being received and decoded.
    """

    service: Service
    limits: Limits
    cors: tuple[str, ...]
    access: Access
    peer_door: HttpTransport | None = None
    data: Path | None = None
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
    body_bytes: int = 0
    _ring: Ring | None = None
    _ring_text: str = ""

    @property
    def domain(self) -> Domain:
        """The cluster's rectangle."""
        return self.service.ring.domain

    def ring_text(self) -> str:
        """The ring's digest as clients compare it; computed once per ring."""
        ring = self.service.ring
        if ring is not self._ring:
            self._ring, self._ring_text = ring, f"{ring.digest():016x}"
        return self._ring_text


STATE: web.AppKey[State] = web.AppKey("state", State)
