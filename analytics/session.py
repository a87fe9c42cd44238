"""The one door to Spark: a session with the settings that the source needs.

Embedded (`local[…]`) everything stays on this machine's loopback; with `spark://…` the same
program runs on a cluster whose workers have this package installed. What is missing on the
machine is said in one line, and so is what fails in a task: Spark's own message of it is a page.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from analytics.errors import (
    AnalyticsError,
    BadOption,
    CoverageInsufficient,
    JobFailed,
    Missing,
    RecordsRejected,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVA_MIN = 17
JAVA_TIMEOUT_S = 30.0
LOOPBACK = "127.0.0.1"
SETTINGS: Mapping[str, str] = {
    "spark.sql.python.filterPushdown.enabled": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "WARN",
}
"""What every session has; the caller's settings win."""
TRANSLATED: Mapping[str, type[AnalyticsError]] = {
    kind.__name__: kind for kind in (BadOption, CoverageInsufficient, RecordsRejected, Missing)
}
"""Errors of this package that a task or a planner may raise; all others become `JobFailed`."""
_RAISED = re.compile(r"^(?:analytics|node|zring)\.[\w.]*?(\w+): (.+)$", re.MULTILINE)
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def open_session(
    *,
    master: str = "local[*]",
    name: str = "zring",
    jars: Sequence[Path] = (),
    settings: Mapping[str, str] | None = None,
) -> "SparkSession":
    """The session, started where there is none yet.

    Args:
        master: `local[*]`, or `spark://HOST:PORT` of a cluster.
        jars: connectors that jobs need besides.
        settings: Spark's own, by name.
    Raises:
        Missing: says what to install.
    """
    check_java()
    absent = [str(jar) for jar in jars if not jar.exists()]
    if absent:
        raise Missing(f"no connector {absent[0]}; fetch it: deploy/jvm/fetch.sh")
    try:
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as error:
        raise Missing(f"no module {error.name}; install it: pip install 'zring[spark]'") from None
    # The workers of this machine run the interpreter that runs the driver.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    chosen = dict(SETTINGS)
    if master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", LOOPBACK)
        chosen |= {"spark.driver.host": LOOPBACK, "spark.driver.bindAddress": LOOPBACK}
    if jars:
        chosen["spark.jars"] = ",".join(str(jar) for jar in jars)
    builder = SparkSession.builder.master(master).appName(name)
    for setting, value in {**chosen, **(settings or {})}.items():
        builder = builder.config(setting, value)
    return builder.getOrCreate()


@contextmanager
def job_session(
    *, master: str, name: str, settings: Mapping[str, str] | None = None
) -> "Iterator[SparkSession]":
    """A session for one job, which ends with it.

    Raises:
        AnalyticsError: what failed on Spark, as the one line that says why.
        Missing: as `open_session`.
    """
    check_java()
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
    except ModuleNotFoundError as error:
        raise Missing(f"no module {error.name}; install it: pip install 'zring[spark]'") from None
    try:
        session = open_session(master=master, name=name, settings=settings)
        try:
            yield session
        finally:
            session.stop()
    except (PySparkException, Py4JError) as error:
        raise why_failed(str(error)) from None


def why_failed(text: str) -> AnalyticsError:
    """The error that a message of Spark's holds, with the tracebacks of all its processes."""
    raised = _RAISED.findall(text)
    if raised:
        kind, words = raised[-1]
        return TRANSLATED.get(kind, JobFailed)(words)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "no message")
    return JobFailed(f"Spark failed: {first}")


def check_java() -> None:
    """Whether there is a Java that Spark can use.

    Raises:
        Missing: says what to install.
    """
    way_out = (
        f"install Java {JAVA_MIN}, for example apt-get install openjdk-{JAVA_MIN}-jre-headless"
    )
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if program is None or shutil.which(program) is None:
        where = f"JAVA_HOME={home} has no bin/java" if home else "no java on this machine"
        raise Missing(f"{where}, and Spark runs on it; {way_out}")
    done = subprocess.run(
        [program, "-version"], capture_output=True, text=True, timeout=JAVA_TIMEOUT_S
    )
    found = _VERSION.search(done.stderr + done.stdout)
    if done.returncode or found is None:
        raise Missing(f"{program} -version fails; {way_out}")
    if int(found[1]) < JAVA_MIN:
        raise Missing(f"{program} is Java {found[1]}, Spark needs {JAVA_MIN} or later; {way_out}")
