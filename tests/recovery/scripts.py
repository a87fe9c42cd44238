"""The scripts: what is broken, for how long, and what is put right again.

A script breaks things through the stage and leaves everything healed; the stage then waits for the
cluster to find its place and judges. `make_cluster` starts only the nodes that `started` names.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from node.cli.main import main as zring_command
from tests.recovery.stage import Stage
from tests.recovery.truth import Truth
from zring.domain import Domain
from zring.morton import CODE_STOP, code_to_xy
from zring.placement import holder_map

Z_VALUES = (0.249, 0.49, 0.5, 0.75)
FLAPS = 12
CLOCK_OFFSET_S = 600.0
FOUR = ("n1", "n2", "n3", "n4")


@dataclass(frozen=True, slots=True)
class Script:
    """One script.

    Attributes:
        needs: actions that the cluster must offer.
        seconds, records: sizes where none are given.
        started: how many of the founders run when it begins; None is all.
        short: part of the set that every test run has.
        commands: of `zring` that must exist.
    """

    name: str
    text: str
    run: Callable[[Stage], None]
    needs: frozenset[str]
    seconds: float = 20.0
    records: int = 40_000
    started: int | None = None
    short: bool = False
    commands: tuple[str, ...] = ()

    def exists(self) -> bool:
        """Whether this version of zring has what the script is about."""
        return set(self.commands) <= set(zring_command.list_commands(None))  # type: ignore[arg-type]


def four_z_values(stage: Stage) -> None:
    """Four records stored on the first node alone find their nodes when these start."""
    first, domain = stage.names[0], stage.ring_of(stage.names[0]).domain
    positions = [position_of(domain, value) for value in Z_VALUES]
    truth = Truth(
        len(Z_VALUES),
        domain,
        lon=np.array([lon for lon, _ in positions]),
        lat=np.array([lat for _, lat in positions]),
    )
    load = stage.begin(truth)
    load.groups = {first: frozenset((first,))}
    with stage.cluster.client(first) as client:
        load.write(client, first, (0, len(truth)), "one")
        load.next = len(truth)
        held = len(client.stored(truth.collection))
    stage.verdict.notes.append(f"{held} records on {first} before the others start")
    for name in stage.names[1:]:
        stage.cluster.start(name)
    stage.wait_alive()
    _tell_places(stage)


def _tell_places(stage: Stage) -> None:
    """Wait a while until each record is on its owner; say where each is."""
    assert stage.truth is not None and stage.ring is not None
    holders = holder_map(stage.ring)
    deadline_s = time.monotonic() + stage.sizes.recover_s
    while stage.unsettled() and time.monotonic() < deadline_s:
        time.sleep(0.5)
    found = {}
    for name in stage.names:
        with stage.cluster.client(name) as client:
            found[name] = set(
                stage.truth.find(client.stored(stage.truth.collection)).numbers.tolist()
            )
    for number, value in enumerate(Z_VALUES):
        code = int(stage.truth.code[number])
        on = [name for name in stage.names if number in found[name]]
        stage.verdict.notes.append(
            f"Z {value:<5} is on {', '.join(on)}; its owner is {stage.ring.owner_of(code)}, "
            f"its holders {', '.join(sorted(holders.holders_at(code)))}"
        )


def position_of(domain: Domain, value: float) -> tuple[int, int]:
    """The position in e7 where a Z value lies."""
    x, y = code_to_xy(int(value * CODE_STOP))
    lon = domain.west - (-x * (domain.east - domain.west) >> 31)
    lat = domain.south - (-y * (domain.north - domain.south) >> 31)
    return lon, lat


def isolate(stage: Stage) -> None:
    """One node is cut off; both sides go on writing and asking."""
    victim = stage.names[0]
    with stage.under_load():
        stage.isolate(victim)
        stage.wait()
    stage.check_alone([[victim]])
    stage.rejoin(victim)


def hand_back(stage: Stage) -> None:
    """One node is cut off and comes back while records go on arriving."""
    victim = stage.names[0]
    with stage.under_load() as load:
        whole_s = time.monotonic()
        stage.wait(0.3)
        stage.isolate(victim)
        first = load.next
        stage.wait(0.4)
        stage.rejoin(victim)
        stage.watch_hand_over(victim, first=first, last=load.next, whole_s=whole_s)


def site_broker(stage: Stage) -> None:
    """A site whose uplink is cut goes on storing from its own broker."""
    site, others = stage.names[0], stage.names[1:]
    load = stage.begin()
    load.fill(len(load.truth) // 4)
    broker = stage.cluster.give_broker(site, load.truth.collection)
    stage.wait_alive()
    stage.isolate(site)
    stage.wait_away(site, others)
    first, last = load.next, load.next + len(load.truth) // 4
    load.next = last
    load.start(rate=(len(load.truth) - last) / stage.sizes.seconds, doors=others)
    try:
        stage.publish(broker, site, first, last)
        stage.wait()
        stage.check_alone([[site]])
    finally:
        load.stop()
    stage.rejoin(site)


def halves(stage: Stage) -> None:
    """Two and two."""
    _split(stage, [stage.names[:2], stage.names[2:]])


def singles(stage: Stage) -> None:
    """Each alone."""
    _split(stage, [[name] for name in stage.names])


def _split(stage: Stage, groups: list[list[str]]) -> None:
    with stage.under_load():
        stage.split(groups)
        stage.wait()
    stage.check_alone(groups)
    stage.join(groups)


def one_way(stage: Stage) -> None:
    """What the first node sends to the others is lost; it hears all of them."""
    first, others = stage.names[0], stage.names[1:]
    with stage.under_load():
        for other in others:
            stage.cluster.cut_way(first, other)
        stage.wait()
        for other in others:
            stage.cluster.heal_way(first, other)


def flapping(stage: Stage) -> None:
    """A cable that comes and goes."""
    victim = stage.names[0]
    with stage.under_load():
        for _ in range(FLAPS):
            stage.cluster.cut(victim)
            stage.wait(0.5 / FLAPS)
            stage.cluster.heal(victim)
            stage.wait(0.5 / FLAPS)


def pause(stage: Stage) -> None:
    """A node stands still and goes on as if nothing had been."""
    victim = stage.names[1]
    with stage.under_load([name for name in stage.names if name != victim]):
        stage.cluster.pause(victim)
        stage.wait()
        stage.cluster.resume(victim)


def kill_each(stage: Stage) -> None:
    """Each node in turn is killed and started again."""
    share = 1.0 / len(stage.names)
    with stage.under_load():
        for name in stage.names:
            stage.cluster.kill(name)
            stage.wait(share / 2)
            stage.cluster.start(name)
            stage.wait_alive()
            stage.wait(share / 2)


def wipe(stage: Stage) -> None:
    """A disk is lost with everything on it."""
    victim = stage.names[2]
    with stage.under_load():
        stage.wait(0.3)
        stage.cluster.kill(victim)
        stage.cluster.wipe(victim)
        stage.wait(0.3)
        stage.cluster.start(victim)
        stage.wait(0.4)


def clock(stage: Stage) -> None:
    """A node whose clock is ten minutes ahead, and another whose is ten minutes behind."""
    ahead, behind = stage.names[1], stage.names[2]
    for name, offset_s in ((ahead, CLOCK_OFFSET_S), (behind, -CLOCK_OFFSET_S)):
        stage.cluster.stop(name)
        stage.cluster.set_clock(name, offset_s)
        stage.cluster.start(name)
    stage.wait_alive()
    with stage.under_load() as load:
        load.offsets_s = {ahead: CLOCK_OFFSET_S, behind: -CLOCK_OFFSET_S}
        stage.wait(0.5)
        stage.cluster.kill(ahead)
        stage.wait(0.2)
        stage.cluster.start(ahead)
        stage.wait(0.3)


def both_sides_join(stage: Stage) -> None:
    """Each half of a split cluster takes in a node of its own."""
    groups = [stage.names[:2], stage.names[2:]]
    joined = ["n5", "n6"]
    with stage.under_load():
        for name in joined:
            stage.add(name)
        whole = [[*group, name] for group, name in zip(groups, joined, strict=True)]
        stage.split(whole)
        for group, name in zip(groups, joined, strict=True):
            _change(stage, group[0], "join", name)
        stage.wait()
    stage.join(whole)


def grow_and_shrink(stage: Stage) -> None:
    """A fifth node joins, then one leaves, while records arrive and queries run."""
    with stage.under_load():
        stage.add("n5")
        _change(stage, stage.names[0], "join", "n5")
        _wait_moved(stage, "n5", owns=True)
        _change(stage, stage.names[0], "leave", stage.names[1])
        _wait_moved(stage, stage.names[1], owns=False)


def _change(stage: Stage, door: str, kind: str, node: str) -> None:
    assert stage.load is not None
    stage.load.holders = None
    with stage.cluster.client(door) as client:
        client.operations.commit(client.operations.plan(kind, node=node))


def _wait_moved(stage: Stage, node: str, *, owns: bool) -> None:
    """Wait until a node owns something, or nothing, and no span waits for its next owner."""
    deadline_s = time.monotonic() + stage.sizes.recover_s
    started_s = time.monotonic()
    while True:
        ring = stage.ring_of(stage.names[0])
        if bool(ring.owned(node)) == owns and not any(span.next for span in ring.spans):
            break
        if time.monotonic() > deadline_s:
            stage.verdict.problems.append(f"the move of {node} does not end under load")
            return
        time.sleep(0.5)
    stage.verdict.notes.append(
        f"{node} {'owns its area' if owns else 'owns nothing'} after "
        f"{time.monotonic() - started_s:.1f} s under load"
    )


SCRIPTS: tuple[Script, ...] = (
    Script("z-values", "four Z values stored on node 1 alone, then the others start",
           four_z_values, frozenset(("start",)), started=1, seconds=1, records=4),
    Script("isolate", "one of four is cut off, both sides under load",
           isolate, frozenset(("cut",)), seconds=30, records=60_000, short=True),
    Script("hand-back", "one of four is cut off and comes back under load",
           hand_back, frozenset(("cut",)), seconds=30, records=120_000),
    Script("site-broker", "a site that is cut off goes on storing from its own MQTT broker",
           site_broker, frozenset(("cut", "stop", "broker")), short=True),
    Script("halves", "two and two", halves, frozenset(("cut_way",)), short=True),
    Script("singles", "four single nodes", singles, frozenset(("cut_way",))),
    Script("one-way", "what one node sends is lost, what it is sent arrives",
           one_way, frozenset(("cut_way",))),
    Script("flapping", "a link that comes and goes", flapping, frozenset(("cut",)), seconds=30),
    Script("pause", "a node stands still for a minute", pause, frozenset(("pause",)), seconds=60),
    Script("kill-each", "kill -9 of each node in turn", kill_each, frozenset(("kill", "start")),
           seconds=24),
    Script("wipe", "the disk of one node is lost", wipe,
           frozenset(("kill", "wipe", "start")), short=True),
    Script("clock", "two nodes with clocks ten minutes off", clock,
           frozenset(("stop", "start", "kill", "clock"))),
    Script("both-join", "both halves of a split take in a node", both_sides_join,
           frozenset(("add", "cut_way")), commands=("join",)),
    Script("grow-shrink", "a fifth node joins and one leaves under load", grow_and_shrink,
           frozenset(("add",)), seconds=40, records=270_000, commands=("join", "leave")),
)  # fmt: skip
