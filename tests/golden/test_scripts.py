"""Scripts of what happens to a node and what its rules make of it, compared line by line."""

from pathlib import Path

import pytest

from tests.golden.commands import Commands
from tests.golden.filled_stage import FilledStage
from tests.golden.members_stage import MembersStage
from tests.golden.stage import Stage

SCRIPTS = sorted((Path(__file__).parent / "scripts").rglob("*.txt"))
STAGES: dict[str, type[Commands]] = {
    "scripts": Stage,
    "filled": FilledStage,
    "members": MembersStage,
}


def played(text: str, stage: Commands) -> str:
    """The script with the answers that the rules give now."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(">"):
            lines += [line, *stage.play(line[1:].strip())]
        elif line.startswith("#") or not line:
            lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text()
    now = played(text, STAGES[path.parent.name]())
    if request.config.getoption("--rewrite-golden"):
        path.write_text(now)
    assert now == text or request.config.getoption("--rewrite-golden"), (
        f"the rules answer {path.name} differently now; see the difference, and if it is meant: "
        "pytest tests/golden --rewrite-golden"
    )
    assert text.count(">") > 3
