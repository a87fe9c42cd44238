"""pykafka's group member, taught what the guarantees need.

As it comes, pykafka commits what it has handed out whenever a group rebalances, loses all messages
behind one that is larger than a fetch, counts offsets wrong in compressed topics with gaps, and
decodes some 12,000 messages a second. Its classes are made to be derived from: here they commit
only what was acknowledged, and read whole columns (`kafka_message_set`). The version is pinned, so
the members with an underscore that are used here are those that were tested.
"""

import warnings
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from threading import Condition
from typing import Any

from ingest.sources.kafka_message_set import (
    FETCH_VERSION,
    MessageColumns,
    PlaceAnswer,
    decode_message_set,
    fetch_answer,
)
from ingest.sources.kafka_positions import Positions
from ingest.sources.pieces import cut_pieces
from ingest.sources.source import POLL_BYTES_MAX, POLL_MESSAGES_MAX

with warnings.catch_warnings():
    # It and what it imports were written before today's Python: `is` with a literal, pkg_resources.
    warnings.simplefilter("ignore")
    from pykafka.common import OffsetType
    from pykafka.exceptions import ERROR_CODES, KafkaException, SocketDisconnectedError
    from pykafka.managedbalancedconsumer import ManagedBalancedConsumer
    from pykafka.membershipprotocol import RangeProtocol
    from pykafka.protocol import (
        ConsumerGroupProtocolMetadata,
        FetchRequest,
        JoinGroupRequest,
        JoinGroupResponse,
        PartitionFetchRequest,
    )
    from pykafka.simpleconsumer import SimpleConsumer

TROUBLE: tuple[type[BaseException], ...] = (
    KafkaException,
    OSError,
    AttributeError,
    KeyError,
)
"""What pykafka raises when a broker goes away: its own, sockets', and None where one had been."""

QUEUE_BYTES_MAX = 16 << 20
"""What is read ahead, whatever the backlog is; part of the memory bound of a process."""
PIECE_MESSAGES_MAX = POLL_MESSAGES_MAX // 2
MESSAGE_BYTES_MAX = 64 << 20
"""Several times what brokers take; a larger one stays where it is, and its Kafka partition lags."""
ROOM_WAIT_S = 0.5
OFFSET_OUT_OF_RANGE = 1
UNKNOWN_TOPIC = 3
UNKNOWN_MEMBER = 25
UNSUPPORTED_COMPRESSION = 76
"""Kafka's codes of errors."""


class FetchRefused(KafkaException):  # type: ignore[misc]  # an untyped library
    """A broker answered a fetch with an error; carries Kafka's code."""

    def __init__(self, code: int, number: int) -> None:
        known = ERROR_CODES.get(code)
        name = known.__name__ if known is not None else "unknown"
        super().__init__(f"error {code} ({name}) of Kafka partition {number}")
        self.code = code


