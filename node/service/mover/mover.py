"""The mover's door: which jobs run, and what others may ask of it."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from node.config import MoverSettings
from node.errors import NodeError
from node.protocol.letting_go import LettingGo
from node.protocol.outstanding import bounded
from node.protocol.throttle import Foreground
from node.protocol.word import spans_to_plain
from node.service.links import Links
from node.service.members import View
from node.service.mover.job import Job
from node.service.mover.link import Link
from node.service.mover.progress import PeerProgress, Progress
from node.service.mover.region import Region, regions_of
from node.service.mover.release import Release
from node.service.parts import Parts
from node.storage.bucket_digests import DAY_MAX, DAY_MIN
from zring.span import EVERYTHING, Spans, intersect, subtract

RETRY_MS = 500
RETRY_MS_MAX = 30_000
"""A peer that fails job after job (its disk is full) is tried again more and more seldom."""
DRAIN_FAILURES_MAX = 3
"""A holder to which so many jobs in a row have failed gets nothing more from a node that stops."""
POLL_MS = 50
"""Between two looks while somebody waits for the mover; only then."""

NOT_LOOKED = "has not looked yet whether it has what it does not hold"

log = logging.getLogger("zring.mover")


@dataclass(frozen=True, slots=True)
class MoverStatistics:
    """The mover as it is now.

    Attributes:
        peers: peer → its work; those with nothing to do and nothing done are left out.
        records_removed: let go of since the start.
        letting_go: what it waits for, in words; "" when nothing is to go.
    """

    peers: Mapping[str, PeerProgress]
    records_removed: int
    letting_go: str


@dataclass(slots=True)
class _Peer:
    """What is kept of one peer between jobs."""

    progress: Progress
    task: asyncio.Task[None] | None = None
    telling: bool = False
    failures: int = 0
    failed_ms: int = 0
    retry_at_ms: int = 0


class Mover:
    """Keeps every holder in step with this node."""

    def __init__(self, parts: Parts, links: Links, settings: MoverSettings) -> None:
        self._parts = parts
        self._links = links
        self._foreground = Foreground(settings.rest_share)
        self._letting_go = LettingGo(grain_level=parts.members.ring.grain_level, rules=parts.rules)
        # A pass has a progress of its own: what it writes there would stay after it as if a job
        # were at work.
        self._release = Release(parts, self._letting_go, lambda name: self._link(name, Progress()))
        self._peers: dict[str, _Peer] = {}
        self._nothing_to_say: View | None = None
        """The view by which everybody was in step, or owed something; a change of it is another."""
        self._check_interval_ms = settings.compare_interval_h * 3_600_000
        self._check_at_ms = parts.clock.now_ms() + self._check_interval_ms

    def start_due(self) -> None:
        """Start a job for every holder in contact with whom something is to be compared.

        Cheap when there is nothing to do; call it whenever a member, the ring or what is
        outstanding has changed, and from time to time.
        """
        members, now_ms = self._parts.members, self._parts.clock.now_ms()
        view = members.view()
        holders = set(view.holders.nodes)
        if now_ms >= self._check_at_ms:
            self._check_at_ms = now_ms + self._check_interval_ms
            for name in sorted(holders - {self._parts.node_id}):
                members.outstanding.check(name, view.holders.spans_of(name))
        for name in members.outstanding.holders():
            if name not in holders:
                members.outstanding.forget(name)
            elif name in view.standing.contact:
                peer = self._peer(name)
                if peer.task is None and self._may_try(name, peer, now_ms):
                    peer.task = self._parts.tasks.spawn(self._run(name, peer), name=f"move {name}")
        for name, peer in self._peers.items():
            if peer.task is not None and name not in view.standing.contact:
                peer.task.cancel()
        self._say_who_is_in_step()
        if self._jobs_idle:
            self._release.start_due()

    @property
    def idle(self) -> bool:
        """Whether no job runs, and nothing is left to let go of."""
        return self._jobs_idle and not self._release.pending

    @property
    def _jobs_idle(self) -> bool:
        return all(peer.task is None for peer in self._peers.values())

    def busy(self) -> bool:
        """Whether this node is serving people; told to the peers whose movers ask it."""
        now_ms = self._parts.clock.now_ms()
        return self._foreground.busy(self._parts.counters.served, now_ms=now_ms)

    def answered(self, name: str, size: int) -> None:
        """A long answer went out to a member: it counts for the link's rate."""
        self._links.budget(name).spend(size, now_ms=self._parts.clock.now_ms())

    def repair(
        self, spans: Spans = EVERYTHING, *, day_start: int = DAY_MIN, day_stop: int = DAY_MAX
    ) -> None:
        """Compare these codes and days with every other holder of them, whatever is known."""
        members = self._parts.members
        holders = members.view().holders
        for node in holders.nodes:
            held = intersect(spans, holders.spans_of(node))
            if node == self._parts.node_id:
                continue
            if (day_start, day_stop) == (DAY_MIN, DAY_MAX):
                members.outstanding.mark(node, held)
            else:
                members.outstanding.mark_days(node, held, day_start=day_start, day_stop=day_stop)
        self.start_due()

    async def settle(self, node: str, spans: Spans, *, deadline_ms: int) -> bool:
        """The last piece of a hand-over: all that this node has in these codes is at the node.

        Call it while no writes to these codes are taken here. Returns False when time is up or
        the node failed; nothing is lost then, and it may be tried again.
        """
        collections = sorted(self._parts.engine.statistics().collections)
        regions = [
            Region(name, bounded(spans), foreign)
            for name in collections
            for foreign in (False, True)
        ]
        left_ms = deadline_ms - self._parts.clock.now_ms()
        try:
            async with asyncio.timeout(max(0, left_ms) / 1_000):
                job = Job(self._parts, self._link(node, Progress()), self._letting_go)
                return await job.bring(regions)
        except (TimeoutError, NodeError):
            return False

    async def drain(self, *, deadline_ms: int) -> Mapping[str, Spans]:
        """Hand over what other holders may lack, before this node stops.

        Returns:
            Holder → codes in which it may still lack what this node has; empty when all is done.
        """
        members, clock = self._parts.members, self._parts.clock
        while clock.now_ms() < deadline_ms:
            self.start_due()
            contact = members.view().standing.contact
            waiting = contact.intersection(members.outstanding.holders())
            if all(self._peer(name).failures >= DRAIN_FAILURES_MAX for name in waiting):
                break
            await asyncio.sleep(POLL_MS / 1_000)
        return members.outstanding.summary()

    def statistics(self) -> MoverStatistics:
        """What every peer's work looks like."""
        peers = {
            name: peer.progress.frozen()
            for name, peer in sorted(self._peers.items())
            if peer.progress.records_moved or peer.progress.phase != "idle"
        }
        outstanding = self._parts.members.outstanding
        contact = self._parts.members.view().standing.contact
        for name in outstanding.holders():
            if name not in contact:
                away = Progress(phase="waiting", reason=f"{name} is away")
                peers[name] = away.frozen()
        return MoverStatistics(
            peers,
            records_removed=self._parts.counters.records_removed,
            letting_go=(self._release.reason or NOT_LOOKED) if self._release.pending else "",
        )

    async def _run(self, name: str, peer: _Peer) -> None:
        parts = self._parts
        work = parts.members.outstanding.work(name)
        collections = parts.engine.statistics().collections
        peer.progress = progress = peer.progress.next_job(
            now_us=parts.clock.now_us(), now_ms=parts.clock.now_ms()
        )
        link = self._link(name, progress)
        try:
            job = Job(parts, link, self._letting_go)
            await job.send_newest(work)
            if await job.bring(regions_of(work, collections)):
                parts.members.outstanding.done(work)
        except NodeError as error:
            peer.failures += 1
            wait_ms = min(RETRY_MS_MAX, RETRY_MS << min(peer.failures, 8))
            peer.failed_ms = parts.clock.now_ms()
            peer.retry_at_ms = peer.failed_ms + wait_ms
            progress.phase, progress.reason = "waiting", str(error)
            log.info("moving to %s goes on in %d ms: %s", name, wait_ms, error)
        else:
            peer.failures = 0
            progress.phase, progress.reason = "idle", ""
        finally:
            peer.task = None

    def _say_who_is_in_step(self) -> None:
        """Tell unfilled holders, where they are owed nothing, that they have all of this node's.

        Said again until they count as filled: what they have heard is gone after a start.
        """
        members, here = self._parts.members, self._parts.node_id
        view = members.view()
        if view is self._nothing_to_say:
            return
        self._nothing_to_say = view
        mine = view.standing.filled.get(here, ())
        for name, filled in view.standing.filled.items():
            if name == here or view.rings[name] != view.ring.digest():
                continue
            spans = subtract(intersect(view.holders.spans_of(name), mine), filled)
            spans = subtract(spans, members.outstanding.owed(name)) if spans else ()
            peer = self._peer(name)
            if spans:
                self._nothing_to_say = None
            if spans and not peer.telling:
                peer.telling = True
                self._parts.tasks.spawn(self._tell(name, peer, spans), name=f"in step {name}")

    async def _tell(self, name: str, peer: _Peer, spans: Spans) -> None:
        parts = self._parts
        store_id, instance = parts.members.store_at(name)
        plain = spans_to_plain(spans)
        try:
            if store_id:
                await parts.peers.call(
                    parts.members.address_of(name),
                    "in_step",
                    {"target_store": store_id, "instance": instance, "spans": plain},
                    deadline_ms=parts.clock.now_ms() + parts.limits.peer_timeout_ms,
                )
        except NodeError:
            return
        finally:
            peer.telling = False

    def _may_try(self, name: str, peer: _Peer, now_ms: int) -> bool:
        """Whether the pause after a failure is over. It is when the peer answers again: what
        failed while it did not says nothing of now."""
        if peer.failures and self._parts.members.health.members[name].back_ms >= peer.failed_ms:
            peer.failures, peer.retry_at_ms = 0, now_ms
        return peer.retry_at_ms <= now_ms

    def _peer(self, name: str) -> _Peer:
        peer = self._peers.get(name)
        if peer is None:
            peer = self._peers[name] = _Peer(Progress(phase="idle"))
        return peer

    def _link(self, name: str, progress: Progress) -> Link:
        return Link(
            self._parts,
            name,
            budget=self._links.budget(name),
            foreground=self._foreground,
            progress=progress,
        )
