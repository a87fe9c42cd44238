"""Where results go: the cluster, a topic, a cache, the console; one batch after the other.

An output writes one micro-batch. It may be called again with the same batch after a crash.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from analytics.errors import Missing

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FIXED = ("sensor", "time", "lon", "lat")
EXPIRY_S = 3_600
"""A cached result is gone after an hour: whoever still wants it asks the cluster."""
PIPELINE_MAX = 1_000
"""Commands of one round trip to the cache."""
CACHE_TIMEOUT_S = 10.0
CONSOLE_ROWS = 20


class Output(Protocol):
    """Takes the result records of one micro-batch."""

    def write(self, frame: "DataFrame", batch: int) -> None:
        """Hand them on; when it returns they are there.

        Args:
            frame: sensor, time, lon, lat, then values.
            batch: number of the micro-batch; the same after a restart.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClusterOutput:
    """Records of a collection: stored exactly once, by identity.

    Attributes:
        options: of the data source `zring` (`url`, `collection`, `token` …).
    """

    options: Mapping[str, str]

    def write(self, frame: "DataFrame", batch: int) -> None:
        """See `Output`."""
        frame.write.format("zring").options(**self.options).mode("append").save()


@dataclass(frozen=True, slots=True)
class TopicOutput:
    """JSON records in a topic of Kafka, at least once; the key is sensor and time."""

    brokers: str
    topic: str
    options: Mapping[str, str] = field(default_factory=dict)

    def write(self, frame: "DataFrame", batch: int) -> None:
        """See `Output`."""
        as_messages(frame).write.format("kafka").options(
            **{"kafka.bootstrap.servers": self.brokers, "topic": self.topic, **self.options}
        ).save()


@dataclass(frozen=True, slots=True)
class CacheOutput:
    """The newest result of each sensor in Redis, for an hour: `PREFIX:SENSOR` → JSON record."""

    url: str
    prefix: str

    def write(self, frame: "DataFrame", batch: int) -> None:
        """See `Output`.

        Raises:
            Missing: the package `redis`.
        """
        require_redis()
        url, prefix = self.url, self.prefix
        newest = as_messages(frame.orderBy("time")).select("sensor", "value")

        def store(rows: Iterator[Any]) -> None:
            store_in_cache(url, prefix, rows)

        # One Spark partition, in the order of time: the newest of a sensor must be the last.
        newest.coalesce(1).foreachPartition(store)


def require_redis() -> None:
    """Raises Missing where the package is not installed."""
    try:
        import redis  # noqa: F401
    except ModuleNotFoundError:
        raise Missing("no module redis; install it: pip install 'zring[redis]'") from None


def store_in_cache(url: str, prefix: str, rows: Iterator[Any]) -> None:
    """Write (sensor, JSON) pairs with their expiry, many in one round trip."""
    import redis

    cache = redis.Redis.from_url(
        url, socket_timeout=CACHE_TIMEOUT_S, socket_connect_timeout=CACHE_TIMEOUT_S
    )
    try:
        pipeline = cache.pipeline(transaction=False)
        for row in rows:
            pipeline.set(f"{prefix}:{row.sensor}", row.value, ex=EXPIRY_S)
            if len(pipeline) >= PIPELINE_MAX:
                pipeline.execute()
        pipeline.execute()
    finally:
        cache.close()


@dataclass(frozen=True, slots=True)
class ConsoleOutput:
    """A table of the first rows."""

    name: str

    def write(self, frame: "DataFrame", batch: int) -> None:
        """See `Output`."""
        print(f"-- {self.name}, batch {batch}")  # noqa: T201 - the console is the output
        frame.show(CONSOLE_ROWS, truncate=False)


def as_messages(frame: "DataFrame") -> "DataFrame":
    """Columns `key`, `value` (a JSON record as POST takes it) and `sensor`."""
    from pyspark.sql import functions as sql

    time = sql.date_format("time", "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'")
    values = sql.struct(*[name for name in frame.columns if name not in FIXED])
    record = sql.struct("sensor", time.alias("time"), "lon", "lat", values.alias("values"))
    return frame.select(
        sql.concat("sensor", sql.lit("@"), time).alias("key"),
        sql.to_json(record).alias("value"),
        "sensor",
    )
