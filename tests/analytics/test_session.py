"""What is missing on a machine is said in one line."""

import sys
from pathlib import Path

import pytest

from analytics.errors import Missing
from analytics.session import check_java, open_session


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
