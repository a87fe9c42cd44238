"""The settings of a kind of source as flags: names, types and help come from its dataclass."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import click

from ingest.errors import SettingsInvalid
from node.cli.catalogue import attribute_docs

Command = TypeVar("Command", bound=Callable[..., Any])
Settings = TypeVar("Settings")


def kind_options(kind: type[Any], flags: Mapping[str, str]) -> Callable[[Command], Command]:
    """One flag for each field that `flags` names, documented by the string below the field.

    Args:
        flags: field → flag. A tuple's flag may be repeated; a mapping's is repeated as NAME=TEXT.
    """
    hints, documentation = get_type_hints(kind), attribute_docs(kind)
    declared = {field.name: field for field in fields(kind)}

    def decorate(command: Command) -> Command:
        for name, flag in reversed(list(flags.items())):
            text = documentation[name]
            default = declared[name].default
            if isinstance(default, str | int) and default not in ("", True, False):
                text += f" [default: {default}]"
            options = {"help": text, **_type_of(hints[name])}
            command = click.option(flag, _parameter(name), **options)(command)
        return command

    return decorate


def take_kind(kind: type[Settings], given: dict[str, Any], flags: Mapping[str, str]) -> Settings:
    """The settings as the flags say, out of all that a command was given.

    Raises:
        SettingsInvalid: a value is wrong.
    """
    values = {}
    for name in flags:
        value = given.pop(_parameter(name))
        if value is None or value == () or value is False:
            continue
        if get_origin(get_type_hints(kind)[name]) is Mapping:
            value = dict(_pair(text, flags[name]) for text in value)
        values[name] = value
    return kind(**values)


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsInvalid(f"{flag} {text} is no NAME=TEXT")
    return name, value


def _parameter(name: str) -> str:
    """Apart from the parameters that all commands have, such as `tls_ca` of the nodes."""
    return f"kind_{name}"


def _type_of(hint: Any) -> dict[str, Any]:
    if get_origin(hint) is UnionType:
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) in (tuple, Mapping):
        return {"multiple": True}
    if hint is bool:
        return {"is_flag": True}
    return {"type": click.Path(path_type=Path, dir_okay=False) if hint is Path else hint}
