"""Which column of a generic file is the sensor, the time, the position; names for the rest.

Without a mapping, columns are recognised by usual names; what was recognised is shown in the
summary, so that nobody has to guess what the program guessed.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ingest.errors import MappingNeeded

FIXED = ("sensor", "time", "lon", "lat")
USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "sensor": (
        "sensor",
        "sensor_id",
        "station",
        "station_id",
        "device",
        "device_id",
        "amdno",
        "id",
    ),
    "time": ("time", "timestamp", "datetime", "date_time", "ts", "time_jst", "date", "observed_at"),
    "lon": ("lon", "lng", "long", "longitude", "x"),
    "lat": ("lat", "latitude", "y"),
}
NULL_TEXTS = frozenset(("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "-", "--", "///"))
VALUE_TYPES = ("number", "text", "boolean")


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """How the columns of a file are read; empty members are found by usual names.

    Attributes:
        names: fixed or value name → column of the file (dotted path in JSON).
        time_format: None for ISO 8601, `epoch-s`, `epoch-ms`, `epoch-us`, or a strptime format.
        zone: of times that carry none; None refuses them.
        constants: value (or fixed) name → the same text for all records.
        types: value name → number, text or boolean where content must not decide.
        only_mapped: leave out columns that are not named here.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    time_format: str | None = None
    zone: str | None = None
    constants: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    only_mapped: bool = False

    def __post_init__(self) -> None:
        for name, kind in self.types.items():
            if kind not in VALUE_TYPES:
                raise MappingNeeded(f"type of {name!r} is {kind!r}; {', '.join(VALUE_TYPES)}")

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read a mapping file: `time_format`, `zone`, `only_mapped`, [map], [constant], [types].

        Raises:
            MappingNeeded: when it is no such TOML.
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise MappingNeeded(f"the mapping file is no TOML: {error}") from None
        return cls.from_table(document)

    @classmethod
    def from_table(cls, document: Mapping[str, Any]) -> Self:
        """The same from a table of another TOML file.

        Raises:
            MappingNeeded: an unknown key, or a value of another type.
        """
        known = {"map", "constant", "types", "time_format", "zone", "only_mapped"}
        unknown = sorted(set(document) - known)
        if unknown:
            raise MappingNeeded(f"mapping key {unknown[0]!r} is unknown; use {sorted(known)}")
        return cls(
            names=_texts(document, "map"),
            constants=_texts(document, "constant"),
            types=_texts(document, "types"),
            time_format=_text(document, "time_format"),
            zone=_text(document, "zone"),
            only_mapped=document.get("only_mapped") is True,
        )

    def with_flags(
        self,
        *,
        pairs: Iterable[str] = (),
        constants: Iterable[str] = (),
        time_format: str | None = None,
        zone: str | None = None,
    ) -> Self:
        """The mapping with command line flags laid over it (`sensor=id,time=ts`)."""
        return replace(
            self,
            names={**self.names, **parse_pairs("--map", pairs)},
            constants={**self.constants, **parse_pairs("--constant", constants)},
            time_format=time_format or self.time_format,
            zone=zone or self.zone,
        )

    def resolve(self, columns: Iterable[str]) -> dict[str, str]:
        """Name of ours → column of the file, for a file with these columns.

        Raises:
            MappingNeeded: a mapped column is absent, or no column or constant is the sensor or
                the time. Positions may be absent: then the station table has them.
        """
        present = list(dict.fromkeys(columns))
        for name, column in self.names.items():
            if column not in present:
                raise MappingNeeded(
                    f"--map {name}={column}: the file has no column {column!r}, "
                    f"only {', '.join(present[:30])}"
                )
        resolved = dict(self.names)
        taken = set(resolved.values())
        for name in FIXED:
            if name in resolved or name in self.constants:
                continue
            found = _usual(name, present, taken)
            if found is not None:
                resolved[name] = found
                taken.add(found)
            elif name in ("sensor", "time"):
                raise MappingNeeded(
                    f"which column is the {name}? give --map {name}=COLUMN "
                    f"(columns: {', '.join(present[:30])})"
                )
        if not self.only_mapped:
            resolved.update({c: c for c in present if c not in taken and c not in resolved})
        return resolved


def parse_pairs(flag: str, texts: Iterable[str]) -> dict[str, str]:
    """`a=b,c=d` as a mapping.

    Raises:
        MappingNeeded: a part without `=`.
    """
    pairs = {}
    for text in texts:
        for part in filter(None, text.split(",")):
            name, equals, value = part.partition("=")
            if not equals or not name.strip():
                raise MappingNeeded(f"{flag} {part!r}: write NAME=COLUMN, several with commas")
            pairs[name.strip()] = value.strip()
    return pairs


def _usual(name: str, present: list[str], taken: set[str]) -> str | None:
    lowered = {column.strip().lower(): column for column in reversed(present)}
    for candidate in USUAL_NAMES[name]:
        column = lowered.get(candidate)
        if column is not None and column not in taken:
            return column
    return None


def _text(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise MappingNeeded(f"mapping key {key!r} is {value!r}; give text")
    return value


def _texts(document: Mapping[str, Any], key: str) -> dict[str, str]:
    table = document.get(key, {})
    if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
        raise MappingNeeded(f"mapping key {key!r} is {table!r}; give a table of texts")
    return table
