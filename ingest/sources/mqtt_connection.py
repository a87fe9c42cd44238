"""The connection to an MQTT broker: paho-mqtt, with a faster way for what comes in masses.

paho reads a message by three system calls and builds some ten objects for its properties and its
log line, then sends every acknowledgement alone: 12,000 messages/s and a whole core on the machine
of the benchmarks. Here one read of the socket takes all that is there, PUBLISH packets are cut out
of it directly, and the acknowledgements of a poll leave as one write; handshake, subscriptions,
keepalive, TLS and reconnection stay paho's. `loop_read` is replaced, which paho calls whenever the
socket has something; `_packet_handle`, `_in_packet`, `_loop_rc_handle` and `_packet_queue` are
paho's own and therefore the reason that its minor version is fixed in pyproject.toml.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket as BrokenPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.errors import IngestError, SourceLost, SourceRefused
from ingest.sources.addresses import split_address
from ingest.sources.first_line import first_line
from ingest.sources.mqtt_arrivals import Arrivals
from ingest.sources.mqtt_packets import PUBACK, MalformedPacket, acknowledgements, cut_packets
from ingest.sources.mqtt_settings import SCHEMES, MqttSettings

log = logging.getLogger("zring.ingest")
OPEN_TIMEOUT_S = 8.0
"""For connecting, CONNACK and SUBACK together: a person waits for the answer."""
PACKET_BYTES_MAX = 64 << 20
"""Larger messages are left out by the broker itself, as MQTT 5 lets a client ask."""
READ_BYTES = 256 << 10
CLOSE_TIMEOUT_S = 2.0
ROOM_WAIT_S = 0.2
"""While nobody polls, the connection looks so often whether there is room; in between it writes."""
RECONNECT_FIRST_S, RECONNECT_MAX_S = 1, 15
CONNECTION_REFUSALS = frozenset((0x01, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x9C, 0x9D))
"""Reasons that only a person can change: version, client id, password, rights, ban, moved."""
TAKEN_OVER = 0x8E
SHORT_LIFE_S = 5.0
SHORT_LIVES_MAX = 4
"""So many connections in a row that the broker ended at once: two processes with one client id take
the session from each other, and not every broker says so."""


class _FastClient(paho.Client):
    """paho's client; messages go to `arrivals` instead of a callback."""

    def __init__(self, client_id: str, arrivals: Arrivals) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        self._arrivals = arrivals
        self._unread = b""
        self.connection_count = 0
        self.is_full = threading.Event()
        """More has arrived than may wait: what was asked of the broker is behind that."""
        self.acknowledging = threading.Lock()
        """Held while acknowledgements are queued, and while a new connection begins: those of an
        old connection never go out by a new one."""

    def reconnect(self) -> MQTTErrorCode:
        with self.acknowledging:
            self.connection_count += 1
            self._unread = b""
            self._arrivals.forget_numbers()
        return super().reconnect()

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        if self._sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        if not self._arrivals.wait_room(ROOM_WAIT_S):
            self.is_full.set()
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            data = self._sock_recv(READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            data = b""
        if not data:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        return self._handle(self._unread + data if self._unread else data)

    def _handle(self, data: bytes) -> MQTTErrorCode:
        try:
            others, arrivals, taken = cut_packets(data)
        except MalformedPacket as error:
            log.warning("MQTT: %s", error)
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_PROTOCOL)
        self._unread = data[taken:]
        if arrivals:
            self._arrivals.add(arrivals)
        for first, body in others:
            self._in_packet = {
                "command": first, "have_remaining": 1, "remaining_count": [], "remaining_mult": 1,
                "remaining_length": len(body), "packet": bytearray(body), "to_process": 0, "pos": 0,
            }  # fmt: skip
            try:
                code = self._packet_handle()
            except BrokenPacket:
                code = MQTTErrorCode.MQTT_ERR_PROTOCOL
            self._in_packet["command"] = 0
            if code > 0:
                return self._loop_rc_handle(code)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def acknowledge_all(self, connection: int, numbers: Sequence[int]) -> None:
        """PUBACKs as one write; nothing where the connection is another one by now."""
        packets = acknowledgements(numbers)
        with self.acknowledging:
            if connection == self.connection_count and packets and self._sock is not None:
                self._packet_queue(PUBACK, packets, 0, 0)


