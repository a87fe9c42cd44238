"""Where two nodes see different rings."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

CODES = 2**62
Claim = tuple[str, str | None, int]
"""Owner, owner to come, epoch."""


def ring_difference(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Spans with another owner, owner to come or epoch, in curve order; then other settings.

    Args:
        here, there: answers of `/cluster/ring`.
    """
    found: list[dict[str, Any]] = []
    one, other = _claims(here), _claims(there)
    edges = sorted({*one, *other})
    mine: Claim = ("", None, 0)
    theirs: Claim = mine
    for start, stop in zip(edges, [*edges[1:], CODES], strict=True):
        mine, theirs = one.get(start, mine), other.get(start, theirs)
        if mine == theirs:
            continue
        last = found[-1] if found else None
        if (
            last
            and last["stop"] == str(start)
            and (last["here"], last["there"])
            == (
                _document(mine),
                _document(theirs),
            )
        ):
            last["stop"] = str(stop)
        else:
            found.append(
                {
                    "start": str(start),
                    "stop": str(stop),
                    "here": _document(mine),
                    "there": _document(theirs),
                }
            )
    for name, value in sorted(here["settings"].items()):
        if there["settings"].get(name) != value:
            found.append({"setting": name, "here": value, "there": there["settings"].get(name)})
    return found


def difference_view(found: list[dict[str, Any]], *, here: str, there: str) -> Table:
    """The difference as it stands in a terminal."""
    table = Table(box=None, header_style="bold")
    for name in ("what", here, there):
        table.add_column(name)
    for entry in found:
        if "setting" in entry:
            table.add_row(entry["setting"], str(entry["here"]), str(entry["there"]))
            continue
        start, stop = int(entry["start"]), int(entry["stop"])
        what = f"Z {start / CODES:.6f}-{stop / CODES:.6f} ({(stop - start) / CODES:.2%})"
        table.add_row(what, _words(entry["here"]), _words(entry["there"]))
    return table


def _claims(document: Mapping[str, Any]) -> dict[int, Claim]:
    return {
        int(span["start"]): (span["owner"], span["next"], span["epoch"])
        for span in document["spans"]
    }


def _document(claim: Claim) -> dict[str, Any]:
    return {"owner": claim[0], "next": claim[1], "epoch": claim[2]}


def _words(claim: Mapping[str, Any]) -> str:
    coming = f" → {claim['next']}" if claim["next"] else ""
    return f"{claim['owner']}{coming} (epoch {claim['epoch']})"
