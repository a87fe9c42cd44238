"""The MQTT source and a real broker."""

from collections.abc import Callable, Iterator

import pytest

from ingest.errors import SourceLost, SourceRefused
from ingest.sources.mqtt import UNMATCHED, MqttSource
from ingest.sources.mqtt_settings import MqttSettings
from tests.streams.mosquitto import PASSWORD, USER, Mosquitto
from tests.streams.waiting import wait_until

Open = Callable[..., MqttSource]


@pytest.fixture
def open_source(mosquitto: Mosquitto) -> Iterator[Open]:
    opened: list[MqttSource] = []

    def make(name: str, *topics: str, **settings: object) -> MqttSource:
        given = {"broker": mosquitto.address, "topics": topics, **settings}
        made = MqttSource(name, MqttSettings(**given))  # type: ignore[arg-type]
        made.open()
        opened.append(made)
        return made

    yield make
    for source in opened:
        source.close()


def bodies(*numbers: int) -> list[bytes]:
    return [b"message %d" % number for number in numbers]


def received(source: MqttSource, count: int, *, settle: bool = True) -> list[bytes]:
    """Payloads until there are so many (at least)."""
    found: list[bytes] = []

    def poll() -> bool:
        try:
            for messages in source.poll(0.1):
                found.extend(payload for payload in messages.payloads if payload is not None)
                if settle:
                    source.acknowledge(messages)
        except SourceLost:
            pass
        return len(found) >= count

    wait_until(poll, f"{count} messages")
    return found


def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(
    mosquitto: Mosquitto, open_source: Open
) -> None:
    first = open_source("again", "again/#")
    mosquitto.publish("again/a", bodies(1, 2))
    assert received(first, 2) == bodies(1, 2)
    mosquitto.publish("again/b", bodies(3, 4))
    assert received(first, 2, settle=False) == bodies(3, 4)
    first.close()
    mosquitto.publish("again/c", bodies(5))
    second = open_source("again", "again/#")
    assert sorted(received(second, 3)) == bodies(3, 4, 5)
    second.close()
    assert open_source("again", "again/#").poll(0.2) == ()


def test_sessions_outlive_a_restart_of_the_broker(mosquitto: Mosquitto, open_source: Open) -> None:
    source = open_source("restart", "restart/#")
    mosquitto.publish("restart/a", bodies(*range(100)))
    received(source, 50, settle=False)
    mosquitto.restart()
    mosquitto.publish("restart/a", bodies(100))
    assert bodies(100)[0] in received(source, 101)  # those before come again
    mosquitto.publish("restart/a", bodies(101))
    wait_until(lambda: bodies(101)[0] in received(source, 1), "the next message")


def test_acknowledgements_of_an_ended_connection_do_not_count_in_the_next(
    mosquitto: Mosquitto, open_source: Open
) -> None:
    source = open_source("old", "old/#")
    mosquitto.publish("old/a", bodies(1))
    (old,) = source.poll(60.0)
    mosquitto.restart()
    again = received(source, 1, settle=False)
    assert again == bodies(1)
    source.acknowledge(old)
    source.close()
    assert received(open_source("old", "old/#"), 1) == bodies(1)


def test_the_broker_waits_for_who_does_not_acknowledge(
    mosquitto: Mosquitto, open_source: Open
) -> None:
    source = open_source("slow", "slow/#", in_flight_max=10)
    mosquitto.publish("slow/a", bodies(*range(30)))
    batches = []

    def poll() -> bool:
        batches.extend(source.poll(0.1))
        return sum(map(len, batches)) >= 10

    wait_until(poll, "the first ten")
    assert source.poll(0.3) == ()
    assert sum(map(len, batches)) == 10
    for batch in batches:
        source.acknowledge(batch)
    assert len(received(source, 20)) == 20


