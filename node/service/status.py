"""What a node shows of the cluster: frozen values for status pages, commands and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

from node.protocol.roster import MemberState
from node.query import Coverage
from node.service.parts import Parts
from node.storage.engine import EngineStatistics
from zring.ring import Ring
from zring.span import EVERYTHING, Spans, subtract


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """One member as this node sees it.

    Attributes:
        state: `alive`, `suspect` (did not answer lately, still in contact) or `away`.
        since_us: when it entered that state, microseconds; for `away` the last contact.
        life: what it says of itself: starting, serving, draining, or left: out of the ring and
            without a record, so that it can be stopped; "" while it was never heard.
        incarnation: rises with each life of the node, and when it answers a wrong suspicion.
        link_cut: others reach it, this node itself does not.
        url, peer_address: where clients and peers reach it; "" when unknown.
        records: rows in its store, copies of others included.
        store_id, sequence: of its store.
        unfilled: codes that it holds and for which its store is not filled.
        owns, holds: codes that it owns, and those that it keeps copies of (its own included).
        owed: places (cell × 16 days) and marks that this node still has to compare with it.
    """

    node: str
    state: MemberState
    since_us: int
    life: str
    incarnation: int
    link_cut: bool
    url: str
    peer_address: str
    records: int
    store_id: str
    sequence: int
    unfilled: Spans
    owns: Spans
    holds: Spans
    owed: int


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """The cluster as one node sees it.

    Attributes:
        members: sorted by node, this one included.
        coverage: what an answer over the whole domain would say now.
        refusals: address → why what answers there is not taken for a member.
    """

    node: str
    ring: Ring
    ring_digest: int
    members: tuple[MemberStatus, ...]
    coverage: Coverage
    store: EngineStatistics
    counters: Mapping[str, int]
    refusals: Mapping[str, str]


def look(parts: Parts, *, started_us: int) -> ClusterStatus:
    """The cluster as it is known here now."""
    members = parts.members
    view = members.view()
    names = sorted({*view.ring.members(), *members.health.members, parts.node_id})
    return ClusterStatus(
        node=parts.node_id,
        ring=view.ring,
        ring_digest=view.ring.digest(),
        members=tuple(_member(parts, name, started_us=started_us) for name in names),
        coverage=coverage_everywhere(parts),
        store=parts.engine.statistics(),
        counters=parts.counters.frozen(),
        refusals=dict(sorted(members.refusals.items())),
    )


def coverage_everywhere(parts: Parts) -> Coverage:
    """What an answer from the whole domain would say now."""
    view = parts.members.view()
    return parts.members.coverage(view, view.readers.route_spans(EVERYTHING))


def _member(parts: Parts, name: str, *, started_us: int) -> MemberStatus:
    members = parts.members
    view = members.view()
    owns, holds = view.ring.owned(name), view.holders.spans_of(name)
    unfilled = subtract(holds, members.filled_of(name))
    if name == parts.node_id:
        statistics = parts.engine.statistics()
        return MemberStatus(
            node=name,
            state="alive",
            since_us=started_us,
            life=members.word().life,
            incarnation=members.health.membership.word.incarnation,
            link_cut=False,
            url=members.url,
            peer_address=members.address,
            records=statistics.records,
            store_id=statistics.store_id,
            sequence=statistics.sequence,
            unfilled=unfilled,
            owns=owns,
            holds=holds,
            owed=0,
        )
    member = members.health.members[name]
    word = member.word
    return MemberStatus(
        node=name,
        state=member.state,
        since_us=members.health.since_us(name),
        life=word.life if word else "",
        incarnation=member.incarnation,
        link_cut=name in members.health.membership.cut,
        url=word.url if word else "",
        peer_address=member.address,
        records=word.records if word else 0,
        store_id=member.store_id,
        sequence=member.sequence,
        unfilled=unfilled,
        owns=owns,
        holds=holds,
        owed=members.outstanding.counts().get(name, 0),
    )
