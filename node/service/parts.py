"""The parts that everything in a node's service shares."""

from dataclasses import dataclass

from node.clock import Clock
from node.config import Limits
from node.protocol.rules import Rules
from node.service.counters import Counters
from node.service.members import Members
from node.service.peers import Peers
from node.service.tasks import Tasks
from node.storage.engine import Engine
from zring.domain import Domain


@dataclass(frozen=True, slots=True)
class Parts:
    """One node's identity, store, clock and view of the others.

    `tasks` is the one group that owns every background task; it exists while the node runs.
    """

    node_id: str
    domain: Domain
    engine: Engine
    clock: Clock
    limits: Limits
    members: Members
    peers: Peers
    counters: Counters
    tasks: Tasks
    rules: Rules
