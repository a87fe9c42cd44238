"""Both Kafka clients against real brokers: what comes out, what comes again, what is refused."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import ScramMechanism

from ingest.errors import SourceLost, SourceRefused
from ingest.sources.kafka_confluent import ConfluentSource
from ingest.sources.kafka_offsets import ask_extents
from ingest.sources.kafka_pykafka import PykafkaSource
from ingest.sources.kafka_settings import KafkaSettings
from ingest.sources.source import (
    POLL_BYTES_MAX,
    POLL_MESSAGES_MAX,
    Extent,
    Messages,
    Source,
)
from tests.streams.broker import ANSWER_DEADLINE_S, PASSWORD, USER, Broker
from tests.streams.contract import SourceContract
from tests.streams.waiting import wait_until

SOURCES: dict[str, Callable[[str, KafkaSettings], Source]] = {
    "confluent": ConfluentSource,
    "pykafka": PykafkaSource,
}
PAIRS = [("confluent", "4.2"), ("confluent", "3.9"), ("pykafka", "3.9")]
NAMES = (f"topic-{number}" for number in itertools.count())


@pytest.fixture
def broker(request: pytest.FixtureRequest, version: str) -> Broker:
    """The broker of a release line."""
    found: Broker = request.getfixturevalue(f"kafka_{version.replace('.', '')}")
    return found


@pytest.fixture
def topic(broker: Broker) -> str:
    """A new topic of one Kafka partition."""
    name = next(NAMES)
    broker.create_topic(name)
    return name


def make(client: str, broker: Broker, topic: str, **settings: Any) -> Source:
    """A source that is not open yet, of a group named like the topic."""
    given = {"brokers": (broker.address,), "topics": (topic,), "group": topic, **settings}
    return SOURCES[client]("here", KafkaSettings(client=client, **given))


def polls(
    *sources: Source, lost: dict[int, set[str]] | None = None
) -> Iterator[tuple[Source, Messages]]:
    """Everything that comes, without end; sources in turn, so that all keep their membership.

    Args:
        lost: id of a source → grows by the streams that it lost.
    """
    while True:
        for source in sources:
            gone = source.lost_streams()
            if lost is not None:
                lost.setdefault(id(source), set()).update(gone)
            try:
                for messages in source.poll(0.05):
                    yield source, messages
            except SourceLost:
                continue
        yield sources[0], None  # type: ignore[misc]  # lets the caller look at the clock


def read(source: Source, count: int, *, acknowledge: bool = True) -> list[Messages]:
    """Batches with `count` messages in all."""
    found: list[Messages] = []
    coming = polls(source)

    def has_all() -> bool:
        _, messages = next(coming)
        if messages is not None:
            found.append(messages)
            if acknowledge:
                source.acknowledge(messages)
        return sum(map(len, found)) >= count

    wait_until(has_all, f"{count} messages")
    assert sum(map(len, found)) == count
    return found


def refuse(source: Source, reason: str) -> None:
    """Check that it does not open, and says why in one line."""
    with closing(source), pytest.raises(SourceRefused, match=re.escape(reason)) as refused:
        source.open()
    assert "\n" not in str(refused.value)


def bodies(found: list[Messages]) -> list[bytes | None]:
    """Payloads in the order in which they came."""
    return [payload for messages in found for payload in messages.payloads]


def committed(broker: Broker, topic: str) -> int:
    """What the group named like the topic has committed in Kafka partition 0."""
    admin = broker.admin()
    asked = ConsumerGroupTopicPartitions(topic, [TopicPartition(topic, 0)])
    (answer,) = admin.list_consumer_group_offsets([asked]).values()
    (place,) = answer.result(ANSWER_DEADLINE_S).topic_partitions
    return int(place.offset)


class KafkaCase:
    """A topic of one Kafka partition, read by one client."""

    redelivers = orders = True

    def __init__(self, client: str, broker: Broker) -> None:
        self.client, self.broker, self.topic = client, broker, next(NAMES)
        broker.create_topic(self.topic)

    def produce(self, bodies: Sequence[bytes]) -> None:
        self.broker.produce(self.topic, bodies)

    def source(self) -> Source:
        return make(self.client, self.broker, self.topic)

    def refused(self) -> Source:
        return make(self.client, self.broker, self.topic, topics=("nowhere",))


class TestConfluent(SourceContract):
    """The contract with the newest broker."""

    @pytest.fixture
    def case(self, kafka_42: Broker) -> KafkaCase:
        return KafkaCase("confluent", kafka_42)


class TestPykafka(SourceContract):
    """The contract with the newest broker that it can speak to."""

    @pytest.fixture
    def case(self, kafka_39: Broker) -> KafkaCase:
        return KafkaCase("pykafka", kafka_39)


@pytest.mark.parametrize(("client", "version"), PAIRS)
def test_messages_come_whole_in_order_and_numbered(client: str, broker: Broker, topic: str) -> None:
    values = [None, b"", b"x" * 10_000_000, *(b"%d" % number for number in range(25_000))]
    keys = [b"k%d" % (index % 7) for index in range(len(values))]
    broker.produce(topic, values, keys=keys)
    with closing(make(client, broker, topic)) as source:
        source.open()
        found = read(source, len(values))
        assert bodies(found) == values
        assert [key for messages in found for key in messages.keys] == keys
        assert [at for messages in found for at in messages.sequences] == list(range(len(values)))
        for messages in found:
            assert messages.stream == f"{topic}/0"
            assert messages.produced_ms.min() > 1_600_000_000_000
            assert len(messages) <= POLL_MESSAGES_MAX
            size = sum(len(payload or b"") for payload in messages.payloads)
            assert size <= POLL_BYTES_MAX or len(messages) == 1
        wait_until(lambda: (source.poll(0.01), source.lag().messages == 0)[1], "nothing waits")


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4"])
@pytest.mark.parametrize(("client", "version"), [("confluent", "4.2"), ("pykafka", "3.9")])
def test_compressed_messages_are_read(client: str, broker: Broker, topic: str, codec: str) -> None:
    values = [b"%d;" % number * 20 for number in range(3_000)]
    broker.produce(topic, values, compression_codec=codec)
    with closing(make(client, broker, topic)) as source:
        source.open()
        found = read(source, len(values))
    assert bodies(found) == values
    assert [at for messages in found for at in messages.sequences] == list(range(len(values)))


@pytest.mark.parametrize(("client", "version"), PAIRS)
def test_what_was_not_acknowledged_comes_again(client: str, broker: Broker, topic: str) -> None:
    broker.produce(topic, [b"%d" % number for number in range(100)])
    with closing(make(client, broker, topic)) as source:
        source.open()
        first = read(source, 100, acknowledge=False)
    with closing(make(client, broker, topic)) as source:
        source.open()
        again = read(source, 100)
        assert bodies(again) == bodies(first)
    assert committed(broker, topic) == 100
    broker.produce(topic, [b"new"])
    with closing(make(client, broker, topic)) as source:
        source.open()
        assert bodies(read(source, 1)) == [b"new"]


@pytest.mark.parametrize(("client", "version"), PAIRS)
def test_offsets_are_committed_while_it_runs(client: str, broker: Broker, topic: str) -> None:
    broker.produce(topic, [b"a", b"b"])
    with closing(make(client, broker, topic)) as source:
        source.open()
        read(source, 2)
        wait_until(
            lambda: (source.keep_alive(), committed(broker, topic) == 2)[1], "both are committed"
        )


@pytest.mark.parametrize(("client", "version"), PAIRS)
def test_latest_begins_at_the_end_and_stays_there(client: str, broker: Broker, topic: str) -> None:
    """What comes between a first start and its first acknowledgement is not missed."""
    broker.produce(topic, [b"old"])
    with closing(make(client, broker, topic, offset_reset="latest")) as source:
        source.open()
        wait_until(lambda: (source.poll(0.05), committed(broker, topic) == 1)[1], "the start")
    broker.produce(topic, [b"new"])
    with closing(make(client, broker, topic, offset_reset="latest")) as source:
        source.open()
        assert bodies(read(source, 1)) == [b"new"]


@pytest.mark.parametrize(("client", "version"), PAIRS)
def test_members_share_and_take_over(client: str, broker: Broker) -> None:
    """What is in flight when another joins comes again there; nothing is missed."""
    topic = next(NAMES)
    broker.create_topic(topic, kafka_partitions=4)
    for number in range(4):
        values = [b"%d/%d" % (number, index) for index in range(50)]
        broker.produce(topic, values, kafka_partition=number)
    with closing(make(client, broker, topic)) as first:
        first.open()
        in_flight = read(first, 200, acknowledge=False)
        with closing(make(client, broker, topic)) as second:
            second.open()
            seen: dict[bool, set[str]] = {True: set(), False: set()}
            done: set[bytes | None] = set()
            told: dict[int, set[str]] = {}
            coming = polls(first, second, lost=told)
            lost = told.setdefault(id(first), set())

            def is_shared() -> bool:
                source, messages = next(coming)
                if messages is not None:
                    seen[source is first].add(messages.stream)
                    done.update(messages.payloads)
                    source.acknowledge(messages)
                return bool(seen[False]) and lost >= seen[False]

            wait_until(is_shared, "the second has Kafka partitions that the first lost")
            for messages in in_flight:
                if messages.stream not in lost:
                    done.update(messages.payloads)
                first.acknowledge(messages)  # of those that were lost: nothing happens

            def is_complete() -> bool:
                source, messages = next(coming)
                if messages is not None:
                    done.update(messages.payloads)
                    source.acknowledge(messages)
                return len(done) == 200

            wait_until(is_complete, "all messages")


@pytest.mark.parametrize(("client", "version"), [("confluent", "4.2"), ("pykafka", "3.9")])
def test_a_slow_store_loses_nothing(client: str, broker: Broker, topic: str) -> None:
    broker.produce(topic, [b"%d" % number for number in range(20_000)])
    with closing(make(client, broker, topic)) as source:
        source.open()
        found: list[Messages] = []
        coming = polls(source)

        def has_some() -> bool:
            _, messages = next(coming)
            if messages is not None:
                found.append(messages)
                for _ in range(3):
                    source.keep_alive()
            return sum(map(len, found)) == 20_000

        wait_until(has_some, "all messages between pauses")
        assert bodies(found) == [b"%d" % number for number in range(20_000)]


@pytest.mark.parametrize(("client", "version"), [("confluent", "4.2"), ("pykafka", "3.9")])
def test_a_broker_that_restarts_costs_time_only(client: str, broker: Broker, topic: str) -> None:
    broker.produce(topic, [b"before"])
    with closing(make(client, broker, topic)) as source:
        source.open()
        assert bodies(read(source, 1)) == [b"before"]
        broker.kill()
        broker.start()
        broker.produce(topic, [b"after"])
        found: set[bytes | None] = set()
        coming = polls(source)

        def has_after() -> bool:
            _, messages = next(coming)
            if messages is not None:
                found.update(messages.payloads)
                source.acknowledge(messages)
            return b"after" in found

        wait_until(has_after, "a message after the restart", deadline_s=60.0)


@pytest.mark.parametrize(("client", "version"), [("confluent", "4.2"), ("pykafka", "3.9")])
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"topics": ("nowhere",)}, "topic nowhere does not exist at 127.0.0.1"),
        ({"brokers": ("127.0.0.1:1",)}, "Connection refused"),
        ({"brokers": ("nowhere.invalid:9092",)}, "nowhere.invalid:9092"),
        ({"options": {"nonsense": "1"}}, "nonsense"),
        ({"tls": True}, "TLS"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    client: str, broker: Broker, topic: str, settings: dict[str, Any], reason: str
) -> None:
    refuse(make(client, broker, topic, **settings), reason)


@pytest.mark.parametrize(("client", "version"), [("confluent", "4.2"), ("pykafka", "3.9")])
def test_tls_both_sides_show_a_certificate(client: str, broker: Broker, topic: str) -> None:
    broker.produce(topic, [b"x"])
    place = {"brokers": (broker.tls_address,), "tls": True}
    own = {"tls_cert": broker.certs / "reader.pem", "tls_key": broker.certs / "reader-key.pem"}
    trust = {"tls_ca": broker.certs / "ca.pem"}
    with closing(make(client, broker, topic, **place, **own, **trust)) as source:
        source.open()
        assert bodies(read(source, 1)) == [b"x"]
    refuse(make(client, broker, topic, **place, **own), "certificate")  # the system's authorities
    refuse(make(client, broker, topic, **place, **trust), broker.tls_address)  # no certificate
    refuse(make(client, broker, topic, **{**place, "tls": False}), broker.tls_address)


@pytest.mark.parametrize("version", ["4.2"])
def test_users_are_checked_over_tls(broker: Broker, topic: str) -> None:
    """Every mechanism that needs no server of its own; pykafka 2.8 knows none of them."""
    broker.produce(topic, [b"x"])
    salted = {
        "SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256,
        "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512,
    }
    for mechanism, how in salted.items():
        broker.admit(mechanism, PASSWORD, how)
    place = {
        "brokers": (broker.sasl_tls_address,), "tls": True, "tls_ca": broker.certs / "ca.pem"
    }  # fmt: skip
    for mechanism, user in {"PLAIN": USER, **{name: name for name in salted}}.items():
        known = {**place, "sasl_mechanism": mechanism, "sasl_user": user}
        right = {**known, "sasl_password": PASSWORD, "group": f"{topic}-{mechanism}"}
        with closing(make("confluent", broker, topic, **right)) as source:
            source.open()
            (messages,) = read(source, 1)
            source.acknowledge(messages)
        settings = KafkaSettings(topics=(topic,), **right)
        assert ask_extents(settings) == {f"{topic}/0": Extent(begin=0, end=1, committed=1)}
        wrong = make("confluent", broker, topic, **known, sasl_password="wrong")
        refuse(wrong, "does not know this user or password")
        refuse(make("pykafka", broker, topic, **right), "pykafka knows no SASL")


@pytest.mark.parametrize("version", ["4.2"])
def test_who_we_are_is_checked(broker: Broker, topic: str) -> None:
    broker.produce(topic, [b"x"])
    known = {"brokers": (broker.sasl_address,), "sasl_mechanism": "PLAIN", "sasl_user": USER}
    with closing(make("confluent", broker, topic, **known, sasl_password=PASSWORD)) as source:
        source.open()
        assert bodies(read(source, 1)) == [b"x"]
    refuse(make("confluent", broker, topic, **known, sasl_password="wrong"), "does not know this")
    refuse(make("pykafka", broker, topic, **known, sasl_password=PASSWORD), "--client confluent")


@pytest.mark.parametrize("version", ["4.2"])
def test_pykafka_explains_why_a_new_broker_is_beyond_it(broker: Broker, topic: str) -> None:
    refuse(make("pykafka", broker, topic), "which Kafka 4.0 removed: use --client confluent")


@pytest.mark.parametrize("version", ["3.9"])
def test_pykafka_explains_zstd_and_confluent_goes_on(broker: Broker, topic: str) -> None:
    broker.produce(topic, [b"plain"])
    broker.produce(topic, [b"packed" * 100] * 10, compression_codec="zstd")
    with closing(make("pykafka", broker, topic)) as source:
        source.open()
        assert bodies(read(source, 1)) == [b"plain"]
        coming = polls(source)
        with pytest.raises(SourceRefused, match=r"zstd.*--client confluent"):
            wait_until(lambda: next(coming) and False, "the refusal")
    with closing(make("confluent", broker, topic)) as source:
        source.open()
        assert bodies(read(source, 10)) == [b"packed" * 100] * 10
