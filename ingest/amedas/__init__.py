"""The tables of Japan's weather stations (AMeDAS) that come with the package.

`tables` is a link to `data/amedas`, where people look for them; setuptools copies what it
points to into the wheel. Positions and units are facts; sources are in `data/amedas/README.md`.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class SquareStation:
    """One of the 40 stations of the demo's square.

    Attributes:
        id: five digits; the first two are the prefecture.
        lon, lat: degrees, from degrees and decimal minutes, seven decimals.
        altitude_m: metres above the sea.
        names: English, Japanese, kana.
        download_id: the id in JMA's download pages.
        elements: what the station measures; sun counts where it is only estimated.
    """

    id: str
    lon: float
    lat: float
    altitude_m: int
    names: tuple[str, str, str]
    download_id: str
    elements: frozenset[str]

    @property
    def quarter(self) -> str:
        """SW, NW, SE or NE of the square's centre (135.8, 33.8); lower and left edges inside."""
        return ("S" if self.lat < 33.8 else "N") + ("W" if self.lon < 135.8 else "E")


@dataclass(frozen=True, slots=True)
class Element:
    """What one element key means; `period_minutes` is 0 for an instant."""

    key: str
    kind: str
    unit: str
    step: float | None
    period_minutes: int
    meaning: str


def _table(name: str) -> list[dict[str, str]]:
    text = (files("ingest.amedas") / "tables" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@cache
def square_stations() -> tuple[SquareStation, ...]:
    """The 40 stations inside (135.0, 33.0)-(136.6, 34.6), by id."""
    return tuple(
        SquareStation(
            id=row["id"],
            lon=float(row["lon"]),
            lat=float(row["lat"]),
            altitude_m=int(row["altitude_m"]),
            names=(row["name"], row["name_ja"], row["name_kana"]),
            download_id=row["download_id"],
            elements=frozenset(row["elements"].replace("*", "").split()),
        )
        for row in _table("stations_square.csv")
    )


@cache
def elements() -> Mapping[str, Element]:
    """Element keys of JMA's JSON files and what they mean."""
    return {
        row["key"]: Element(
            key=row["key"],
            kind=row["kind"],
            unit=row["unit"],
            step=float(row["step"]) if row["step"] else None,
            period_minutes=int(row["period_minutes"]),
            meaning=row["meaning"],
        )
        for row in _table("elements.csv")
    }


@cache
def flag_rules(system: str) -> Mapping[int | None, tuple[bool, int | None]]:
    """Per flag of one system (`aqc` or `quality`): is the value stored, and which flag stays."""
    return {
        int(row["code"]) if row["code"] else None: (
            row["stored"] == "yes",
            int(row["flag"]) if row["flag"] else None,
        )
        for row in _table("flags.csv")
        if row["system"] == system
    }
