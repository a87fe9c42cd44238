"""Keep-alive HTTP/1.1 connections, as thin as they can be.

A small query is a hundred rows: with urllib3 it costs the client 213 µs of CPU, with
http.client 137 µs (its headers go through the e-mail parser), with this file 30 µs. So the
client speaks the few rules of HTTP/1.1 that the nodes use itself: a status line, headers, a body
with Content-Length or in chunks. It follows no redirects and knows no proxies; who needs those
talks to a node with any HTTP library.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from node.errors import BadRequest, DeadlineExceeded, PeerUnreachable, Unavailable

HEAD_BYTES_MAX = 64 << 10
"""Status line and headers of one response; a node's have some 500 bytes."""
RECEIVE_BYTES = 256 << 10
IDLE_MAX = 32
"""Idle connections that are kept for one node."""

Operand = TypeVar("Operand")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray


class Sink(Protocol):
    """Where a body goes part by part: any binary file."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Address:
    """Scheme, host and port of a node."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read `http://HOST:PORT` or `https://HOST:PORT`; a missing scheme is http.

        Raises:
            BadRequest: names the URL.
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or not port:
            raise BadRequest(
                f"url={url!r} is no address of a node; write http://HOST:PORT", field="url"
            )
        return cls(parts.scheme, parts.hostname, port)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a node may be silent before it has to show that it is there.

    A machine that hangs still accepts connections, and looks like one that works on a long
    answer. So after some silence it is asked something small on another connection: one that
    answers that is waited for until the deadline, another one is given up.

    Attributes:
        silence_s: without a byte from it, or one that it takes.
        probe_s: that it has for the small answer, and for accepting a connection.
    """

    silence_s: float
    probe_s: float


class Broken(PeerUnreachable):
    """Raised inside this file when a kept connection turns out to be closed; open another."""


class Connection:
    """One socket; used by one thread at a time."""

    def __init__(self, address: Address, *, tls: ssl.SSLContext | None, deadline_s: float) -> None:
        """Connect by the deadline."""
        self._address = address
        self._deadline_s = deadline_s
        self._silence_s = float("inf")
        self._is_there: Callable[[], bool] | None = None
        self._buffer = b""
        self._timeout_s = self._remaining_s()
        try:
            self._socket = socket.create_connection(
                (address.host, address.port), timeout=self._timeout_s
            )
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket, server_hostname=address.host)
        except OSError as error:
            raise PeerUnreachable(f"{self._name()} cannot be reached: {error}") from None

    def close(self) -> None:
        self._socket.close()

    def wait_patiently(self, silence_s: float, is_there: Callable[[], bool] | None) -> None:
        """From now on: after so much silence ask whether the node is there; None is for ever."""
        self._silence_s = silence_s if is_there is not None else float("inf")
        self._is_there = is_there

    def exchange(
        self, request: bytes, body: bytes | memoryview, *, deadline_s: float, sink: Sink | None
    ) -> tuple[Response, bool]:
        """Send a request and read the answer; a successful body goes to `sink` where given.

        Returns the response and whether the connection can be used again.
        """
        self._deadline_s = deadline_s
        if len(body) > RECEIVE_BYTES:
            self._send(request)
            self._send(body)
        else:
            self._send(request + bytes(body))
        status, headers = self._read_head()
        out = sink if status < 300 else None
        if "chunked" in headers.get("transfer-encoding", ""):
            answer = self._read_chunks(out)
        else:
            answer = self._read_counted(self._size(headers.get("content-length", "0")), out)
        keep = headers.get("connection", "").lower() != "close"
        return Response(status, headers, answer), keep

    def begin(self, request: bytes) -> Response:
        """Send a request and read the head of its answer, and the body where that is an error."""
        self._send(request)
        status, headers = self._read_head()
        body: bytes | bytearray = b""
        if status >= 400:
            body = self._read_counted(self._size(headers.get("content-length", "0")), None)
        return Response(status, headers, body)

    def parts(self, *, silence_s: float) -> Iterator[bytes]:
        """The body of an answer that was begun, in chunks, as it comes.

        Raises:
            PeerUnreachable: it broke off. DeadlineExceeded: nothing came for `silence_s`.
        """
        self.wait_patiently(0.0, None)
        while True:
            self._deadline_s = time.monotonic() + silence_s
            size = self._size(self._read_line().partition(b";")[0].decode("latin-1"), base=16)
            if not size:
                return
            yield bytes(self._read_counted(size, None))
            self._read_line()

    def _read_head(self) -> tuple[int, dict[str, str]]:
        buffer = self._buffer
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            if len(buffer) > HEAD_BYTES_MAX:
                raise self._no_http()
            buffer += self._receive(first=not buffer)
        lines = buffer[:end].decode("latin-1").split("\r\n")
        self._buffer = buffer[end + 4 :]
        words = lines[0].split(" ", 2)
        if not words[0].startswith("HTTP/1.") or len(words) < 2 or not words[1].isdigit():
            raise self._no_http()
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(words[1]), headers

    def _read_counted(self, count: int, sink: Sink | None) -> bytes | bytearray:
        if sink is not None:
            self._copy(count, sink)
            return b""
        if len(self._buffer) == count:
            whole, self._buffer = self._buffer, b""
            return whole
        body = bytearray(count)
        view = memoryview(body)
        filled = min(count, len(self._buffer))
        view[:filled] = self._buffer[:filled]
        self._buffer = self._buffer[filled:]
        while filled < count:
            filled += self._receive_into(view[filled:])
        return body

    def _read_chunks(self, sink: Sink | None) -> bytes | bytearray:
        body = bytearray()
        while size := self._size(self._read_line().partition(b";")[0].decode("latin-1"), base=16):
            if sink is not None:
                self._copy(size, sink)
            else:
                body += self._read_counted(size, None)
            self._read_line()
        while self._read_line():
            continue
        return body

    def _copy(self, count: int, sink: Sink) -> None:
        while count:
            if not self._buffer:
                self._buffer = self._receive()
            part = self._buffer[:count]
            sink.write(part)
            self._buffer = self._buffer[len(part) :]
            count -= len(part)

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise self._no_http()
            self._buffer += self._receive()
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def _send(self, data: bytes | memoryview) -> None:
        """All of it; as much at a time as the node takes, so that progress shows."""
        view = memoryview(data)
        try:
            while view:
                view = view[self._patiently(self._socket.send, view) :]
        except OSError as error:
            raise Broken(f"{self._name()} closed the connection: {error}") from None

    def _receive(self, *, first: bool = False) -> bytes:
        try:
            data = self._patiently(self._socket.recv, RECEIVE_BYTES)
        except OSError as error:
            raise self._broken(first, str(error)) from None
        if not data:
            raise self._broken(first, "connection closed")
        return data

    def _receive_into(self, view: memoryview) -> int:
        try:
            count = self._patiently(self._socket.recv_into, view)
        except OSError as error:
            raise self._broken(False, str(error)) from None
        if not count:
            raise self._broken(False, "connection closed")
        return count

    def _size(self, text: str, *, base: int = 10) -> int:
        try:
            return int(text, base)
        except ValueError:
            raise self._no_http() from None

    def _no_http(self) -> PeerUnreachable:
        return PeerUnreachable(f"{self._name()} sent no HTTP answer; is it a zring node?")

    def _broken(self, first: bool, cause: str) -> PeerUnreachable:
        kind = Broken if first else PeerUnreachable
        return kind(f"the answer of {self._name()} broke off ({cause})")

    def _patiently(self, operation: Callable[[Operand], Outcome], operand: Operand) -> Outcome:
        """Do what may block, until the deadline or until the node turns out to be gone."""
        while True:
            self._set_timeout()
            try:
                return operation(operand)
            except TimeoutError:
                pass  # of a share of the time, or of all of it
            self._remaining_s()
            if self._is_there is not None and not self._is_there():
                raise PeerUnreachable(
                    f"{self._name()} hangs: for {self._silence_s:.2g} s it has said nothing, and "
                    "it does not answer when asked for its health"
                )

    def _set_timeout(self) -> None:
        """Let the next operation wait for so long as it may, give or take a hundredth.

        Setting it is a system call, so it is left where it is while it is about right.
        """
        wait_s = min(self._remaining_s(), self._silence_s)
        if not 0.9 * wait_s <= self._timeout_s <= 1.01 * wait_s:
            self._socket.settimeout(wait_s)
            self._timeout_s = wait_s

    def _remaining_s(self) -> float:
        """Until the deadline.

        Raises:
            DeadlineExceeded: it has passed.
        """
        remaining_s = self._deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise self._too_late()
        return remaining_s

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"{self._name()} did not answer in time; give a longer timeout_s")

    def _name(self) -> str:
        return f"{self._address.scheme}://{self._address.host}:{self._address.port}"


class ConnectionPool:
    """Connections to any number of nodes; may be used from many threads."""

    def __init__(
        self,
        *,
        headers: Mapping[str, str],
        tls_ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
    ) -> None:
        """Remember what to send and whom to trust; `tls_key` defaults to the file of `tls_cert`."""
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._tls_ca = tls_ca
        self._tls_cert = tls_cert
        self._tls_key = tls_key
        self._tls: ssl.SSLContext | None = None
        self._idle: dict[str, list[Connection]] = {}
        self._addresses: dict[str, Address] = {}
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        url: str,
        target: str,
        *,
        timeout_s: float,
        headers: str = "",
        body: bytes | memoryview = b"",
        sink: Sink | None = None,
        patience: Patience | None = None,
    ) -> Response:
        """Send one request to the node at `url`.

        A kept connection that the node closed meanwhile is replaced once. That may repeat a
        request, which is harmless here: storing the same records again changes nothing.

        Args:
            target: path and query, already quoted.
            headers: more header lines, each ended by CR LF.
            patience: give a node up that hangs; without it is waited for until the end.

        Raises:
            PeerUnreachable: no connection, or it broke, or the node hangs.
            DeadlineExceeded: `timeout_s` has passed.
        """
        deadline_s = time.monotonic() + timeout_s
        address = self._addresses.get(url) or self._remember(url)
        head = f"{method} {target} HTTP/1.1\r\nHost: {address.host}:{address.port}\r\n"
        length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
        request = f"{head}{self._headers}{headers}{length}\r\n".encode("latin-1")
        while True:
            connection = self._take(url)
            kept = connection is not None
            if connection is None:
                connection = self._connect(address, deadline_s, patience)
            self._let_wait(connection, url, patience)
            usable = False
            try:
                response, usable = connection.exchange(
                    request, body, deadline_s=deadline_s, sink=sink
                )
                return response
            except Broken:
                if not kept:
                    raise
            finally:
                if usable:
                    self._give_back(url, connection)
                else:
                    connection.close()

    def _connect(
        self, address: Address, deadline_s: float, patience: Patience | None
    ) -> Connection:
        if patience is not None:
            deadline_s = min(deadline_s, time.monotonic() + patience.probe_s)
        tls = self._tls_context() if address.scheme == "https" else None
        return Connection(address, tls=tls, deadline_s=deadline_s)

    def _let_wait(self, connection: Connection, url: str, patience: Patience | None) -> None:
        if patience is None:
            connection.wait_patiently(0.0, None)
        else:
            probe_s = patience.probe_s
            connection.wait_patiently(patience.silence_s, lambda: self._answers(url, probe_s))

    def _answers(self, url: str, timeout_s: float) -> bool:
        """Whether the node says anything at all on a new connection."""
        address = self._addresses[url]
        deadline_s = time.monotonic() + timeout_s
        request = f"GET /health HTTP/1.1\r\nHost: {address.host}:{address.port}\r\n\r\n".encode()
        tls = self._tls_context() if address.scheme == "https" else None
        try:
            connection = Connection(address, tls=tls, deadline_s=deadline_s)
        except Unavailable:
            return False
        try:
            connection.exchange(request, b"", deadline_s=deadline_s, sink=None)
        except Unavailable:
            return False
        finally:
            connection.close()
        return True

    @contextmanager
    def stream(
        self,
        url: str,
        target: str,
        *,
        headers: str,
        timeout_s: float,
        patience: Patience | None = None,
    ) -> Iterator[tuple[Response, Connection]]:
        """A connection of its own on which an answer has begun; closed in the end.

        Raises:
            PeerUnreachable, DeadlineExceeded.
        """
        address = self._addresses.get(url) or self._remember(url)
        connection = self._connect(address, time.monotonic() + timeout_s, patience)
        self._let_wait(connection, url, patience)
        try:
            head = f"GET {target} HTTP/1.1\r\nHost: {address.host}:{address.port}\r\n"
            request = f"{head}{self._headers}{headers}\r\n".encode("latin-1")
            yield connection.begin(request), connection
        finally:
            connection.close()

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def _take(self, url: str) -> Connection | None:
        with self._lock:
            idle = self._idle.get(url)
            return idle.pop() if idle else None

    def _give_back(self, url: str, connection: Connection) -> None:
        with self._lock:
            idle = self._idle.setdefault(url, [])
            if len(idle) < IDLE_MAX:
                idle.append(connection)
                return
        connection.close()

    def _remember(self, url: str) -> Address:
        address = self._addresses[url] = Address.parse(url)
        return address

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            try:
                tls = ssl.create_default_context(cafile=self._tls_ca)
                if self._tls_cert is not None:
                    tls.load_cert_chain(self._tls_cert, self._tls_key)
            except (OSError, ssl.SSLError) as error:
                files = ", ".join(
                    file for file in (self._tls_ca, self._tls_cert, self._tls_key) if file
                )
                raise BadRequest(f"{files} cannot be used for TLS: {error}", field="tls") from None
            self._tls = tls
        return self._tls
