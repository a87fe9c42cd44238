"""What a script found: counts, wrong words, and whether all of it is as promised."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StoreCount:
    """One node's disk when the script ended.

    Attributes:
        records: of this run.
        expected: those of them and of all stored ones that it should hold.
        missing: it should hold them and does not.
        misplaced: it has them and should not.
        twice: listed more than once.
        altered: other values or positions than were sent.
    """

    records: int
    expected: int
    missing: int
    misplaced: int
    twice: int
    altered: int

    @property
    def right(self) -> bool:
        """Exactly what it should hold."""
        return not (self.missing or self.misplaced or self.twice or self.altered)


@dataclass(frozen=True, slots=True)
class Stores:
    """All disks: `stored` different records, `lost` acknowledged ones that are on none."""

    stored: int
    lost: int
    nodes: Mapping[str, StoreCount]

    @property
    def right(self) -> bool:
        """Everything acknowledged is on every holder and on no other node, once."""
        return not self.lost and all(count.right for count in self.nodes.values())


@dataclass(slots=True)
class AloneCount:
    """Answers of a node that was cut off, inside its area and halo."""

    wanted: int = 0
    found: int = 0
    answers: int = 0

    @property
    def percent(self) -> float:
        """Of what it had received."""
        return 100.0 * self.found / self.wanted if self.wanted else 100.0


@dataclass(slots=True)
class Verdict:
    """The result of one script; `problems` are sentences, none means passed.

    Attributes:
        words: coverage word → answers that said it, asked while the load ran.
        words_wrong: of those, answers that lacked what their word promises.
        recovery_s: from the end of the last fault until every disk, ring and word was right.
    """

    script: str
    cluster: str
    sent: int = 0
    acknowledged: int = 0
    write_errors: int = 0
    stores: Stores | None = None
    alone: AloneCount | None = None
    words: dict[str, int] = field(default_factory=dict)
    words_wrong: int = 0
    answers_wrong: int = 0
    read_errors: int = 0
    recovery_s: float | None = None
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Nothing was found."""
        return not self.problems

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"passed": self.passed, **asdict(self)}

    def lines(self) -> list[str]:
        """For people."""
        shown = [
            f"{self.script}: {self.cluster}",
            f"  sent          {self.sent:>9,}",
            f"  acknowledged  {self.acknowledged:>9,}   (attempts that failed and were repeated: "
            f"{self.write_errors:,})",
        ]
        if self.stores is not None:
            shown.append(f"  stored        {self.stores.stored:>9,}   lost {self.stores.lost:,}")
            shown.extend(
                f"    on {name:<9} {count.records:>9,}   of {count.expected:,} to hold; missing "
                f"{count.missing:,}, on the wrong node {count.misplaced:,}, twice {count.twice:,}, "
                f"altered {count.altered:,}"
                for name, count in sorted(self.stores.nodes.items())
            )
        if self.alone is not None:
            shown.append(
                f"  while cut off {self.alone.found:>9,}   of {self.alone.wanted:,} in its area "
                f"and halo ({self.alone.percent:.2f} %), {self.alone.answers} answers"
            )
        if self.words:
            words = ", ".join(f"{word} {count:,}" for word, count in sorted(self.words.items()))
            shown.append(
                f"  answers       {sum(self.words.values()):>9,}   ({words}); wrong "
                f"{self.answers_wrong}, wrong words {self.words_wrong}, "
                f"no answer {self.read_errors}"
            )
        recovery = "not reached" if self.recovery_s is None else f"{self.recovery_s:.1f} s"
        shown.append(f"  recovered in  {recovery}   (whole script {self.seconds:.0f} s)")
        shown.extend(f"  {note}" for note in self.notes)
        shown.extend(f"  PROBLEM: {problem}" for problem in self.problems)
        shown.append(f"  {'PASSED' if self.passed else 'FAILED'} {self.script}")
        return shown
