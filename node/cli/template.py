"""The commented TOML file that `zring init` writes."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from node.cli.catalogue import Setting, catalogue, section_documentation
from zring.domain import WORLD, Domain

HEAD = """\
# zring: settings of one node.
# Lines that begin with "# name =" show a default; remove the "# " to change it.
# ZRING_SECTION_NAME in the environment wins over this file, flags win over both.
"""


def config_toml(values: Mapping[str, Any]) -> str:
    """TOML with every setting: set where `values` has its `section.name`, else as a comment."""
    lines = [HEAD]
    documentation = section_documentation()
    section = None
    for setting in catalogue().values():
        if setting.section != section:
            section = setting.section
            lines.append(f"\n[{section}]\n# {documentation[section]}\n")
        lines.extend(_comment(setting.documentation))
        lines.append(_line(setting, values.get(setting.path)))
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 96)]


def _line(setting: Setting, value: Any) -> str:
    if value is None and setting.default is None:
        return f"# {setting.name} =\n"
    if value is None:
        return f"# {setting.name} = {toml_value(setting.default)}\n"
    return f"{setting.name} = {toml_value(value)}\n"


def toml_value(value: Any) -> str:
    """A setting's value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value}"
    if isinstance(value, Domain):
        return toml_value("world" if value == WORLD else _degrees(value))
    if isinstance(value, Mapping):
        pairs = (f"{toml_value(name)} = {toml_value(part)}" for name, part in value.items())
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(part) for part in value) + "]"
    assert isinstance(value, str | Path), value
    # JSON's escapes are those of a TOML basic string.
    return orjson.dumps(str(value)).decode()


def _degrees(domain: Domain) -> str:
    return ",".join(f"{edge:.10g}" for edge in domain.degrees())
