"""Repair, tasks and status in a terminal, with a client that was told what to answer."""

from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from node.cli import forget as forget_module
from node.cli import repair as repair_module
from node.cli.main import main
from node.cli.status import status_view
from node.cli.tables import bytes_text, duration_text
from node.cli.tasks import progress_line, tasks_view

SQUARE = [[[135.0, 33.0], [135.8, 33.0], [135.8, 33.8], [135.0, 33.8], [135.0, 33.0]]]
AREA = {"type": "MultiPolygon", "coordinates": [SQUARE]}
TASK: dict[str, Any] = {
    "kind": "hand-over",
    "node": "n1",
    "target": "n2",
    "phase": "waiting",
    "reason": "the link's rate",
    "area": AREA,
    "buckets_left": 3,
    "records_left": 12_345,
    "bytes_left": 500_000,
    "bytes_per_s": 8_000,
    "eta_s": 62,
    "since": None,
    "waits_for": [],
}


class FakeClient:
    """Answers a repair; remembers what was asked."""

    def __init__(self, missing: list[Any]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.operations = SimpleNamespace(repair=self.repair, forget=self.forget)
        self._loss = {
            "area": {"coordinates": missing},
            "nodes": [
                {"node": "n3", "in_contact": False, "since": "2026-01-01T00:00:00Z", "area": AREA}
            ],
        }

    def __enter__(self) -> "FakeClient":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def forget(self, node: str, **asked: Any) -> dict[str, Any]:
        self.asked.append({"node": node, **asked})
        since = "2026-01-01T00:00:00Z"
        told = {"owed_to": ["n1", "n2"], "area": AREA, "heard": True}
        return {"node": node, "already": False, "since": since, **told}

    def repair(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        accepted = {"n1": AREA} if asked.get("accept_loss") else {}
        silent = {"n3": "is away"}
        return {"loss": self._loss, "told": ["n1"], "silent": silent, "accepted": accepted}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    made = FakeClient([SQUARE])
    monkeypatch.setattr(repair_module, "connect", lambda **_: made)
    return made


def test_a_loss_is_shown_and_accepted_only_by_a_yes(client: FakeClient) -> None:
    refused = CliRunner().invoke(main, ["repair", "--accept-loss"], input="n\n")
    assert refused.exit_code == 1
    assert "n3" in refused.output and "away since 2026-01-01" in refused.output
    assert "135,33 – 135.8,33.8" in refused.output
    assert [asked.get("dry_run") for asked in client.asked] == [True]
    accepted = CliRunner().invoke(main, ["repair", "--accept-loss"], input="y\n")
    assert accepted.exit_code == 4, "n3 was not told"
    assert client.asked[-1]["accept_loss"] is True
    assert "n1 counts as filled for 1 cells more" in accepted.output


@pytest.mark.parametrize("flag", ["--yes", "--json"])
def test_scripts_are_not_asked(client: FakeClient, flag: str) -> None:
    result = CliRunner().invoke(main, ["repair", "--accept-loss", flag])
    assert result.exit_code == 4, result.output
    assert len(client.asked) == 1 and client.asked[0]["accept_loss"]


def test_what_goes_with_a_member_is_shown_first(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget_module, "connect", lambda **_: client)
    refused = CliRunner().invoke(main, ["forget", "n4"], input="n\n")
    assert refused.exit_code == 1 and client.asked == [{"node": "n4", "dry_run": True}]
    assert "records that it had for n1, n2 may be on no other node: 135,33" in refused.output
    done = CliRunner().invoke(main, ["forget", "n4"], input="y\n")
    assert done.exit_code == 0 and "n4 is forgotten" in done.output
    assert client.asked[1:] == [{"node": "n4", "dry_run": True}, {"node": "n4"}]
    scripted = CliRunner().invoke(main, ["forget", "n4", "--json"])
    assert scripted.exit_code == 0 and '"owed_to"' in scripted.output


def shown(view: Any) -> str:
    console = Console(width=150, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def test_tasks_show_what_is_left_and_why_they_wait() -> None:
    document = {"tasks": [TASK] * 50, "silent": {"n3": "is away"}, "state": "local"}
    text = shown(tasks_view(document))
    for words in ("hand-over", "12,345", "8 kB/s", "62 s", "the link's rate", "and 10 more"):
        assert words in text
    assert "n3 is away" in text and "answers are local" in text
    line = progress_line({**document, "tasks": [TASK]})
    assert line.startswith("1 under way; 12,345 records left at 8 kB/s; hand-over n1 → n2: waiting")


def test_status_says_since_when_and_for_what_copies_answer() -> None:
    coverage = {
        "state": "partial",
        "alone_since": "2026-01-01T00:00:00Z",
        "replicas": {"n2": AREA, "n4": AREA},
        "replicas_as_of": {"n2": "2026-01-01T00:01:00Z", "n4": None},
        "missing": AREA,
    }
    document = {
        "node": "n1",
        "state": "partial",
        "ring_digest": "00",
        "coverage": coverage,
        "nodes": [],
        "collections": {},
        "tasks": [TASK],
        "silent": {},
    }
    text = shown(status_view(document))
    assert "alone since 2026-01-01T00:00:00Z" in text
    assert "replicas answer for n2, as of 2026-01-01T00:01:00Z: 135,33 – 135.8,33.8" in text
    assert "replicas answer for n4, nobody knows as of when" in text
    assert "nobody in contact can answer for all: 135,33" in text
    assert "the link's rate" in text
    aside = {"folder": "data-damaged-1", "bytes": 12_000_000, "since": "2026-01-01T00:00:00Z"}
    text = shown(status_view({**document, "set_aside": [aside]}))
    assert "damaged store set aside 2026-01-01T00:00:00Z: data-damaged-1, 12 MB" in text


def test_amounts_in_few_digits() -> None:
    assert [duration_text(s) for s in (5, 119, 600, 36_000, 500_000)] == [
        "5 s", "119 s", "10 min", "10 h", "5.79 d",
    ]  # fmt: skip
    assert [bytes_text(s) for s in (0, 999, 1_500, 2_000_000, 3e9)] == [
        "0 B", "999 B", "1.5 kB", "2 MB", "3 GB",
    ]  # fmt: skip
