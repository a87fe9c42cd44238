"""Markdown of the project as the tests read it: links, headings, blocks of code."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN_MARK = "<!-- run -->"


def pages() -> list[Path]:
    """Every page a person may open."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "data").rglob("*.md")]
    return sorted(found)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `run` when the line before it says so."""

    page: str
    line: int
    language: str
    text: str
    run: bool


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in order."""
    found, start, language, before = [], 0, "", ""
    lines = page.read_text(encoding="utf-8").splitlines()
    inside: list[str] | None = None
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if inside is None:
                inside, start, language = [], number, line[3:].strip()
            else:
                name = page.relative_to(ROOT).as_posix()
                text = "\n".join(inside)
                found.append(Block(name, start, language, text, before == RUN_MARK))
                inside, before = None, ""
        elif inside is not None:
            inside.append(line)
        elif line.strip():
            before = line.strip()
    return found


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a console block and the output that is shown below it."""

    text: str
    expected: str


def commands(block: Block) -> list[Command]:
    """The lines behind `$ ` with what follows them; a backslash continues a line."""
    assert block.language == "console", block
    found: list[tuple[str, list[str]]] = []
    continued = False
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif continued:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        elif found:
            found[-1][1].append(line)
        continued = line.endswith("\\") and (line.startswith("$ ") or continued)
    return [Command(text, "\n".join(output)) for text, output in found]


def pattern(expected: str) -> re.Pattern[str]:
    """What output must look like: `…` stands for anything, spaces for any number of them."""
    words = [re.escape(word).replace("…", ".*") for word in expected.split()]
    return re.compile(r"\s+".join(words), re.DOTALL)


def links(page: Path) -> list[str]:
    """Targets of links and images outside code blocks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text))


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }
