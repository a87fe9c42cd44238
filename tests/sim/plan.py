"""How long, how large and how wild a life is; drawn from its seed where nobody says."""

from dataclasses import dataclass, replace
from random import Random

from node.protocol.rules import ALL_RULES, Rules
from zring.settings import Settings

SIZES = (3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 6, 7, 8, 9)
"""Nodes at the birth; small clusters more often, since there most links matter."""
REPLICAS = (0, 1, 1, 2, 2, 2, 3)
STEPS_OF_FOUR = 100
"""Actions of a life of four nodes; larger clusters get fewer, so that lives cost alike."""
STEPS_MIN = 55
PATTERN_SHARE = 0.15
FAR_SHARE = 0.1
ARCHIVE_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided before a life begins.

    Attributes:
        nodes: at its birth, archives included.
        settings: of the founding ring.
        steps: actions before peace; one follows another after up to `pause_ms`.
        faults: share of actions that break or mend something.
        settle_s: virtual time that is allowed for everything to reach its place.
        rules: those in force; all of them, but where somebody wants to see one missed.
    """

    nodes: int = 4
    settings: Settings = Settings()  # noqa: RUF009 - frozen, as this class
    steps: int = STEPS_OF_FOUR
    pause_ms: float = 400.0
    faults: float = 0.12
    settle_s: float = 120.0
    rules: Rules = ALL_RULES

    def words(self) -> str:
        """Its size, for a line of output."""
        settings = self.settings
        archives = f" {len(settings.archives)} archive" if settings.archives else ""
        far = f" far {settings.far_copies}" if settings.far_copies else ""
        return f"{self.nodes} nodes {settings.placement} r={settings.replicas}{far}{archives}"


def drawn_plan(
    seed: int,
    *,
    nodes: int | None = None,
    replicas: int | None = None,
    steps: int | None = None,
    rules: Rules = ALL_RULES,
) -> Plan:
    """The plan of a seed: 3 to 9 nodes, 0 to 3 replicas, every placement, sometimes an archive.

    Args:
        nodes, replicas, steps: instead of what the seed draws.
    """
    rng = Random(f"{seed} plan")
    drawn = rng.choice(SIZES)
    pattern = rng.choice(("edge", "corner", "moore"))
    settings = Settings(
        placement=pattern if rng.random() < PATTERN_SHARE else "halo",
        replicas=rng.choice(REPLICAS),
        far_copies=1 if rng.random() < FAR_SHARE else 0,
        archives=(f"n{drawn}",) if rng.random() < ARCHIVE_SHARE else (),
    )
    if nodes is not None:
        settings = replace(settings, archives=())
    if replicas is not None:
        settings = replace(settings, replicas=replicas, placement="halo")
    nodes = nodes or drawn
    steps = steps or max(STEPS_MIN, STEPS_OF_FOUR * 4 // max(nodes, 4))
    return Plan(nodes, settings, steps, rules=rules)
