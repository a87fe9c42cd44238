"""Every route, parameter, header, format, error and rejection is on the page docs/http.md."""

import inspect
import re
from pathlib import Path

import pytest

from node import errors
from node.api.formats import BY_NAME
from node.api.route import Route
from node.api.routes import ROUTES
from node.codec.decode import DECODERS
from node.records import RESERVED_NAMES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `([^`]+)`\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_documented(route: Route) -> None:
    assert f"{route.method} {route.path}" in SECTIONS


def test_no_route_is_documented_that_does_not_exist() -> None:
    assert set(SECTIONS) == {f"{route.method} {route.path}" for route in ROUTES}


def test_every_parameter_is_documented_and_none_besides() -> None:
    table = TEXT.split("## Parameters\n", 1)[1].split("\n## ", 1)[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    documented = {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}
    assert documented == {name for route in ROUTES for name in route.parameters}


def test_every_format_is_documented() -> None:
    for name in (*BY_NAME, *DECODERS, *(form.media_type for form in BY_NAME.values())):
        assert f"`{name}`" in TEXT, name


def test_every_reason_of_an_error_is_documented() -> None:
    table = TEXT.split("## Errors\n", 1)[1]
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    # A node's own settings are refused when it starts, never over HTTP.
    reasons = {kind.reason for kind in classes if kind is not errors.ConfigInvalid}
    for reason in sorted(reasons):
        assert f"`{reason}`" in table, reason


def test_every_reason_of_a_rejection_is_documented() -> None:
    sources = "".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "node/codec").glob("*.py")
    )
    written = set(re.findall(r'"((?:no|bad|not|outside|nested|unknown|time)-[a-z-]+)",\n', sources))
    written |= set(re.findall(r'reject(?:_row)?\([^"]*?"([a-z]+-[a-z-]+)",', sources))
    assert {"outside-domain", "bad-json", "no-values"} <= written
    for reason in sorted(written):
        assert f"`{reason}`" in TEXT, reason


def test_reserved_names_are_documented() -> None:
    for name in RESERVED_NAMES:
        assert f"`{name}`" in TEXT


def test_headers_are_documented() -> None:
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "node/api").glob("*.py"))
    for header in sorted(set(re.findall(r"Zring-[A-Za-z-]+|Retry-After|Authorization", sources))):
        assert f"`{header}`" in TEXT, header
