"""What a figure found: our value, the references', the bar, and whether it holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        figure: the command that measures it again: `python -m bench <figure>`.
        work: what was done, in words.
        ours: measured here; `unit` says in what.
        better: whether a lower or a higher value is better.
        references: name → the same work by others in the same run.
        compared: the reference that the bar names; None when the bar is absolute.
        bar: the promise in words.
        holds: whether it was kept; None for figures that only inform.
        details: other numbers that belong to it.
    """

    figure: str
    work: str
    ours: float
    unit: str
    bar: str
    holds: bool | None
    better: Better = "lower"
    references: Mapping[str, float] = field(default_factory=dict)
    compared: str | None = None
    details: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times better than the compared reference we are; below 1 is worse."""
        if self.compared is None or self.ours <= 0:
            return None
        other = self.references[self.compared]
        return other / self.ours if self.better == "lower" else self.ours / other


def fastest(references: Mapping[str, float], *names: str) -> str:
    """The name of the lowest of these references."""
    return min((name for name in names if name in references), key=lambda name: references[name])
