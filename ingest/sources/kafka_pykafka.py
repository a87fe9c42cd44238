"""Kafka through `pykafka`, for brokers up to 3.9: the same flags and guarantees."""

import logging
import ssl
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ingest.errors import SourceLost, SourceRefused
from ingest.sources.kafka_api_versions import FETCH_REQUEST, ask_api_versions
from ingest.sources.kafka_message_set import FETCH_VERSION, MessageColumns
from ingest.sources.kafka_positions import Positions, Receipt, stream_name
from ingest.sources.kafka_pykafka_group import (
    TROUBLE,
    UNKNOWN_TOPIC,
    UNSUPPORTED_COMPRESSION,
    Fetcher,
    FetchRefused,
    GroupMember,
)
from ingest.sources.kafka_settings import KafkaSettings
from ingest.sources.source import Lag, Messages

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pykafka import KafkaClient

COMMIT_INTERVAL_S = 0.2
"""Commits are one round trip each; a crash repeats what came in this time."""
RECONNECT_INTERVAL_S = 0.5
TOPIC_WAIT_S, TOPIC_PAUSE_S = 3.0, 0.2
"""A topic that was made a moment ago is looked for again before it is said not to exist."""
BROKER_VERSION = "0.10.2"
"""What pykafka is told: the first that says itself which requests it takes."""
OPTIONS = {
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 1_000,
    "socket_timeout_ms": 15_000,
    "fetch_message_max_bytes": 1 << 20,
    "fetch_min_bytes": 1,
    "fetch_wait_max_ms": 100,
}
"""What `options` may say, and what holds otherwise. A join waits as long as a session lasts: the
time-out of sockets is longer."""

# Its errors are raised here, as one line; without a handler they would go to standard error too.
logging.getLogger("pykafka").addHandler(logging.NullHandler())


