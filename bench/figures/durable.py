"""Durable, shown by the system calls: fdatasync has returned before the reply is written.

`strace` follows a node while one record is posted. The evidence is the order of four calls: the
request is read from the socket, the data is written, fdatasync returns 0, the reply is sent.
"""

import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from bench.finding import Finding
from bench.server_process import ServerFailed
from bench.session import Session

CALLS = "fdatasync,fsync,msync,pwrite64,write,writev,sendto,sendmsg,recvfrom,read"
RECORD = (
    b'{"sensor":"durable","time":"2025-06-01T00:00:00Z","lon":135.5,"lat":33.9,"values":{"v":1}}'
)
ATTACH_TIMEOUT_S = 20.0


def run(session: Session) -> list[Finding]:
    """On one node."""
    cluster = session.cluster(nodes=1, replicas=0, holding=session.stations())
    pid = cluster.process(cluster.names[0]).pid
    with tempfile.TemporaryDirectory(prefix="zring-bench-strace-") as folder:
        trace = Path(folder) / "trace"
        tracer = _attach(pid, trace)
        try:
            request = urllib.request.Request(
                cluster.url() + "/collections/durable/items", RECORD,
                {"Content-Type": "application/json"},
            )  # fmt: skip
            with urllib.request.urlopen(request, timeout=30) as reply:
                assert reply.status == 200, reply.read()
        finally:
            tracer.terminate()
            tracer.wait(10)
        lines = trace.read_text(errors="replace").splitlines()
    evidence = order_of_events(lines)
    for line in evidence.values():
        session.console.print(f"  [dim]{line[:150]}", markup=True, highlight=False)
    names = ["request", "written", "synced", "reply"]
    holds = list(evidence) == names
    return [
        Finding(
            "durable", "system calls of one POST: request, write, fdatasync, reply, in this order",
            float(len(evidence)), "of 4 in order", "fdatasync returned before the reply", holds,
            better="higher",
        )
    ]  # fmt: skip


def order_of_events(lines: list[str]) -> dict[str, str]:
    """The first line of each kind after the one before, in the order in which they must come."""
    wanted = {
        "request": re.compile(r"(recvfrom|read)\(.*POST /collections|resumed>.*POST /collections"),
        "written": re.compile(r"(pwrite64|write|writev)\((?!.*HTTP/1\.1).*= [1-9]"),
        "synced": re.compile(r"(fdatasync|fsync|msync)(\(\d+.*\)| resumed>\)) *= 0"),
        "reply": re.compile(r"(sendto|sendmsg|write|writev)\(.*HTTP/1\.1 200"),
    }
    found: dict[str, str] = {}
    waiting = list(wanted)
    for line in lines:
        if waiting and wanted[waiting[0]].search(line):
            found[waiting.pop(0)] = line
        elif "reply" in waiting and wanted["reply"].search(line):
            break  # a reply before everything else was seen: not in order
    return found


def _attach(pid: int, trace: Path) -> "subprocess.Popen[bytes]":
    program = shutil.which("strace")
    if program is None:
        raise ServerFailed("no strace here; run: apt-get install strace")
    command = [program, "-f", "-ttt", "-s", "60", "-e", f"trace={CALLS}", "-o", str(trace),
               "-p", str(pid)]  # fmt: skip
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert tracer.stderr is not None
    deadline = time.monotonic() + ATTACH_TIMEOUT_S
    while b"attached" not in tracer.stderr.readline():
        if time.monotonic() > deadline or tracer.poll() is not None:
            tracer.kill()
            raise ServerFailed("strace could not attach; run as the same user or as root")
    return tracer
