"""The audit log: one line a deed, bounded files, refusals folded and rationed."""

from pathlib import Path
from typing import Any

import pytest

from node.service.audit import (
    FILE,
    FILES_MAX,
    FOLDER,
    LINE_BYTES_MAX,
    REFUSALS_PER_MINUTE_MAX,
    REFUSED,
    REPEAT_S,
    AuditFile,
    NoAudit,
    read_audit,
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_700_000_040.0

    def now_us(self) -> int:
        return int(self.now_s * 1_000_000)

    def now_ms(self) -> int:
        return int(self.now_s * 1_000)


def record(audit: AuditFile | NoAudit, event: str = "plan.commit", **other: Any) -> None:
    given = {"subject": "ops", "remote": "10.0.0.9", "outcome": "done", "details": {}, **other}
    audit.record(event, **given)


def events(folder: Path) -> list[str]:
    return [entry["event"] for entry in read_audit(folder)]


def test_a_line_says_who_did_what_when(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path, node="sw", clock=Clock())
    record(audit, details={"plan": "join", "moves": 3, "place": tmp_path})
    record(NoAudit())
    (entry,) = read_audit(tmp_path)
    assert entry == {
        "time": "2023-11-14T22:14:00.000+00:00",
        "node": "sw",
        "event": "plan.commit",
        "subject": "ops",
        "remote": "10.0.0.9",
        "outcome": "done",
        "details": {"plan": "join", "moves": 3, "place": str(tmp_path)},
    }
    assert (tmp_path / FOLDER / FILE).stat().st_mode & 0o777 == 0o600
    audit.close()


def test_files_are_bounded_and_the_newest_lines_stay(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path, node="sw", clock=Clock(), file_bytes_max=2_000)
    for number in range(300):
        record(audit, f"event.{number}")
    audit.close()
    files = sorted((tmp_path / FOLDER).iterdir())
    assert len(files) == FILES_MAX
    assert all(file.stat().st_size <= 2_000 for file in files)
    numbers = [int(event.split(".")[1]) for event in events(tmp_path)]
    assert numbers == list(range(numbers[0], 300)) and len(numbers) > 40


def test_it_goes_on_after_a_crash_in_the_middle_of_a_line(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path, node="sw", clock=Clock())
    record(audit, "first")
    record(audit, "torn")
    audit.close()
    file = tmp_path / FOLDER / FILE
    file.write_bytes(file.read_bytes()[:-20])
    again = AuditFile(tmp_path, node="sw", clock=Clock())
    record(again, "after")
    again.close()
    assert events(tmp_path) == ["first", "after"]


def test_long_details_are_cut(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path, node="sw", clock=Clock())
    record(audit, details={"moves": "é" * 100_000}, subject="x" * 10_000)
    audit.close()
    (entry,) = read_audit(tmp_path)
    assert entry["details"]["bytes"] > 100_000
    assert (tmp_path / FOLDER / FILE).stat().st_size < LINE_BYTES_MAX


def test_the_same_refusal_is_folded(tmp_path: Path) -> None:
    clock = Clock()
    audit = AuditFile(tmp_path, node="sw", clock=clock)
    for _ in range(50):
        record(audit, "refused.client", outcome=REFUSED)
    record(audit, "refused.client", outcome=REFUSED, subject="other")
    clock.now_s += REPEAT_S
    record(audit, "refused.client", outcome=REFUSED)
    audit.close()
    assert [entry.get("repeated") for entry in read_audit(tmp_path)] == [None, None, 49]


def test_many_refusals_do_not_push_deeds_out(tmp_path: Path) -> None:
    clock = Clock()
    audit = AuditFile(tmp_path, node="sw", clock=clock)
    record(audit)
    for number in range(5_000):
        record(audit, "refused.client", outcome=REFUSED, remote=f"2001:db8::{number:x}")
    record(audit)
    clock.now_s += 60
    record(audit, "refused.client", outcome=REFUSED, remote="2001:db8::")
    audit.close()
    entries = list(read_audit(tmp_path))
    assert len(entries) == REFUSALS_PER_MINUTE_MAX + 3
    assert entries[-1]["left_out"] == 5_000 - REFUSALS_PER_MINUTE_MAX


def test_a_disk_that_takes_nothing_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FOLDER).write_text("in the way")
    audit = AuditFile(tmp_path, node="sw", clock=Clock())
    record(audit)
    assert "takes no lines" in caplog.text and "plan.commit" in caplog.text
