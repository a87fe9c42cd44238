"""The idea, pure: space as codes on a curve, a ring that owns them, and who keeps copies.

Nothing here knows a clock, a socket, a file, a task or global randomness; every function is a
value in, a value out, so that the same inputs give the same answer on every node.

Promises: (1) every code has exactly one owner; (2) rings merge the same way in any order and any
grouping, so two sides of a split agree without a vote; (3) equal ring digests mean equal holders
of every code; (4) a cover holds every code of its area and never more spans than asked for;
(5) nothing here moves a record: plans say what would move, and two changes of the ring move it.

Files, from the ground up: `morton` (interleaved codes), `domain` (rectangle, positions to
codes), `span` (sets of half-open code intervals), `area` (boxes, circles, polygons with an exact
test), `cover` (the spans that cover an area), `settings` and `ring` (who owns which span, merged
without a vote), `steps` and `nearness` (which nodes lie nearest to every grain), `placement` (who
holds copies), `load` (records by grain), `rectangle`, `join`, `bisection`, `heirs` (where an area
is cut), `levelling` (where borders move), `plan` and `plan_document` (changes of the ring as
values), `digest` (64-bit identities of records, buckets and documents), `fields` (documents read
with their types checked), `errors`.

What it does not do: it never decides from who is up. Reading, writing, moving and telling the
members apart live in `node`.
"""

from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any

try:
    __version__ = version("zring")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"


def connect(url: str, **options: Any) -> Any:
    """Open a client of the cluster behind `url` (the address of any node).

    The client is found through the entry point `zring.client`, so that this layer imports
    nothing above it. Options and methods are those of `node.client.Client`.
    """
    (entry_point,) = entry_points(group="zring.client", name="http")
    return entry_point.load()(url, **options)