class Fetcher(SimpleConsumer):  # type: ignore[misc]
    """Reads the held Kafka partitions ahead, within bounds, as columns.

    Attributes:
        tenures: number of a Kafka partition → the tenure in which this reads it.
        ends: number → the offset behind its last message, as far as known.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.tenures: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self._queue: deque[tuple[int, MessageColumns, int]] = deque()
        self._queued_bytes = 0
        self._changed = Condition()
        self._larger: dict[int, int] = {}
        super().__init__(*arguments, **settings)

    def commit_offsets(self, partition_offsets: Any = None) -> None:
        """Nothing: what was read is not yet what was stored. See `commit`."""

    def reset_offsets(self, partition_offsets: Any = None) -> None:
        """Begin elsewhere, and let the group know where that was.

        A group that begins at the end would otherwise, after a crash, begin at a later end.
        """
        super().reset_offsets(partition_offsets)
        owned = self._partitions.values()
        if partition_offsets is not None:
            owned = [self._partitions[partition] for partition, _ in partition_offsets]
        self.commit([(one.partition.id, one.next_offset) for one in owned])

    def commit(self, offsets: Iterable[tuple[int, int]]) -> set[int]:
        """Commit next offsets by number; returns the numbers that the broker took."""
        requests = [
            self._partitions_by_id[number].build_offset_commit_request(offset=offset)
            for number, offset in offsets
            if number in self._partitions_by_id
        ]
        if not requests:
            return set()
        answer = self._group_coordinator.commit_consumer_group_offsets(
            self._consumer_group, self._generation_id, self._consumer_id, requests
        )
        places = answer.topics.get(self._topic.name, {})
        return {number for number, place in places.items() if place.err == 0}

    def fetch(self) -> None:
        """Ask every broker once for what follows; called again and again by a thread."""
        with self._changed:
            if self._queued_bytes >= QUEUE_BYTES_MAX:
                self._changed.wait(ROOM_WAIT_S)
                return
        for broker, owned in sorted(self._partitions_by_leader.items(), key=lambda one: one[0].id):
            requests = [
                PartitionFetchRequest(
                    self._topic.name,
                    one.partition.id,
                    one.next_offset,
                    self._larger.get(one.partition.id, self._fetch_message_max_bytes),
                )
                for one in owned
            ]
            if broker.handler is None:
                raise SocketDisconnectedError(f"broker {broker.host}:{broker.port}")
            request = FetchRequest(
                requests, self._fetch_wait_max_ms, self._fetch_min_bytes, FETCH_VERSION
            )
            data = broker.handler.request(request).get()
            for answer in fetch_answer(memoryview(data)):
                self._take_answer(answer)

    def take(self, timeout_s: float) -> list[tuple[int, MessageColumns]]:
        """Pieces in order, one poll's worth; empty after the time-out."""
        taken: list[tuple[int, MessageColumns]] = []
        messages = size = 0
        with self._changed:
            self._changed.wait_for(lambda: self._queue or not self._running, timeout_s)
            while self._queue:
                number, columns, piece_bytes = self._queue[0]
                messages += len(columns.offsets)
                size += piece_bytes
                if taken and (messages > POLL_MESSAGES_MAX or size > POLL_BYTES_MAX):
                    break
                self._queue.popleft()
                self._queued_bytes -= piece_bytes
                taken.append((number, columns))
            self._changed.notify_all()
        return taken

    def stop(self) -> None:
        """As the base does; whoever waits in `take` is let go."""
        super().stop()
        with self._changed:
            self._changed.notify_all()

    def _take_answer(self, answer: PlaceAnswer) -> None:
        owned = self._partitions_by_id[answer.number]
        if answer.error == OFFSET_OUT_OF_RANGE:
            self.reset_offsets([(owned.partition, self._auto_offset_reset)])
            return
        if answer.error:
            raise FetchRefused(answer.error, answer.number)
        self.ends[answer.number] = answer.end
        columns = decode_message_set(answer.messages, start=owned.next_offset)
        if not columns.offsets:
            if answer.end > owned.next_offset:
                self._ask_for_more(answer.number)
            return
        self._larger.pop(answer.number, None)
        owned.next_offset = columns.offsets[-1] + 1
        sizes = [0 if value is None else len(value) for value in columns.values]
        pieces = cut_pieces(sizes, bytes_max=POLL_BYTES_MAX, messages_max=PIECE_MESSAGES_MAX)
        with self._changed:
            for start, stop in pieces:
                piece = MessageColumns(
                    columns.offsets[start:stop],
                    columns.produced_ms[start:stop],
                    columns.keys[start:stop],
                    columns.values[start:stop],
                )
                piece_bytes = sum(sizes[start:stop])
                self._queue.append((answer.number, piece, piece_bytes))
                self._queued_bytes += piece_bytes
            self._changed.notify_all()

    def _ask_for_more(self, number: int) -> None:
        """There is a message that no answer of this size holds; brokers do not say its size."""
        asked = self._larger.get(number) or int(self._fetch_message_max_bytes)
        self._larger[number] = min(2 * asked, MESSAGE_BYTES_MAX)


