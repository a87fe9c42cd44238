"""What is missing on a machine, and what fails on Spark, is said in one line."""

import sys
from pathlib import Path

import pytest

from analytics.errors import CoverageInsufficient, JobFailed, Missing
from analytics.session import check_java, open_session, why_failed


def java(folder: Path, text: str, *, status: int = 0) -> Path:
    """A folder as JAVA_HOME, whose Java says this of itself."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{text}' >&2\nexit {status}\n")
    program.chmod(0o755)
    return folder


def test_no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match=r"no java on this machine.*apt-get install openjdk-17"):
        open_session()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(Missing, match="has no bin/java"):
        check_java()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('java version "1.8.0_292"', "is Java 8, Spark needs 17 or later"),
        ('openjdk version "11.0.2" 2019-01-15', "is Java 11, Spark needs 17 or later"),
        ("no idea", "-version fails"),
    ],
)
def test_wrong_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, words: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path, text)))
    with pytest.raises(Missing, match=words):
        check_java()


def test_right_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path, 'openjdk version "21.0.1" 2023-10-17')))
    check_java()


def test_no_connector_and_no_pyspark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"no connector .*kafka\.jar; fetch it: deploy/jvm/fetch\.sh"):
        open_session(jars=[tmp_path / "kafka.jar"])
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(Missing, match=r"install it: pip install 'zring\[spark\]'"):
        open_session()


PAGE_OF_SPARK = """
An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "reader.py", line 60, in partitions
    self._judge_whole(slices[0].urls)
node.errors.PeerUnreachable: n1 cannot be reached
  File "coverage.py", line 35, in judge
    raise CoverageInsufficient(
{raised}

JVM stacktrace:
org.apache.spark.SparkException
"""


def test_the_line_that_says_why_is_found_in_a_page_of_tracebacks() -> None:
    raised = "analytics.errors.CoverageInsufficient: weather: the answer is partial: away: n1"
    found = why_failed(PAGE_OF_SPARK.format(raised=raised))
    assert type(found) is CoverageInsufficient
    assert str(found) == "weather: the answer is partial: away: n1"
    raised = "analytics.models.errors.DataUnsuited: there are no records"
    found = why_failed(PAGE_OF_SPARK.format(raised=raised))
    assert type(found) is JobFailed and str(found) == "there are no records"
    found = why_failed("\n[SOME_CLASS] Something else. SQLSTATE: 42000\n  more")
    assert str(found) == "Spark failed: [SOME_CLASS] Something else. SQLSTATE: 42000"
