"""The same query, with the same answer, before and after ten times as much is stored."""

import zring
from bench.asked import ACROSS
from bench.dataset import Dataset
from bench.finding import Finding
from bench.question import DAY_US, Oracle, Question
from bench.session import Session
from bench.stopwatch import alternate, median_ms
from bench.zring_cluster import ZringCluster
from bench.zring_reader import ZringReader

ROUNDS = 41
ANSWER_ROWS = 5_000
BAR = 1.5


def run(session: Session) -> list[Finding]:
    """A node with the first tenth beside a node with everything, asked in turn."""
    whole = session.stations()
    tenth = whole.head(len(whole) // 10)
    large = session.cluster(nodes=1, replicas=0, holding=whole)
    with session.second_cluster(nodes=1, replicas=0) as small:
        session.say(f"zring: load {len(tenth):,} records")
        small.load(tenth)
        _write_again(small, tenth)
        small.wait_merged()
        waiting = small.log_records()
        question = _question(tenth)
        expected = Oracle(whole).answer(question)
        readers = {
            "small": ZringReader(small.url(), whole.collection, direct=True),
            "large": ZringReader(large.url(), whole.collection, direct=True),
        }
        for name, reader in readers.items():
            expected.check(reader.checksum(question), f"zring, {name}")
        calls = {name: lambda it=reader: it.table(question) for name, reader in readers.items()}
        medians = {name: median_ms(s) for name, s in alternate(calls, rounds=ROUNDS).items()}
        for reader in readers.values():
            reader.close()
    ratio = medians["large"] / medians["small"]
    return [
        Finding(
            "growth",
            f"the same {expected.rows:,} rows of {len(tenth):,} and of {len(whole):,} records",
            ratio, "× slower", f"≤ {BAR:g} ×", ratio <= BAR,
            details={
                "left in the small log": f"{waiting:,}",
                "small, ms": medians["small"], "large, ms": medians["large"],
            },
        )
    ]  # fmt: skip


def _write_again(cluster: ZringCluster, dataset: Dataset) -> None:
    """The same records once more change nothing, but fill the log, so that the node merges: blocks
    are to be compared with blocks, not with a log in memory."""
    with zring.connect(cluster.url()) as client:
        client.write(dataset.collection, dataset.table)


def _question(tenth: Dataset) -> Question:
    """Some days in the middle of the tenth, so many that the answer has some thousand rows."""
    oracle = Oracle(tenth)
    start = int(oracle.time[len(tenth) // 3] // DAY_US * DAY_US)
    days = 1
    while True:
        asked = Question(*ACROSS, start, start + days * DAY_US)
        if len(oracle.matches(asked)) >= ANSWER_ROWS or asked.time_stop >= oracle.time[-1]:
            return asked
        days += 1
