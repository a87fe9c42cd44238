"""Tables of a TOML file as frozen dataclasses: every kind of source says its settings as one."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ingest.errors import SettingsInvalid

Settings = TypeVar("Settings")


def table_to_settings(kind: type[Settings], table: Any, *, where: str) -> Settings:
    """Build a dataclass from a table; its fields may be str, int, float, bool, Path, tuples of
    str, mappings of str to str, or any of them or None.

    Args:
        where: how messages call the table, for example `[source.kafka]`.
    Raises:
        SettingsInvalid: an unknown name, a missing one, a value of another type.
    """
    if not isinstance(table, Mapping):
        raise SettingsInvalid(f"{where} is {table!r}; write a table of settings")
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    for name in table:
        if name not in known:
            raise SettingsInvalid(f"{where} has no setting {name!r}; use {', '.join(known)}")
    for name, field in known.items():
        needed = field.default is MISSING and field.default_factory is MISSING
        if needed and name not in table:
            raise SettingsInvalid(f"{where} needs the setting {name!r}")
    values = {name: _checked(hints[name], value, f"{where} {name}")
              for name, value in table.items()}  # fmt: skip
    return kind(**values)


def _checked(hint: Any, value: Any, where: str) -> Any:
    allowed = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for kind in allowed:
        fits, converted = _converted(kind, value)
        if fits:
            return converted
    names = " or ".join(_name(kind) for kind in allowed if kind is not type(None))
    raise SettingsInvalid(f"{where} = {value!r} is no {names}")


def _converted(kind: Any, value: Any) -> tuple[bool, Any]:
    origin = get_origin(kind)
    if origin is tuple:
        texts = [value] if isinstance(value, str) else value
        fits = isinstance(texts, list | tuple) and all(isinstance(text, str) for text in texts)
        return fits, tuple(texts) if fits else None
    if origin is not None:
        is_texts = isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values())
        return is_texts, value
    if kind is Path:
        return isinstance(value, str | Path), Path(value) if isinstance(value, str) else value
    if kind is float:
        return type(value) in (int, float), value
    return type(value) is kind, value


def _name(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return "list of texts"
    return {str: "text", Path: "path"}.get(kind, getattr(kind, "__name__", "table of texts"))
