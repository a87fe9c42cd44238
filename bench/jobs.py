"""What the workers of a fleet do: reading with checked answers, writing with checked replies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.question import Question, WrongAnswer


@dataclass(frozen=True, slots=True)
class ReadJob:
    """Ask one question after another, each worker in an order of its own.

    Attributes:
        system: "zring", "postgis" or "questdb".
        address: URL or connection string.
        table: collection or table.
        direct: zring only: ask this node and no other.
        expected: rows of each answer, compared every time.
    """

    system: str
    address: str
    table: str
    questions: Sequence[Question]
    expected: Sequence[int]
    direct: bool = False

    def open(self, worker: int) -> Callable[[int], None]:
        """Connect."""
        count = self._open_reader()
        order = np.random.default_rng(worker).permutation(len(self.questions)).tolist()

        def call(number: int) -> None:
            at = order[number % len(order)]
            rows = count(self.questions[at])
            if rows != self.expected[at]:
                raise WrongAnswer(
                    f"{self.system}: {rows} rows instead of {self.expected[at]} "
                    f"for {self.questions[at]}"
                )

        return call

    def _open_reader(self) -> Callable[[Question], int]:
        # A worker imports only the client that it uses: eight of them start on two cores.
        if self.system == "postgis":
            from bench.references.postgis_reader import PostGisReader

            return PostGisReader(self.address, self.table).count
        if self.system == "questdb":
            from bench.references.questdb_reader import QuestDbReader

            return QuestDbReader(self.address, self.table).count
        from bench.zring_reader import ZringReader

        return ZringReader(self.address, self.table, direct=self.direct).count


@dataclass(frozen=True, slots=True)
class SinglePostJob:
    """POST one record after another to one node, `w=one`; every record is a new one."""

    address: str
    collection: str

    def open(self, worker: int) -> Callable[[int], None]:
        """Connect."""
        import orjson

        from node.client.connection import ConnectionPool

        pool = ConnectionPool(headers={"Accept-Encoding": "identity"})
        target = f"/collections/{self.collection}/items?w=one"
        head = "Content-Type: application/json\r\n"
        rng = np.random.default_rng(worker)

        def call(number: int) -> None:
            lon, lat = rng.uniform((135.0, 33.0), (136.6, 34.6)).tolist()
            body = orjson.dumps(
                {
                    "sensor": f"probe-{worker}-{number % 50}",
                    "time": f"2025-06-{number // 86_400 % 28 + 1:02d}T{number // 3_600 % 24:02d}:"
                    f"{number // 60 % 60:02d}:{number % 60:02d}Z",
                    "lon": round(lon, 5),
                    "lat": round(lat, 5),
                    "values": {"temp": round(20 + lon - lat, 1)},
                }
            )
            reply = pool.request(
                "POST", self.address, target, headers=head, body=body, timeout_s=30.0
            )
            if reply.status != 200 or b'"stored":1' not in bytes(reply.body).replace(b" ", b""):
                raise WrongAnswer(f"POST of one record: {reply.status} {bytes(reply.body)[:300]!r}")

        return call
