"""The process that brings records in for this node: started, watched, started again.

It is a process of its own because what it waits for and what it decodes must not delay answers,
and because it belongs to a layer above: the node knows a command line and no more. It says what it
does in lines of JSON on its standard output, and it ends when its standard input does, so that it
never outlives the node.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from node.clock import Clock

log = logging.getLogger("zring.sources")
RESTART_FIRST_MS, RESTART_MAX_MS = 1_000, 60_000
"""Pause before it is started again; doubles while it does not keep running."""
STEADY_MS = 60_000
"""Whoever ran so long is started again after the first pause."""
END_TIMEOUT_MS = 20_000
"""For what is in flight, after it was told to end; then it is killed: what was not acknowledged
comes again."""
NOT_STARTED = 127
"""Exit code of a program that is not there, as shells have it."""
SOURCE = "source"
"""The member of a report that says which source it is about."""
LINE_BYTES_MAX = 1 << 20
"""A longer line of a child is no report."""

IngestState = Literal["starting", "running", "waiting", "stopped"]


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """How the process is.

    Attributes:
        state: starting (has said nothing yet), running, waiting (for its next start), stopped (by
            this node, or because the sources had nothing more).
        sources: names of the sources that it was given.
        since_us: of the state.
        restarts: starts that were not the first.
        exit_code: of the last process that ended; negative for a signal.
        report: source → the last thing it said about itself.
    """

    state: IngestState
    sources: tuple[str, ...]
    process_id: int | None
    since_us: int
    restarts: int
    exit_code: int | None
    report: Mapping[str, Any]


class IngestProcess:
    """Runs a command again and again; `run` is a task of the node, ended by cancelling it.

    Args:
        sources: their names, for people.
        environment: all variables of the process.
        finished: exit codes of one that had nothing more to do: it is not started again.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        sources: Sequence[str],
        environment: Mapping[str, str],
        clock: Clock,
        finished: frozenset[int] = frozenset((0,)),
        restart_first_ms: int = RESTART_FIRST_MS,
    ) -> None:
        self._command, self._environment = tuple(command), dict(environment)
        self._finished = finished
        self._sources, self._clock = tuple(sources), clock
        self._first_ms = restart_first_ms
        self._process: asyncio.subprocess.Process | None = None
        self._state: IngestState = "starting"
        self._since_us = clock.now_us()
        self._starts = 0
        self._exit_code: int | None = None
        self._report: Mapping[str, Any] = {}

    def status(self) -> IngestStatus:
        """How it is now."""
        return IngestStatus(
            state=self._state,
            sources=self._sources,
            process_id=None if self._process is None else self._process.pid,
            since_us=self._since_us,
            restarts=max(0, self._starts - 1),
            exit_code=self._exit_code,
            report=self._report,
        )

    async def run(self) -> None:
        """Keep it running until it has nothing more to do; when cancelled, end it."""
        pause_ms = self._first_ms
        try:
            while True:
                started_ms = self._clock.now_ms()
                await self._live()
                if self._exit_code in self._finished:
                    log.info("the process of the sources has ended: they have nothing more")
                    return
                if self._clock.now_ms() - started_ms >= STEADY_MS:
                    pause_ms = self._first_ms
                self._turn("waiting")
                log.warning(
                    "the process of the sources ended with %s; it is started again in %g s",
                    self._exit_code, pause_ms / 1_000,
                )  # fmt: skip
                await asyncio.sleep(pause_ms / 1_000)
                pause_ms = min(2 * pause_ms, RESTART_MAX_MS)
        finally:
            self._turn("stopped")

    async def _live(self) -> None:
        """One process, from its start to its end."""
        self._starts += 1
        self._turn("starting")
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=self._environment,
                limit=LINE_BYTES_MAX,
                start_new_session=True,  # Ctrl-C is the node's: it ends this one in order
            )
        except OSError as error:
            log.error("%s cannot be started: %s", self._command[0], error.strerror)
            self._exit_code = NOT_STARTED
            return
        try:
            await self._listen(process)
            await process.wait()
        finally:
            await self._end(process)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                continue  # longer than LINE_BYTES_MAX: it was dropped
            if not line:
                return
            try:
                report = orjson.loads(line)
            except orjson.JSONDecodeError:
                log.info("sources: %s", line.decode(errors="replace").rstrip()[:1_000])
                continue
            if isinstance(report, dict) and report.get(SOURCE) in self._sources:
                self._report = {**self._report, report[SOURCE]: report}
                if self._state == "starting":
                    self._turn("running")

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Ask a process that still runs to end, and wait; kill it when it does not."""
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                # In a cancelled task `asyncio.timeout` never times out (Python 3.11.2).
                await asyncio.wait_for(process.wait(), END_TIMEOUT_MS / 1_000)
            except TimeoutError:
                log.warning("the process of the sources did not end; it is killed")
                process.kill()
                await process.wait()
        self._exit_code, self._process = process.returncode, None

    def _turn(self, state: IngestState) -> None:
        self._state, self._since_us = state, self._clock.now_us()