class PykafkaSource:
    """One member of a consumer group; see `Source`.

    Guarantee: at least once. Offsets are committed after `acknowledge`. A rebalance takes all
    Kafka partitions from all members and gives them out anew (the old protocol knows nothing
    gentler): what is in flight then comes again.
    """

    def __init__(self, name: str, settings: KafkaSettings) -> None:
        self._name, self._settings = name, settings
        self._positions = Positions()
        self._client: Any = None
        self._member: GroupMember | None = None
        self._taken: tuple[Fetcher, list[tuple[int, MessageColumns]]] | None = None
        self._is_open = False
        self._committed_s = 0.0
        self._tried_s = 0.0

    @property
    def name(self) -> str:
        """See `Source`."""
        return self._name

    def open(self) -> None:
        """See `Source`."""
        if self._is_open:
            return
        if self._settings.sasl_mechanism:
            raise self._refused("pykafka knows no SASL; use --client confluent")
        if len(self._settings.topics) > 1:
            raise self._refused(
                f"pykafka reads one topic a source, not {', '.join(self._settings.topics)}; make "
                "one source for each, or use --client confluent"
            )
        self._check_brokers()
        try:
            self._join()
        except TROUBLE as error:
            self._leave()
            raise self._refused(f"pykafka cannot join the group: {_text(error)}") from None
        self._is_open = True

    def poll(self, timeout_s: float) -> Sequence[Messages]:
        """See `Source`."""
        fetcher = self._fetcher()
        if not self._taken or self._taken[0] is not fetcher:
            self._taken = (fetcher, fetcher.take(timeout_s))
        if self._positions.has_lost():
            return ()
        polled, self._taken = self._taken[1], None
        made = (self._messages(fetcher, number, columns) for number, columns in polled)
        found = [messages for messages in made if messages is not None]
        self._commit()
        return found

    def keep_alive(self) -> None:
        """See `Source`: membership is kept by a thread, and reading ahead ends by itself."""
        self._fetcher()
        self._commit()

    def acknowledge(self, messages: Messages) -> None:
        """See `Source`."""
        assert isinstance(messages.receipt, Receipt)
        self._positions.acknowledge(messages.receipt)
        self._commit()

    def lost_streams(self) -> Sequence[str]:
        """See `Source`."""
        return self._positions.take_lost()

    def lag(self) -> Lag:
        """See `Source`: from the ends that came with the last messages."""
        fetcher = self._member.fetcher if self._member is not None else None
        ends = dict(fetcher.ends) if fetcher is not None else {}
        streams: dict[str, int] = {}
        for place in self._positions.held():
            start = self._positions.next_offset(place)
            if start is not None and place[1] in ends:
                streams[stream_name(place)] = max(0, ends[place[1]] - start)
        return Lag(sum(streams.values()), streams)

    def is_at_end(self) -> bool:
        """See `Source`."""
        return False

    def close(self) -> None:
        """See `Source`."""
        self._is_open = False
        self._leave()

    def _refused(self, why: str) -> SourceRefused:
        return SourceRefused(f"source {self._name}: {why}")

    def _context(self) -> ssl.SSLContext | None:
        if not self._settings.tls:
            return None
        own = self._settings
        try:
            context = ssl.create_default_context(cafile=own.tls_ca)
            if own.tls_cert is not None:
                context.load_cert_chain(own.tls_cert, own.tls_key)
        except OSError as error:
            raise self._refused(f"TLS files: {_text(error)}") from None
        return context

    def _check_brokers(self) -> None:
        """Ask whether pykafka has a chance, so that its own errors need not be understood."""
        reasons = []
        for address in self._settings.addresses():
            host, _, port = address.rpartition(":")
            try:
                lowest, highest = ask_api_versions(host, int(port), self._context())[FETCH_REQUEST]
            except (OSError, ValueError) as error:
                reasons.append(f"{address}: {_text(error)}")
                continue
            if not lowest <= FETCH_VERSION <= highest:
                raise self._refused(
                    f"the broker at {address} takes fetch requests of versions {lowest} to "
                    f"{highest}; pykafka 2.8.0 speaks version {FETCH_VERSION}, which Kafka 4.0 "
                    "removed: use --client confluent, or a broker up to 3.9"
                )
            return
        raise self._refused(
            f"no broker answers ({'; '.join(reasons)}); check --brokers, the network and whether "
            "it wants TLS"
        )

    def _knows(self, topic: bytes) -> bool:
        """Whether the brokers have it; one that was just made may not be known to all of them."""
        assert self._client is not None
        deadline_s = time.monotonic() + TOPIC_WAIT_S
        while topic not in self._client.topics:
            if time.monotonic() > deadline_s:
                return False
            time.sleep(TOPIC_PAUSE_S)
            self._client.update_cluster()
        return True

    def _join(self) -> None:
        """Connect and become a member; may take as long as a session of one that has died."""
        options = self._options()
        timeout_ms = options.pop("socket_timeout_ms")
        session_timeout_ms = options.pop("session_timeout_ms")
        self._client = KafkaClient(
            hosts=",".join(self._settings.addresses()),
            socket_timeout_ms=timeout_ms,
            offsets_channel_socket_timeout_ms=timeout_ms,
            ssl_config=_Wrapper(self._context()) if self._settings.tls else None,
            broker_version=BROKER_VERSION,
        )
        (topic,) = self._settings.topics
        if not self._knows(topic.encode()):
            raise self._refused(
                f"topic {topic} does not exist at {', '.join(self._settings.addresses())}; create "
                "it or correct its name"
            )
        self._member = GroupMember(
            self._client.topics[topic.encode()],
            self._client.cluster,
            self._settings.group,
            positions=self._positions,
            offset_reset=self._settings.offset_reset,
            session_timeout_ms=session_timeout_ms,
            settings=options,
        )
        self._member.start()

    def _options(self) -> dict[str, int]:
        options = dict(OPTIONS)
        for name, text in self._settings.options.items():
            if name not in OPTIONS:
                raise self._refused(
                    f"options: pykafka has no {name!r} to set; known: {', '.join(OPTIONS)}"
                )
            if not text.isdecimal():
                raise self._refused(f"options: {name}={text!r} is no whole number")
            options[name] = int(text)
        return options

    def _fetcher(self) -> Fetcher:
        """What reads; after trouble everything is made anew."""
        if not self._is_open:
            raise SourceLost(f"source {self._name} is closed")
        if self._member is None:
            self._rejoin()
        assert self._member is not None
        trouble = self._member.trouble()
        fetcher = self._member.fetcher
        if trouble is None and fetcher is not None:
            return fetcher
        self._leave()
        if isinstance(trouble, FetchRefused):
            self._explain(trouble)
        raise SourceLost(f"source {self._name}: {_text(trouble)}")

    def _explain(self, trouble: FetchRefused) -> None:
        """Raise for what a person must change."""
        if trouble.code == UNSUPPORTED_COMPRESSION:
            raise self._refused(
                "the topic holds messages compressed with zstd, which brokers do not give to old "
                "clients: use --client confluent (it goes on from the committed offsets), or have "
                "producers compress with gzip, snappy or lz4"
            )
        if trouble.code == UNKNOWN_TOPIC:
            self._check_brokers()

    def _rejoin(self) -> None:
        now_s = time.monotonic()
        if now_s - self._tried_s < RECONNECT_INTERVAL_S:
            raise SourceLost(f"source {self._name} is away; it is tried again")
        self._tried_s = now_s
        try:
            self._join()
        except TROUBLE as error:
            self._leave()
            raise SourceLost(f"source {self._name}: {_text(error)}") from None

    def _leave(self) -> None:
        """Let go of everything, after what was acknowledged is committed; safe in any state."""
        member, self._member = self._member, None
        if member is not None:
            member.commit_offsets()
        self._client = None
        self._positions.drop(self._positions.held())
        if member is not None:
            try:
                member.stop()
            except TROUBLE:
                return  # the group finds out by itself

    def _messages(self, fetcher: Fetcher, number: int, columns: MessageColumns) -> Messages | None:
        place = (self._settings.topics[0], number)
        receipt = self._positions.hand_out(
            place, columns.offsets[-1] + 1, read_in=fetcher.tenures[number]
        )
        if receipt is None:
            return None
        produced_ms = np.array(columns.produced_ms, np.int64)
        produced_ms[produced_ms < 0] = time.time_ns() // 1_000_000  # format 0 does not say
        return Messages(
            stream=stream_name(place),
            sequences=np.array(columns.offsets, np.int64),
            payloads=columns.values,
            keys=columns.keys,
            produced_ms=produced_ms,
            receipt=receipt,
            expected=receipt.expected,
        )

    def _commit(self) -> None:
        now_s = time.monotonic()
        if self._member is None or now_s - self._committed_s < COMMIT_INTERVAL_S:
            return
        self._committed_s = now_s
        self._member.commit_offsets()


class _Wrapper:
    """What pykafka expects of TLS: something that wraps a socket."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        assert context is not None
        self._context = context

    def wrap_socket(self, plain: Any) -> Any:
        """Encrypt a connection; the name of the broker is checked against its certificate."""
        host = plain.getpeername()[0]
        return self._context.wrap_socket(plain, server_hostname=host)


def _text(error: BaseException | None) -> str:
    """What happened, as one line."""
    if error is None:
        return "the connection is gone"
    return " ".join(f"{type(error).__name__}: {error}".split())
