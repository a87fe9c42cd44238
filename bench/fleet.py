"""Many client processes at once: throughput that no single Python process can make.

Each worker is a process of its own with one connection, and repeats its job as fast as it can for
some seconds. Workers stay alive between rounds, idle, so that rounds of two systems can alternate
on the same machine.
"""

import multiprocessing
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Protocol

import numpy as np

from bench.stopwatch import Floats

WARMUP_S = 0.5
REPLY_TIMEOUT_S = 120.0
FIRST_REPLY_TIMEOUT_S = 300.0
"""Importing a client library in eight processes at once takes seconds on two cores."""


class Job(Protocol):
    """Something to repeat; it is sent to the workers, so it must be picklable."""

    def open(self, worker: int) -> Callable[[int], None]:
        """Connect; the result does call number n, and raises when the answer is wrong."""


class WorkerFailed(Exception):
    """A worker's call raised; the message holds its traceback."""


@dataclass(frozen=True, slots=True)
class Round:
    """What all workers did in one round."""

    seconds: float
    latencies: Floats

    @property
    def rate(self) -> float:
        """Calls per second of all workers together."""
        return len(self.latencies) / self.seconds


class Fleet:
    """Workers that wait for rounds; close it when done."""

    def __init__(self, job: Job, *, workers: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._members: list[tuple[BaseProcess, Connection]] = []
        for worker in range(workers):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_work, args=(job, worker, theirs), daemon=True)
            process.start()
            theirs.close()
            self._members.append((process, ours))
        for _, pipe in self._members:
            _receive(pipe, FIRST_REPLY_TIMEOUT_S)

    def run(self, seconds: float) -> Round:
        """All workers at once for so many seconds, after a short warm-up."""
        begin = time.monotonic() + 0.05
        for _, pipe in self._members:
            pipe.send((begin, seconds))
        parts = [_receive(pipe, seconds + REPLY_TIMEOUT_S) for _, pipe in self._members]
        return Round(seconds, np.concatenate(parts))

    def close(self) -> None:
        """End the workers."""
        for process, pipe in self._members:
            pipe.close()
            process.join(5)
            if process.is_alive():
                process.kill()

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _receive(pipe: Connection, timeout_s: float) -> Floats:
    if not pipe.poll(timeout_s):
        raise WorkerFailed(f"a worker did not answer within {timeout_s:.0f} s")
    try:
        answer = pipe.recv()
    except EOFError:
        raise WorkerFailed("a worker ended without a word") from None
    if isinstance(answer, str):
        raise WorkerFailed(answer)
    return np.asarray(answer, np.float64)


def _work(job: Job, worker: int, pipe: Connection) -> None:
    """Body of a worker: one round for each message, until the pipe closes."""
    try:
        call = job.open(worker)
        call(0)
        pipe.send([])
        at = 1
        while True:
            begin, seconds = pipe.recv()
            latencies, at = _repeat(call, at, begin, seconds)
            pipe.send(latencies)
    except (EOFError, KeyboardInterrupt):
        return
    except Exception:  # noqa: BLE001 - the outermost loop of a process: the parent raises it again
        pipe.send(traceback.format_exc())


def _repeat(
    call: Callable[[int], None], at: int, begin: float, seconds: float
) -> tuple[Floats, int]:
    """Calls are counted when they end inside the measured time."""
    latencies: list[float] = []
    time.sleep(max(0.0, begin - time.monotonic()))
    measure_from = begin + WARMUP_S
    stop = measure_from + seconds
    while True:
        started = time.monotonic()
        call(at)
        ended = time.monotonic()
        at += 1
        if ended >= stop:
            return np.array(latencies), at
        if ended >= measure_from:
            latencies.append(ended - started)