class PahoConnection:
    """One broker and one session; connects again by itself until `stop`.

    Args:
        arrivals: where messages go.
    """

    def __init__(self, settings: MqttSettings, client_id: str, arrivals: Arrivals) -> None:
        self._settings, self._client_id, self._arrivals = settings, client_id, arrivals
        self._trouble: IngestError | None = None
        self._connected_s = 0.0
        self._short_lives = 0
        self._agreed = threading.Event()
        """The broker has granted all subscriptions, or will not."""
        self._client = client = _FastClient(client_id, arrivals)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.connect_timeout = OPEN_TIMEOUT_S / 2
        client.reconnect_delay_set(RECONNECT_FIRST_S, RECONNECT_MAX_S)

    @property
    def connection_count(self) -> int:
        """Connections made so far: numbers of messages belong to one of them."""
        return self._client.connection_count

    @property
    def trouble(self) -> IngestError | None:
        """Why nothing comes at the moment."""
        return self._trouble

    def start(self) -> None:
        """Connect and subscribe; returns when the broker has agreed.

        Raises:
            SourceRefused: wrong address, credential or filter.
        """
        settings = self._settings
        host, port = split_address(settings.broker, setting="mqtt.broker", schemes=SCHEMES)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = settings.session_expiry_s
        properties.ReceiveMaximum = settings.in_flight_max
        properties.MaximumPacketSize = PACKET_BYTES_MAX
        self._prepare()
        try:
            self._client.connect(
                host, port, settings.keepalive_s, clean_start=False, properties=properties
            )
        except OSError as error:  # also TLS: ssl.SSLError is one
            raise SourceRefused(
                f"mqtt.broker={settings.broker} cannot be reached: {error}; is the address right "
                "and the broker running?"
            ) from None
        self._client.loop_start()
        deadline_s = time.monotonic() + OPEN_TIMEOUT_S
        while not self._agreed.wait(ROOM_WAIT_S) and time.monotonic() < deadline_s:
            if self._client.is_full.is_set():
                return
        if not self._agreed.is_set():
            self.stop()
            raise SourceRefused(
                f"mqtt.broker={settings.broker} did not answer like an MQTT 5 broker within "
                f"{OPEN_TIMEOUT_S:g} s; {self._doubt()}"
            )
        if isinstance(self._trouble, SourceRefused):
            self.stop()
            raise self._trouble

    def _doubt(self) -> str:
        if not self._settings.wants_tls:
            return "does it want TLS (mqtts://)?"
        return "does it ask for a certificate (tls_cert, tls_key), and is it MQTT 5?"

    def _prepare(self) -> None:
        settings = self._settings
        try:
            password = settings.password
            if settings.password_file is not None:
                password = first_line(settings.password_file, setting="mqtt.password_file")
            if settings.user:
                self._client.username_pw_set(settings.user, password or None)
            if settings.wants_tls:
                ca, cert, key = (
                    None if path is None else str(path)
                    for path in (settings.tls_ca, settings.tls_cert, settings.tls_key)
                )
                self._client.tls_set(ca_certs=ca, certfile=cert, keyfile=key)
        except OSError as error:
            raise SourceRefused(
                f"mqtt: {error.filename or 'a file for TLS'} cannot be used: {error}"
            ) from None

    def _on_connect(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if not reason.is_failure:
            self._connected_s = time.monotonic()
            self._subscribe()
            return
        text = f"mqtt.broker={self._settings.broker} refused the connection: {reason}"
        if reason.value in CONNECTION_REFUSALS:
            self._refuse(
                f"{text}; mqtt.user={self._settings.user or '(none)'}, "
                f"mqtt.client_id={self._client_id}; check user, password and the broker's version "
                "(MQTT 5 is needed: mosquitto from 1.6)"
            )
        else:
            self._trouble = SourceLost(text)

    def _subscribe(self) -> None:
        # Retained messages come with a new subscription only, not with every connection.
        options = SubscribeOptions(
            qos=self._settings.qos, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
        )
        self._client.subscribe([(topic, options) for topic in self._settings.topics])

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _more: Any
    ) -> None:
        for topic, reason in zip(self._settings.topics, reasons, strict=True):
            if reason.is_failure:
                self._refuse(f"mqtt.topics={topic} was refused by the broker: {reason}")
                return
            if reason.value < self._settings.qos:
                self._refuse(
                    f"mqtt.topics={topic}: the broker grants QoS {reason.value} only; give "
                    "mqtt.qos=0 if losses are acceptable"
                )
                return
        self._trouble = None
        self._agreed.set()

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _more: Any
    ) -> None:
        if isinstance(self._trouble, SourceRefused):
            return
        short = time.monotonic() - self._connected_s < SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if short else 0
        if reason.value == TAKEN_OVER or self._short_lives >= SHORT_LIVES_MAX:
            self._refuse(
                f"mqtt.client_id={self._client_id} is used by another process as well (the broker "
                "ends the connection); every process needs its own, and $share/GROUP/FILTER to "
                "share the messages"
            )
        elif self._trouble is None:
            self._trouble = SourceLost(
                f"the connection to mqtt.broker={self._settings.broker} is gone: {reason}"
            )

    def _refuse(self, message: str) -> None:
        self._trouble = SourceRefused(message)
        self._client.disconnect()
        self._agreed.set()
        self._arrivals.wake()

    def send_acknowledgements(self, connection: int, numbers: Sequence[int]) -> None:
        """PUBACK for all of them, in order, if that connection still is."""
        self._client.acknowledge_all(connection, numbers)

    def stop(self) -> None:
        """Send what waits and disconnect; the session stays."""
        if self._trouble is None and self._client.is_connected():
            # A broker may drop what it has not read yet when the line closes. Its answer to a
            # subscription shows that it has read the acknowledgements before.
            self._agreed.clear()
            self._subscribe()
            self._agreed.wait(CLOSE_TIMEOUT_S)
        self._client.disconnect()
        self._client.loop_stop()
