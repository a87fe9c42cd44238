"""The newest of what a peer is known to lack: over a slow line it goes before any comparison.

Over a line of a second's delay a comparison takes ten seconds and more before the first record can
be sent, and whoever waits at the other end wants to know how things stand now. Copies that failed
are known to be lacking, so one message of the newest of them goes at once. Another node may have
brought some of it meanwhile; that costs one message and changes nothing.
"""

from collections.abc import Mapping

import numpy as np

from node.records import Rows
from node.storage.engine import Engine, Scan
from zring.span import Spans

COLLECTIONS_MAX = 8
"""So many collections get a message each, those with the newest records first."""
LOOK_US = 60_000_000
"""How far back the first look goes; the next ones twice as far each."""
READ_ROWS_MAX = 20_000
LOOKS_MAX = 16
"""The last look goes back 22 days."""


def newest_rows(
    engine: Engine, lacking: Mapping[str, Spans], *, until_us: int, rows_max: int
) -> list[tuple[str, Rows]]:
    """The newest records of some codes, by collection, newest first.

    Args:
        lacking: collection → codes.
        until_us: what claims to be later has a wrong clock, and waits for the comparison.
        rows_max: of each collection.
    """
    times = {name: engine.newest_time(name, until=until_us) for name in sorted(lacking)}
    known = [(time_us, name) for name, time_us in times.items() if time_us is not None]
    found: list[tuple[str, Rows]] = []
    for time_us, name in sorted(known, reverse=True)[:COLLECTIONS_MAX]:
        rows = _newest_of(engine, name, lacking[name], newest_us=time_us, rows_max=rows_max)
        if rows is not None:
            found.append((name, rows))
    return found


def _newest_of(
    engine: Engine, collection: str, spans: Spans, *, newest_us: int, rows_max: int
) -> Rows | None:
    """Looks back further and further until there is enough, or too much for one read."""
    rows: Rows | None = None
    for look in range(LOOKS_MAX):
        scan = Scan(
            collection,
            time_start=newest_us - (LOOK_US << look),
            time_stop=newest_us + 1,
            spans=spans,
            deletions=True,
        )
        step = engine.scan(scan, rows_max=READ_ROWS_MAX)
        if len(step.rows) and (rows is None or step.resume is None):
            rows = step.rows
        if step.resume is not None or len(step.rows) >= rows_max:
            break
    if rows is None:
        return None
    return rows.take(np.argsort(-rows.time, kind="stable")[:rows_max])