class GroupMember(ManagedBalancedConsumer):  # type: ignore[misc]
    """One member of a consumer group; each rebalance gives it another `Fetcher`."""

    def __init__(
        self,
        topic: Any,
        cluster: Any,
        group: str,
        *,
        positions: Positions,
        offset_reset: str,
        session_timeout_ms: int,
        settings: Mapping[str, int],
    ) -> None:
        self._positions, self._session_timeout_ms = positions, session_timeout_ms
        self._topic_text = topic.name.decode()
        self._consumer_id: bytes = b""
        # pykafka writes the topic into a protocol that all its consumers share.
        protocol = RangeProtocol._replace(metadata=ConsumerGroupProtocolMetadata())
        super().__init__(
            topic,
            cluster,
            group,
            auto_start=False,
            membership_protocol=protocol,
            auto_offset_reset=getattr(OffsetType, offset_reset.upper()),
            compacted_topic=True,
            **settings,
        )

    @property
    def fetcher(self) -> Fetcher | None:
        """What reads at present."""
        return self._consumer

    def start(self) -> None:
        """Join; unlike the base it says when that fails."""
        self._running = True
        self._group_coordinator = self._cluster.get_group_coordinator(self._consumer_group)
        self._rebalance()
        self._setup_heartbeat_worker()

    def trouble(self) -> BaseException | None:
        """What stopped one of the threads, if anything did."""
        fetcher = self.fetcher
        for failed in (self._worker_exception, fetcher and fetcher._worker_exception):
            if failed:
                error: BaseException = failed[1]
                return error
        return None

    def commit_offsets(self, partition_offsets: Any = None) -> None:
        """Commit what was acknowledged; the base calls it before it joins anew."""
        fetcher = self.fetcher
        taken = self._positions.take_uncommitted()
        if fetcher is None or not taken:
            return
        done: set[int] = set()
        with suppress(*TROUBLE):  # tried again, or their messages come again
            done = fetcher.commit((number, offset) for (_, number), offset in taken)
        self._positions.put_back(entry for entry in taken if entry[0][1] not in done)

    def _join_group(self) -> Any:
        """As the base, with our session time-out, and as a stranger where the group forgot us."""
        for attempt in range(self._cluster._max_connection_retries):
            handler = self._group_coordinator._get_unique_req_handler(self._connection_id)
            if handler is None:
                raise SocketDisconnectedError("the group's coordinator")
            request = JoinGroupRequest(
                self._consumer_group,
                self._consumer_id,
                self._topic.name,
                self._membership_protocol,
                session_timeout=self._session_timeout_ms,
            )
            joined = handler.request(request).get(JoinGroupResponse)
            if joined.error_code == 0:
                self._generation_id, self._consumer_id = joined.generation_id, joined.member_id
                return joined.members
            if joined.error_code == UNKNOWN_MEMBER:
                self._consumer_id = b""
            else:
                self._handle_error(joined.error_code)
            self._cluster.handler.sleep(attempt)
        raise ERROR_CODES[joined.error_code]("the group does not let us in")

    def _get_internal_consumer(self, partitions: Any = None, start: bool = True) -> Fetcher:
        """Let go of what was held, and read what is held from now on from its committed offsets."""
        if self._consumer is not None:
            self._consumer.stop()
        self._positions.drop(self._positions.held())
        fetcher = Fetcher(
            self._topic,
            self._cluster,
            consumer_group=self._consumer_group,
            partitions=partitions or [],
            fetch_message_max_bytes=self._fetch_message_max_bytes,
            fetch_min_bytes=self._fetch_min_bytes,
            fetch_wait_max_ms=self._fetch_wait_max_ms,
            auto_offset_reset=self._auto_offset_reset,
            auto_start=False,
            compacted_topic=True,
        )
        fetcher.consumer_id, fetcher.generation_id = self._consumer_id, self._generation_id
        fetcher.start()
        for number, owned in fetcher._partitions_by_id.items():
            place = (self._topic_text, number)
            fetcher.tenures[number] = self._positions.hold(place, owned.next_offset)
        return fetcher