def test_streams_are_filters_and_keys_are_topics(mosquitto: Mosquitto, open_source: Open) -> None:
    source = open_source("names", "names/+/x", "$share/readers/names/#")
    source.close()
    source = open_source("names", "names/+/x")
    for topic in ("names/1/x", "names/2/x", "names/2/y"):
        mosquitto.publish(topic, bodies(1))
    found: dict[str, list[bytes | None]] = {}

    def poll() -> bool:
        for messages in source.poll(0.1):
            found.setdefault(messages.stream, []).extend(messages.keys)
            source.acknowledge(messages)
        return sum(map(len, found.values())) >= 3

    wait_until(poll, "a message of each topic")
    assert set(found["names/+/x"]) == {b"names/1/x", b"names/2/x"}
    assert b"names/2/y" in found[UNMATCHED]


def test_processes_share_what_comes_by_a_shared_filter(
    mosquitto: Mosquitto, open_source: Open
) -> None:
    one, two = (
        open_source("shared", "$share/team/shared/#", client_id=name) for name in ("one", "two")
    )
    mosquitto.publish("shared/a", bodies(*range(40)))
    found: list[bytes] = []
    parts = [0, 0]

    def poll() -> bool:
        for at, source in enumerate((one, two)):
            for messages in source.poll(0.05):
                found.extend(payload for payload in messages.payloads if payload)
                parts[at] += len(messages)
                source.acknowledge(messages)
        return len(found) >= 40

    wait_until(poll, "forty messages at both")
    assert sorted(found) == sorted(bodies(*range(40)))
    assert min(parts) > 0


def test_large_and_empty_messages(mosquitto: Mosquitto, open_source: Open) -> None:
    source = open_source("large", "large/#")
    large = b"x" * (10 << 20)
    mosquitto.publish("large/a", [large, b"", b"small"])
    found: list[bytes | None] = []

    def poll() -> bool:
        for messages in source.poll(0.1):
            found.extend(messages.payloads)
            source.acknowledge(messages)
        return len(found) >= 3

    wait_until(poll, "three messages")
    assert [payload and len(payload) for payload in found] == [10 << 20, None, 5]


def test_user_and_password(mosquitto: Mosquitto, open_source: Open) -> None:
    guarded = {"broker": mosquitto.guarded_address, "user": USER}
    source = open_source("user", "user/#", **guarded, password=PASSWORD)
    mosquitto.publish("user/a", bodies(1))
    assert received(source, 1) == bodies(1)
    with pytest.raises(SourceRefused, match="refused the connection"):
        open_source("user", "user/#", **guarded, password="wrong")


# paho leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
def test_tls_with_a_certificate_and_a_password(mosquitto: Mosquitto, open_source: Open) -> None:
    certs = mosquitto.certs
    known = {"broker": mosquitto.tls_address, "user": USER, "password": PASSWORD}
    trust = {"tls_ca": certs / "ca.pem"}
    own = {"tls_cert": certs / "reader.pem", "tls_key": certs / "reader-key.pem"}
    source = open_source("tls", "tls/#", **known, **trust, **own)
    mosquitto.publish("tls/a", bodies(1, 2, 3))
    assert received(source, 3) == bodies(1, 2, 3)
    with pytest.raises(SourceRefused, match="certificate verify failed"):
        open_source("tls", "tls/#", **known, **own)  # the system's authorities
    with pytest.raises(SourceRefused, match="refused the connection"):
        open_source("tls", "tls/#", **{**known, "password": "wrong"}, **trust, **own)
    with pytest.raises(SourceRefused, match="does it ask for a certificate"):
        open_source("tls", "tls/#", **known, **trust)


def test_who_is_not_there_is_named(open_source: Open) -> None:
    with pytest.raises(SourceRefused, match=r"mqtt\.broker=127\.0\.0\.1:1 cannot be reached"):
        open_source("nobody", "a", broker="127.0.0.1:1")


def test_two_processes_with_one_client_id_are_told(open_source: Open) -> None:
    sources = [open_source("twice", "twice/#") for _ in range(2)]
    refused: list[str] = []

    def poll() -> bool:
        for source in sources:
            try:
                source.poll(0.1)
            except SourceLost:
                continue
            except SourceRefused as error:
                refused.append(str(error))
        return bool(refused)

    wait_until(poll, "one of them is refused")
    assert "mqtt.client_id=zring-twice is used by another process" in refused[0]
