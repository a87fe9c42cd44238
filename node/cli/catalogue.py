"""Every setting of `node.config` as a value: its name, type, default and documentation.

The documentation is the string below the field in the source, so that there is one place to
write it: the loader, `zring init`, and the test of the docs read it from here.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from node.config import Config
from zring.domain import Domain


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        section, name: `[section]` and key in TOML; `section.name` in messages.
        kind: how its text is read; a key of `READERS`.
        default: as the dataclass has it.
        documentation: one or two sentences.
    """

    section: str
    name: str
    kind: str
    default: Any
    documentation: str

    @property
    def path(self) -> str:
        """The name in messages: `section.name`."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable: `ZRING_SECTION_NAME`."""
        return f"ZRING_{self.section}_{self.name}".upper()


@cache
def catalogue() -> Mapping[str, Setting]:
    """All settings by path, in the order of the source."""
    found = {}
    for section in fields(Config):
        section_class = get_type_hints(Config)[section.name]
        documentation = attribute_docs(section_class)
        hints = get_type_hints(section_class)
        for entry in fields(section_class):
            setting = Setting(
                section=section.name,
                name=entry.name,
                kind=_kind_of(hints[entry.name]),
                default=_default_of(entry),
                documentation=documentation[entry.name],
            )
            found[setting.path] = setting
    return found


def section_documentation() -> Mapping[str, str]:
    """First sentence of each section's docstring."""
    hints = get_type_hints(Config)
    return {
        section.name: inspect.getdoc(hints[section.name]).split("\n\n")[0]  # type: ignore[union-attr]
        for section in fields(Config)
    }


def attribute_docs(section_class: type) -> dict[str, str]:
    """The string that follows each field in the source of a class, on one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(section_class))).body
    assert isinstance(definition, ast.ClassDef)
    documentation = {}
    for entry, after in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(entry, ast.AnnAssign)
            and isinstance(entry.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            documentation[entry.target.id] = " ".join(str(after.value.value).split())
    return documentation


def _kind_of(hint: Any) -> str:
    if get_origin(hint) is UnionType:
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is Literal:
        return "text"
    if get_origin(hint) is tuple:
        return "position" if get_args(hint) == (float, float) else "names"
    if get_origin(hint) is Mapping:
        return "tokens"
    return {int: "count", str: "text", bool: "switch", Path: "path", Domain: "domain"}[hint]


def _default_of(entry: "Field[Any]") -> Any:
    if entry.default is not MISSING:
        return entry.default
    assert entry.default_factory is not MISSING, entry.name
    return entry.default_factory()


def _read_count(value: Any) -> int:
    if isinstance(value, bool | float):
        raise ValueError("a whole number is wanted")
    return int(value.replace("_", "")) if isinstance(value, str) else int(value)


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text is wanted")
    return value


def _read_switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if not isinstance(value, str) or value.lower() not in words:
        raise ValueError("true or false is wanted")
    return words[value.lower()]


def _read_domain(value: Any) -> Domain:
    return Domain.parse(_read_text(value))


def _read_names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, (list, tuple)):
        raise ValueError("a list is wanted")
    return tuple(_read_text(part) for part in value)


def _read_position(value: Any) -> tuple[float, float]:
    parts = value.split(",") if isinstance(value, str) else value
    try:
        lon, lat = (float(part) for part in parts)
    except (TypeError, ValueError):
        raise ValueError("lon,lat in degrees is wanted") from None
    return lon, lat


def _read_tokens(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        pairs = [part.partition("=") for part in _read_names(value)]
        if not all(equals for _, equals, _ in pairs):
            raise ValueError("token=role,token=role is wanted")
        return {token: role for token, _, role in pairs}
    if not isinstance(value, dict):
        raise ValueError("a table of token = role is wanted")
    return {token: _read_text(role) for token, role in value.items()}


READERS: Mapping[str, Callable[[Any], Any]] = {
    "count": _read_count,
    "text": _read_text,
    "switch": _read_switch,
    "path": lambda value: Path(_read_text(value)),
    "domain": _read_domain,
    "names": _read_names,
    "position": _read_position,
    "tokens": _read_tokens,
}
"""kind → reader of a TOML value or of text; raises ValueError or InvalidArea."""
