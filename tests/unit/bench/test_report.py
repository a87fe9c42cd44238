"""Findings: which is better, and how they are written down."""

from pathlib import Path

from bench.charts import draw_findings
from bench.figures.durable import order_of_events
from bench.finding import Finding, fastest
from bench.report import BEGIN, END, write_docs


def test_ratio_says_how_many_times_better_we_are() -> None:
    lower = Finding("n2", "w", 2.0, "ms", "b", True, references={"them": 6.0}, compared="them")
    higher = Finding(
        "small", "w", 300.0, "/s", "b", False, "higher", references={"them": 600.0}, compared="them"
    )
    assert lower.ratio == 3.0
    assert higher.ratio == 0.5
    assert fastest({"a": 3.0, "b": 2.0, "c": 1.0}, "a", "b", "absent") == "b"


def test_only_the_measured_section_of_the_page_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    begin, end = BEGIN.format(group="store"), END.format(group="store")
    page.write_text(f"before\n{begin}\nstale figures\n{end}\nafter\n")
    finding = Finding("n2", "search", 1.5, "ms", "≤ 4 ms", True, details={"p99 ms": 2.0})
    write_docs([finding], page, group="store", origins=["here"])
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "stale" not in text
    assert "| n2 | search | **1.5 ms<br>p99 ms 2** |  |  | ≤ 4 ms | yes |" in text


def test_a_chart_has_a_bar_for_each_way_where_there_is_something_to_compare(
    tmp_path: Path,
) -> None:
    compared = Finding("n2", "a search", 1.5, "ms", "b", True, references={"R & S": 6_000.0})
    draw_findings(
        [compared, Finding("start", "by itself", 1.0, "s", "b", True)], tmp_path / "all.svg"
    )
    drawn = (tmp_path / "all.svg").read_text()
    assert all(text in drawn for text in ("a search", "zring", "1.5", "R &amp; S", "6,000"))
    assert "by itself" not in drawn
    draw_findings([Finding("start", "by itself", 1.0, "s", "b", True)], tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()


REQUEST = '7 1.0 recvfrom(9, "POST /collections/durable/items HTTP"..., 262144) = 300'
WRITTEN = '8 1.1 pwrite64(5, "abc"..., 4096, 8192) = 4096'
SYNCED = "8 1.2 fdatasync(5) = 0"
REPLY = '7 1.3 sendto(9, "HTTP/1.1 200 OK"..., 200, 0, NULL, 0) = 200'


def test_durable_wants_the_sync_before_the_reply() -> None:
    assert list(order_of_events([REQUEST, WRITTEN, SYNCED, REPLY])) == [
        "request", "written", "synced", "reply",
    ]  # fmt: skip
    assert "synced" not in order_of_events([REQUEST, WRITTEN, REPLY, SYNCED])
    resumed = ["8 1.1 fdatasync(5 <unfinished ...>", "8 1.2 <... fdatasync resumed>) = 0"]
    assert "reply" in order_of_events([REQUEST, WRITTEN, *resumed, REPLY])
