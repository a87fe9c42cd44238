"""From starting a node that holds 2 M records to its first right answer."""

import time

import numpy as np

from bench.finding import Finding
from bench.session import Session
from bench.zring_reader import ZringReader

STARTS = 3
BAR_S = 2.0


def run(session: Session) -> list[Finding]:
    """After an orderly stop, and after kill -9."""
    dataset = session.stations()
    cluster = session.cluster(nodes=1, replicas=0, holding=dataset)
    question = session.asked(dataset).small[0]
    expected = session.oracle(dataset).answer(question)
    (name,) = cluster.names

    def restart(*, kill: bool) -> float:
        process = cluster.process(name)
        process.kill() if kill else process.stop()
        started = time.perf_counter()
        cluster.start_node(name)
        cluster.wait_ready(name)
        reader = ZringReader(cluster.url(), dataset.collection, direct=True)
        expected.check(reader.checksum(question), "zring after a restart")
        reader.close()
        return time.perf_counter() - started

    stopped = float(np.median([restart(kill=False) for _ in range(STARTS)]))
    killed = float(np.median([restart(kill=True) for _ in range(STARTS)]))
    return [
        Finding(
            "start", f"start of a node that holds {len(dataset):,} records, until it answers",
            stopped, "s", f"≤ {BAR_S:g} s", max(stopped, killed) <= BAR_S,
            details={"after kill -9, s": killed},
        )
    ]  # fmt: skip
