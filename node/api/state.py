"""What all handlers of one application share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from node.api.metrics import RequestMetrics
from node.config import Limits, Role
from node.service.service import Service
from zring.domain import Domain
from zring.ring import Ring


@dataclass(slots=True)
class State:
    """Handed to every handler under STATE.

    Attributes:
        cors: origins that may call from a browser; "*" is any.
        tokens: token → role; empty asks for none.
        body_bytes: of the bodies that are being received and decoded.
    """

    service: Service
    limits: Limits
    cors: tuple[str, ...]
    tokens: Mapping[str, Role]
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
