"""Findings as pictures: ours beside what others need for the same work."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.finding import Finding

FOLDER = Path(__file__).parents[1] / "docs" / "images"
OURS, OTHERS = "#1f77b4", "#b8bec6"
COLUMNS = 2
TITLE_LETTERS = 92
NAME_LETTERS = 44


def draw_findings(findings: Sequence[Finding], path: Path) -> None:
    """A panel for each finding that has references: one bar for each way, the best on top."""
    pyplot = svg_pyplot()
    compared = [finding for finding in findings if finding.references]
    if not compared:
        return
    rows = -(-len(compared) // COLUMNS)
    figure, axes = pyplot.subplots(
        rows, COLUMNS, figsize=(6.2 * COLUMNS, 1.9 * rows), squeeze=False, layout="constrained"
    )
    for axis, finding in zip(axes.flat, compared, strict=False):
        _bars(axis, finding)
    for axis in axes.flat[len(compared) :]:
        axis.axis("off")
    save(figure, path)


def draw_lateness(
    late_s: npt.NDArray[np.float64], *, rate: float, bar_s: float, path: Path
) -> None:
    """Seconds from sent to stored, in order of sending at `rate` a second."""
    figure, axis = svg_pyplot().subplots(figsize=(8, 3), layout="constrained")
    axis.plot(np.arange(len(late_s)) / rate, late_s, color=OURS, linewidth=0.8)
    axis.axhline(bar_s, color="crimson", linestyle=":", label=f"bar, p95: {bar_s:g} s")
    axis.axhline(np.percentile(late_s, 95), color="black", linewidth=0.8, label="p95")
    axis.set_xlabel("sent after (s)")
    axis.set_ylabel("stored after (s)")
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    save(figure, path)


def _bars(axis: Any, finding: Finding) -> None:
    ways = [("zring", finding.ours), *finding.references.items()]
    ways.sort(key=lambda way: way[1], reverse=finding.better == "lower")
    names = [_short(name, NAME_LETTERS) for name, _ in ways]
    colours = [OURS if name == "zring" else OTHERS for name, _ in ways]
    bars = axis.barh(range(len(ways)), [value for _, value in ways], color=colours)
    axis.bar_label(bars, labels=[_text(value) for _, value in ways], fontsize=7)
    axis.set_yticks(range(len(ways)), names, fontsize=7)
    axis.margins(x=0.18)
    axis.set_xticks([])
    title = _short(finding.work, TITLE_LETTERS)
    axis.set_title(f"{title}\n{finding.unit}", fontsize=7.5, loc="left")
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 2].rstrip()} …"


def _text(value: float) -> str:
    return f" {value:,.0f}" if abs(value) >= 1_000 else f" {value:.3g}"


def svg_pyplot() -> Any:
    """matplotlib, drawing SVG; imported where it is needed only."""
    import matplotlib

    matplotlib.use("svg")
    # Letters, not outlines; and names that are the same in every run.
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "zring"}
    from matplotlib import pyplot

    return pyplot


def save(figure: Any, path: Path) -> None:
    """Write a figure, the same bytes for the same picture, and let go of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    svg_pyplot().close(figure)
