"""Table N4: which neighbourhood a node that is cut off can serve, by placement.

On a grid of 7 × 7 equal squares with 16 × 16 grains each, the area that the middle node holds
copies of is compared with the circle of equal area around the node. Prints the published figures
beside ours and draws the served areas.

    python bench/placement_n4.py [--png placement_n4.png] [--json]
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_STOP, code_to_xy, xy_to_code
from zring.placement import holder_map
from zring.ring import Ring, RingSpan, Settings

NODES_ACROSS = 7
GRAINS_A_NODE = 16
GRAIN_LEVEL = 7
"""128 grains across; the grid needs 112, the rest belongs to a node that is left out."""
MIDDLE = "n3-3"
OUTSIDE = "outside"

PUBLISHED = {
    ("edge", 4): (5, 0.78, 0.75),
    ("corner", 4): (5, 0.42, 0.53),
    ("moore", 8): (9, 0.91, 1.53),
    ("halo", 2): (3, 0.91, 0.75),
    ("halo", 3): (4, 0.94, 1.03),
    ("halo", 4): (5, 0.92, 1.10),
    ("halo", 8): (9, 0.95, 1.59),
}
"""(placement, r) → storage, overlap with the circle of equal area, radius fully served."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; lengths in sides of a node's square."""

    placement: str
    replicas: int
    storage: float
    overlap: float
    radius: float
    published_storage: float
    published_overlap: float
    published_radius: float


def grid_ring(settings: Settings) -> Ring:
    """A ring in which every node owns one square of the grid."""
    grain_codes = CODE_STOP >> (2 * GRAIN_LEVEL)
    x, y = code_to_xy(np.arange(1 << (2 * GRAIN_LEVEL), dtype=np.int64))
    column, row = x // GRAINS_A_NODE, y // GRAINS_A_NODE
    spans = tuple(
        RingSpan(
            grain * grain_codes,
            (grain + 1) * grain_codes,
            f"n{c}-{r}" if c < NODES_ACROSS and r < NODES_ACROSS else OUTSIDE,
            None,
            0,
        )
        for grain, (c, r) in enumerate(zip(column.tolist(), row.tolist(), strict=True))
    )
    return Ring("n4", DEMO_DOMAIN, GRAIN_LEVEL, settings, spans)


def served_grains(placement: str, replicas: int) -> npt.NDArray[np.bool_]:
    """bool[112, 112]: grains of the grid, by x and y, that the middle node holds."""
    ring = grid_ring(Settings(placement=placement, replicas=replicas))
    holders = holder_map(ring)
    side = NODES_ACROSS * GRAINS_A_NODE
    at = np.arange(side, dtype=np.int64)
    grains = xy_to_code(at, 0 * at)[:, None] | xy_to_code(0 * at, at)[None, :]
    held = np.array([MIDDLE in found for found in holders.sets])
    return held[holders.holders_of(grains << ring.grain_bits)]


def measure(placement: str, replicas: int) -> tuple[Row, npt.NDArray[np.bool_]]:
    """One line of the table and the area behind it."""
    served = served_grains(placement, replicas)
    centres = (np.arange(len(served)) + 0.5) / GRAINS_A_NODE - NODES_ACROSS / 2
    squared = centres[:, None] ** 2 + centres[None, :] ** 2
    area = served.sum() / GRAINS_A_NODE**2
    overlap = (served & (squared <= area / np.pi)).sum() / served.sum()
    radius = float(np.sqrt(squared[~served].min()))
    published = PUBLISHED[placement, replicas]
    return Row(placement, replicas, float(area), float(overlap), radius, *published), served


def draw(rows: list[Row], areas: list[npt.NDArray[np.bool_]], path: Path) -> None:
    """Draw every served area with its circle of equal area."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import Circle

    figure, axes = plt.subplots(1, len(rows), figsize=(2.4 * len(rows), 3.2))
    reach = NODES_ACROSS / 2
    panels: list[Any] = list(axes)
    for row, served, panel in zip(rows, areas, panels, strict=True):
        extent = (-reach, reach, -reach, reach)
        panel.imshow(served.T, origin="lower", extent=extent, cmap="Blues", vmin=0, vmax=1.6)
        panel.add_patch(Circle((0, 0), np.sqrt(row.storage / np.pi), fill=False, ec="crimson"))
        panel.set_xticks(np.arange(-reach, reach + 1), [])
        panel.set_yticks(np.arange(-reach, reach + 1), [])
        panel.grid(color="grey", linewidth=0.4)
        panel.set_title(f"{row.placement} r={row.replicas}\noverlap {row.overlap:.2f}", fontsize=9)
    figure.suptitle("Area that the middle node serves when it is cut off", fontsize=10)
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--png", type=Path, default=Path("placement_n4.png"))
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    options = parser.parse_args()
    measured = [measure(placement, replicas) for placement, replicas in PUBLISHED]
    rows = [row for row, _ in measured]
    draw(rows, [served for _, served in measured], options.png)
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print("placement   storage          overlap          radius served")
    print("            ours published   ours published   ours published")
    for row in rows:
        print(
            f"{row.placement:7}r={row.replicas}  {row.storage:4.1f} {row.published_storage:9.0f}   "
            f"{row.overlap:4.2f} {row.published_overlap:9.2f}   "
            f"{row.radius:4.2f} {row.published_radius:9.2f}"
        )
    print(f"areas drawn to {options.png}")


if __name__ == "__main__":
    main()
