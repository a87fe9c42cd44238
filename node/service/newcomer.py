"""The first ring of a node: the store's, a founder's own, or for a newcomer that of its seeds.

A newcomer waits until one of them answers: one that made up a ring of its own would bring claims
into the cluster that nobody made.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from node.errors import NodeError, PeerRefused
from node.peer.identity import OTHER_CLUSTER
from node.peer.transport import Message, Transport
from node.service.holding import META_RING
from node.storage.engine import Engine
from zring.domain import Domain
from zring.errors import DifferentCluster, InvalidDocument
from zring.ring import Ring, Settings, founding_ring, from_document

RETRY_S = 2.0
"""Between two rounds of asking; a site that is being set up is watched by a person."""

log = logging.getLogger("zring.newcomer")


@dataclass(frozen=True, slots=True)
class Birth:
    """What a node's settings say of the cluster that it belongs to.

    Attributes:
        founders: in curve order; none for a newcomer.
        settings: of the founding ring.
    """

    cluster_id: str
    domain: Domain
    grain_level: int
    founders: tuple[str, ...] = ()
    settings: Settings = Settings()  # noqa: RUF009 - frozen, as this class


async def first_ring(
    birth: Birth,
    engine: Engine,
    transport: Transport,
    seeds: Sequence[str],
    *,
    node_id: str,
    timeout_ms: int,
) -> Ring:
    """The ring to begin with; for a newcomer it may take as long as no seed answers.

    Raises:
        DifferentCluster: the seeds belong to another cluster, domain or grain level.
    """
    stored = engine.read_meta(META_RING)
    if stored is not None:
        return from_document(stored)
    if birth.founders or not seeds:
        return founding_ring(
            birth.cluster_id,
            birth.domain,
            birth.grain_level,
            birth.founders or (node_id,),
            birth.settings,
        )
    return await fetch_ring(birth, transport, seeds, node_id=node_id, timeout_ms=timeout_ms)


async def fetch_ring(
    birth: Birth, transport: Transport, seeds: Sequence[str], *, node_id: str, timeout_ms: int
) -> Ring:
    """The ring of the cluster that the seeds belong to; waits as long as none of them answers.

    Raises:
        DifferentCluster: a seed answers that belongs to another cluster, domain or grain level.
    """
    request = Message("get_ring", {"from": node_id, "ring": 0, "deadline_ms": timeout_ms})
    while True:
        for seed in seeds:
            try:
                reply = await transport.call(seed, request, timeout_ms=timeout_ms)
                ring = from_document(bytes(reply.body))
            except (NodeError, InvalidDocument) as error:
                if isinstance(error, PeerRefused) and error.peer_reason in OTHER_CLUSTER:
                    raise DifferentCluster(f"seed {seed}: {error}") from None
                log.warning("asking %s for the ring: %s; trying on", seed, error)
                continue
            if (ring.cluster_id, ring.domain, ring.grain_level) != (
                birth.cluster_id,
                birth.domain,
                birth.grain_level,
            ):
                raise DifferentCluster(
                    f"seed {seed} is of cluster {ring.cluster_id}, domain "
                    f"{ring.domain.describe()}, grain level {ring.grain_level}; this node is set "
                    f"to cluster {birth.cluster_id}, domain {birth.domain.describe()}, grain "
                    f"level {birth.grain_level}: correct the settings or the seeds"
                )
            return ring
        await asyncio.sleep(RETRY_S)
