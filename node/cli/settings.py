"""Where settings come from: defaults < TOML file < ZRING_* environment < flags.

Every value remembers its origin, so that a message can say which file, variable or flag to
correct. Names that do not exist are refused together with the nearest one that does: a setting
that is silently ignored is worse than one that is wrong.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from node.cli.catalogue import READERS, catalogue
from node.config import Config
from node.errors import ConfigInvalid
from zring.errors import InvalidArea

SECTIONS = tuple(section.name for section in fields(Config))
SOURCES = "source"
"""`[[source]]`: what the node's own ingest process carries; its settings belong to that."""
DEFAULT_FILE = Path("zring.toml")
DEFAULT_ORIGIN = "default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and the origin of each value: `section.name` → where it was given.

    Attributes:
        file: where `sources` stand.
        sources: names of the `[[source]]` tables; what is in them is for `zring ingest run`.
    """

    config: Config
    origins: Mapping[str, str]
    file: Path | None = None
    sources: tuple[str, ...] = ()

    def origin(self, path: str) -> str:
        """Where the value of `section.name` was given."""
        return self.origins.get(path, DEFAULT_ORIGIN)


def load_config(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read all sources; later ones win value by value.

    Args:
        file: TOML; None reads none.
        environment: variables; only those of the form ZRING_SECTION_NAME count.
        flags: `section.name` → text or value; None values are not given.

    Raises:
        ConfigInvalid: names the setting, its value and its origin.
    """
    given: dict[str, tuple[Any, str]] = {}
    sources: tuple[str, ...] = ()
    if file is not None:
        document = _read_file(file)
        sources = _source_names(document.pop(SOURCES, []), file)
        given.update(_from_document(document, file))
    given.update(_from_environment(environment or {}))
    given.update(_from_flags(flags or {}))
    values = {path: _read(path, value, origin) for path, (value, origin) in given.items()}
    origins = {path: origin for path, (_, origin) in given.items()}
    return Loaded(_build(values, origins), origins, file, sources)


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigInvalid(f"{file} does not exist; write one with: zring init") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"{file} cannot be read as TOML: {error}") from None


def _source_names(tables: Any, file: Path) -> tuple[str, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigInvalid(f"{file}: every source is a table of its own; write [[{SOURCES}]]")
    return tuple(str(table.get("name", "without a name")) for table in tables)


def _from_document(document: Mapping[str, Any], file: Path) -> dict[str, tuple[Any, str]]:
    given = {}
    for section, table in document.items():
        if section not in SECTIONS:
            raise ConfigInvalid(f"{file}: unknown section [{section}]{_nearest(section, SECTIONS)}")
        if not isinstance(table, dict):
            raise ConfigInvalid(f"{file}: {section} is a section; write [{section}]")
        for name, value in table.items():
            path = f"{section}.{name}"
            _require_known(path, origin=str(file))
            given[path] = (value, str(file))
    return given


def _from_environment(environment: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    by_variable = {setting.variable: setting.path for setting in catalogue().values()}
    prefixes = tuple(f"ZRING_{section.upper()}_" for section in SECTIONS)
    given = {}
    for variable in sorted(environment):
        if not variable.startswith(prefixes):
            continue
        if variable not in by_variable:
            nearest = _nearest(variable, tuple(by_variable))
            raise ConfigInvalid(f"environment: unknown variable {variable}{nearest}")
        given[by_variable[variable]] = (environment[variable], f"environment {variable}")
    return given


def _from_flags(flags: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    given = {}
    for path, value in flags.items():
        if value is None or value == () or value is False:
            continue
        _require_known(path, origin="flags")
        given[path] = (value, f"flag for {path}")
    return given


def _require_known(path: str, *, origin: str) -> None:
    known = catalogue()
    if path not in known:
        nearest = _nearest(path, tuple(known))
        raise ConfigInvalid(f"{origin}: unknown setting {path}{nearest}", setting=path)


def _nearest(name: str, known: tuple[str, ...]) -> str:
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else f"; known are {', '.join(known)}"


def _read(path: str, value: Any, origin: str) -> Any:
    kind = catalogue()[path].kind
    try:
        return READERS[kind](value)
    except (ValueError, InvalidArea) as error:
        shown = "***" if path in ("cluster.key", "security.tokens") else value
        raise ConfigInvalid(f"{path}={shown!r} ({origin}): {error}", setting=path) from None


def _build(values: Mapping[str, Any], origins: Mapping[str, str]) -> Config:
    sections: dict[str, Any] = {}
    hints = get_type_hints(Config)
    try:
        for section in SECTIONS:
            own = {
                path.partition(".")[2]: value
                for path, value in values.items()
                if path.partition(".")[0] == section
            }
            sections[section] = hints[section](**own)
    except ConfigInvalid as error:
        origin = origins.get(error.setting or "", DEFAULT_ORIGIN)
        raise ConfigInvalid(f"{error} ({origin})", setting=error.setting) from None
    return Config(**sections)
