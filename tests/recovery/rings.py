"""The ring as nodes show it, read back so that holders can be computed apart from any node."""

from collections.abc import Mapping
from typing import Any

from zring.domain import Domain
from zring.ring import Ring, RingSpan, Settings


def ring_from_json(document: Mapping[str, Any]) -> Ring:
    """The ring of an answer of `/cluster/ring`."""
    settings = dict(document["settings"])
    settings["archives"] = tuple(settings["archives"])
    west, south, east, north = document["domain"]
    return Ring(
        document["cluster"],
        Domain.from_degrees(west=west, south=south, east=east, north=north),
        document["grain_level"],
        Settings(**settings),
        tuple(
            RingSpan(
                int(span["start"]), int(span["stop"]), span["owner"], span["next"], span["epoch"]
            )
            for span in document["spans"]
        ),
    )
