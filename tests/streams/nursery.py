"""Processes of `zring` that begin within milliseconds: forks of one that has imported everything.

A process that is killed twenty times is started as often, and two thirds of a second of each start
go into imports. Each fork is a process of its own, with its own sockets, threads and end.

The nursery is one process (`python -m tests.streams.nursery`): requests are lines of JSON on its
standard input, answers lines on its standard output. It has one thread and opens nothing, so that
there is nothing for forks to share.
"""

import atexit
import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

IMPORTS = ("ingest.sources.kafka_confluent", "ingest.sources.kafka_pykafka", "ingest.sources.files",
           "ingest.sources.mqtt", "ingest.sources.fluentd", "ingest.sources.zeromq",
           "ingest.commands.run", "ingest.commands.audit")  # fmt: skip


class Nursery:
    """The process, from the outside; one for each process of tests."""

    def __init__(self) -> None:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("ZRING_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.streams.nursery"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=kept,
        )  # fmt: skip
        atexit.register(self.close)

    @classmethod
    @functools.cache
    def shared(cls) -> "Nursery":
        """Begun by whoever needs it first."""
        return cls()

    def start(self, words: Sequence[str], *, folder: Path, log: Path) -> int:
        """Run `zring WORDS` in a folder; returns the number of its process."""
        return int(self._ask({"words": list(words), "folder": str(folder), "log": str(log)}))

    def exit_code(self, process_id: int) -> int | None:
        """Of a process that was started here; negative for a signal, None while it runs."""
        code = self._ask({"process": process_id})
        return None if code is None else int(code)

    def close(self) -> None:
        """End the nursery; what it has started is ended by who started it."""
        self._process.communicate()

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def main() -> None:
    """Answer requests until the input ends."""
    from importlib import import_module

    from node.cli.main import main as zring

    for name in IMPORTS:
        import_module(name)
    ended: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "process" in request:
            print(json.dumps(_exit_code(request["process"], ended)), flush=True)
            continue
        process_id = os.fork()
        if not process_id:
            _become(request)
            zring(prog_name="zring")
        print(process_id, flush=True)


def _exit_code(process_id: int, ended: dict[int, int]) -> int | None:
    if process_id not in ended:
        done, status = os.waitpid(process_id, os.WNOHANG)
        if not done:
            return None
        ended[process_id] = os.waitstatus_to_exitcode(status)
    return ended[process_id]


def _become(request: dict[str, Any]) -> None:
    """In the fork: its own folder, input, output and words."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    said = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for source, target in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(source, target)
    os.chdir(request["folder"])
    sys.argv = ["zring", *request["words"]]


if __name__ == "__main__":
    main()
