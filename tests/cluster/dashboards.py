"""Names of metrics that dashboards and alerts speak of, and that processes export."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "deploy" / "dashboards"
_NAME = re.compile(r"\bzring_[a-z0-9_]+")
_OF_HISTOGRAMS = re.compile(r"_(?:bucket|sum|count)$")


def names_used(prefix: str) -> set[str]:
    """Families with this prefix in all dashboards and alerts."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("zring-*.json"))]
    texts.append((FOLDER / "alerts.yml").read_text(encoding="utf-8"))
    found = {_OF_HISTOGRAMS.sub("", name) for text in texts for name in _NAME.findall(text)}
    return {name for name in found if name.startswith(prefix)}


def names_exported(metrics: str) -> set[str]:
    """Families in what a process has answered."""
    return set(re.findall(r"^# TYPE (\S+) ", metrics, re.MULTILINE))
