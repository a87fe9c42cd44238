"""The page of promises names tests and checkers that exist, and every rule."""

import re

from node.protocol.rules import Rules
from tests.docs.markdown import ROOT
from tests.sim import scenario, truth

PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")


def test_tests_that_are_named_exist() -> None:
    source = "\n".join(path.read_text("utf-8") for path in sorted(ROOT.glob("tests/**/test_*.py")))
    known = set(re.findall(r"def (test_\w+)\(", source))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 30, named
    assert named <= known, named - known


def test_files_that_are_named_exist() -> None:
    for name in re.findall(r"`((?:tests|node)/[\w/]+\.py)`", PAGE):
        assert (ROOT / name).is_file(), name


def test_checkers_that_are_named_exist() -> None:
    checkers = re.findall(r"`(Truth|Life)\.(\w+)`", PAGE)
    assert len(checkers) > 10, checkers
    for kind, name in checkers:
        owner = {"Truth": truth.Truth, "Life": scenario.Life}[kind]
        assert hasattr(owner, name), f"{kind}.{name}"


def test_every_rule_is_named() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(named) == sorted(Rules.__slots__)
