"""The real transport: one HTTP POST a message, on a port of its own, over kept connections.

Two processes greet each other once (`POST /peer/greeting`): both prove the cluster key and compare
who they are. Every message after that carries a seal; `node.peer.session` has the rules. TLS (ssl
contexts handed in) keeps messages from those who can listen, and with certificates on both sides
a node's certificate must name it.

What comes from someone who is no member, or cannot be read, is answered with a 4xx and counted;
it never reaches the handler. What the handler trips over is a fault of this node: logged, counted
and answered, and the node goes on. A peer that drops its connection cancels the handler that works
for it.
"""

import asyncio
import logging
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from ssl import SSLContext
from types import MappingProxyType
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from node.errors import (
    BadRequest,
    NodeError,
    PeerRefused,
    PeerUnreachable,
    TooLarge,
    Unauthorised,
)
from node.peer.bodies import read_reply, read_request
from node.peer.identity import PeerIdentity
from node.peer.refusals import Listener, Refusals
from node.peer.session import UNKNOWN, Session, Sessions, SessionUnknown, Speakers
from node.peer.transport import Arriving, Handler, Message, nobody_listens
from node.peer.wire import decode_reply, decode_request, encode_error, encode_message
from node.pieces import Pieces
from zring.errors import ZringError

log = logging.getLogger("zring.peer")
PATH = "/peer"
GREETING_PATH = "/peer/greeting"
SESSION_HEADER = "Zring-Session"
MEDIA_TYPE = "application/x-zring"
REQUEST_BYTES_MAX = 64 << 20
"""Records of one message are cut at 16 MB; one record with a large image may exceed that."""
GREETING_BYTES_MAX = 4 << 10
"""A few names and numbers; read before anything is known of the sender."""
CONNECTIONS_PER_PEER_MAX = 32
GREETINGS_MAX = 3
"""For one message: a node that restarted has forgotten its sessions."""
LINKS_MAX = 4_096
"""Addresses to which a session is remembered; more than a cluster has members."""
KEEPALIVE_CLIENT_S = 600
"""Twenty nodes on slow lines probe each other within that time: opening costs kilobytes."""
KEEPALIVE_SERVER_S = 660
"""Longer than the client's, so that no request meets a connection that is just being closed."""
_UNSENT_HEADERS = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
"""Nobody reads them, and over a day of probes they are megabytes."""
_EMPTY_HEADERS = {"Server": "", "Date": ""}  # in answers, for the same reason
SHUTDOWN_S = 1.0
"""Requests under way when the node stops get this long; what they stored is stored."""
LINGER_S = 2.0
"""For the rest of a request that was refused unread, so that its sender can read why."""
_COUNTED = (
    "received", "refused", "unauthorised", "strangers", "cancelled", "faults", "greetings",
)  # fmt: skip


def _body(pieces: tuple[bytes | memoryview, ...]) -> Pieces:
    return Pieces(*pieces, content_type=MEDIA_TYPE)


class _Protocol(RequestHandler):
    """aiohttp's, except that bytes that are no HTTP are counted and get no traceback."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            raise exc
        assert isinstance(self._manager, _Server)
        self._manager.counts["refused" if status < 500 else "faults"] += 1
        if status >= 500:
            log.error("peer port: unexpected fault", exc_info=exc)
        response = web.Response(status=status, text="no request of a node\n")
        response.force_close()
        return response


class _Server(web.Server):
    counts: dict[str, int]

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


@dataclass(slots=True)
class _Link:
    """What is known of one address that is called."""

    session: Session | None = None
    instance: tuple[str, str] | None = None
    greeting: asyncio.Lock = field(default_factory=asyncio.Lock)


class HttpTransport:
    """`Transport` over aiohttp; see `node.peer.transport` for the contract.

    Args:
        listen_port: 0 takes a free one; `bind` tells which.
        identity: who this node is; compared with every other before anything else.
        cluster_key: shared by all peers; "" asks for no proofs.
        server_ssl, client_ssl: TLS contexts; both or none. Where the server's asks for
            certificates, a node's must name it.
        request_bytes_max: larger messages are refused unread.
        on_refusal: told of each node that is refused, or that refuses this one.
    """

    def __init__(
        self,
        *,
        listen_host: str = "127.0.0.1",
        listen_port: int = 0,
        identity: PeerIdentity | None = None,
        cluster_key: str = "",
        server_ssl: SSLContext | None = None,
        client_ssl: SSLContext | None = None,
        request_bytes_max: int = REQUEST_BYTES_MAX,
        on_refusal: Listener | None = None,
    ) -> None:
        self._host = listen_host
        self._port = listen_port
        self._server_ssl = server_ssl
        self._client_ssl = client_ssl
        self._request_bytes_max = request_bytes_max
        self._sessions = Sessions(
            identity or PeerIdentity(), cluster_key, covers_bodies=server_ssl is None
        )
        self._speakers = Speakers()
        self._refusals = Refusals(on_refusal)
        self._links: dict[str, _Link] = {}
        self._socket: socket.socket | None = None
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._handler: Handler | None = None
        self._arriving: Arriving = nobody_listens
        self._counts = dict.fromkeys(_COUNTED, 0)

    def bind(self) -> str:
        """Take the port and return the address "host:port", before or without `start`.

        Raises:
            OSError: the port is taken.
        """
        if self._socket is None:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((self._host, self._port))
            except OSError:
                listener.close()
                raise
            self._socket = listener
        port = self._socket.getsockname()[1]
        return f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"

    def statistics(self) -> Mapping[str, int]:
        """Counts: requests received; refused as unreadable; unauthorised (no or a wrong key, seal
        or session); strangers (of another cluster, domain, grain level, or a double); cancelled
        by their senders; faults of this node; greetings."""
        return MappingProxyType(dict(self._counts))

    def tls_contexts(self) -> tuple[SSLContext | None, SSLContext | None]:
        """Of the port and of calls, so that a new certificate can be read into them."""
        return self._server_ssl, self._client_ssl

    def refusals(self) -> Mapping[str, str]:
        """Address → why the node there was refused lately, or refused this one."""
        return self._refusals.shown(time.monotonic())

    async def start(self, handler: Handler, arriving: Arriving = nobody_listens) -> None:
        """Begin to receive; see `Transport`."""
        self._handler, self._arriving = handler, arriving
        self.bind()
        assert self._socket is not None
        server = _Server(
            self._receive,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SERVER_S,
            lingering_time=LINGER_S,
        )
        server.counts = self._counts
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        site = web.SockSite(self._runner, self._socket, ssl_context=self._server_ssl, backlog=256)
        await site.start()

    async def call(
        self,
        address: str,
        message: Message,
        *,
        timeout_ms: int,
        arriving: Arriving = nobody_listens,
    ) -> Message:
        """Send a message and wait for its reply; see `Transport`."""
        pieces = encode_message(message)
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                for _ in range(GREETINGS_MAX):
                    session = await self._greeted(address)
                    data = await self._exchange(address, session, pieces, arriving)
                    if data is not None:
                        return decode_reply(data)
        except TimeoutError:
            raise PeerUnreachable(
                f"{address} did not answer {message.kind!r} within {timeout_ms} ms"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._lost(address, error)
            raise PeerUnreachable(f"{address} cannot be reached: {error}") from None
        raise PeerUnreachable(f"{address} ends every session at once; look at its log")

    async def close(self) -> None:
        """Stop receiving, let go of all connections."""
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,
                limit_per_host=CONNECTIONS_PER_PEER_MAX,
                keepalive_timeout=KEEPALIVE_CLIENT_S,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        elif self._session.closed:  # a call that was on its way when the node began to stop
            raise aiohttp.ClientConnectionError("this node is stopping")
        return self._session

    async def _greeted(self, address: str) -> Session:
        """The session with the node at an address; greets it where there is none."""
        link = self._links.get(address)
        if link is None:
            if len(self._links) >= LINKS_MAX:
                self._links.clear()
            link = self._links[address] = _Link()
        if link.session is not None:
            return link.session
        async with link.greeting:
            if link.session is None:
                link.session = await self._greet(address, link)
            return link.session

    async def _greet(self, address: str, link: _Link) -> Session:
        ask = self._sessions.ask()
        pieces = encode_message(Message("greeting", ask))
        async with self._post(address, GREETING_PATH, _body(pieces), {}) as response:
            data = await response.read()
        here = False
        node = ""
        try:
            reply = decode_reply(_message_body(address, response, data))
            here, node = True, str(reply.header.get("node", ""))
            session = self._sessions.accept(ask, reply.header)
            if link.instance is not None and link.instance[1] != session.peer.instance:
                self._speakers.replaced(*link.instance)
            self._speakers.heard(session.peer, None, time.monotonic())
        except (Unauthorised, PeerRefused) as error:
            raise self._note_refused(error, remote=address, node=node, here=here) from None
        link.instance = (session.peer.node, session.peer.instance)
        self._refusals.clear(address, session.peer.node)
        return session

    async def _exchange(
        self,
        address: str,
        session: Session,
        pieces: tuple[bytes, bytes | memoryview],
        arriving: Arriving,
    ) -> bytes | None:
        """Send one message; None when the session has ended at the other side."""
        body = _body(pieces)
        seal, counter = session.seal(pieces, body.length)
        async with self._post(address, PATH, body, {SESSION_HEADER: seal}) as response:
            data = await read_reply(response, partial(arriving, session.peer.node))
        answered = response.headers.get(SESSION_HEADER, "")
        if response.status == Unauthorised.status and answered == UNKNOWN:
            link = self._links.get(address)
            if link is not None and link.session is session:
                link.session = None
            return None
        try:
            if answered:
                session.check_answer(answered, counter, data)
            else:
                # Refused before its sender was known; only refusals come without a seal.
                _raise_refusal(address, response, data)
        except (Unauthorised, PeerRefused) as error:
            raise self._note_refused(
                error, remote=address, node=session.peer.node, here=bool(answered)
            ) from None
        return _message_body(address, response, data)

    def _post(self, address: str, path: str, body: Pieces, headers: Mapping[str, str]) -> Any:
        scheme = "http" if self._client_ssl is None else "https"
        options: Any = {"ssl": self._client_ssl or True, "skip_auto_headers": _UNSENT_HEADERS}
        url = f"{scheme}://{address}{path}"
        return self._open_session().post(url, data=body, headers=headers, **options)

    def _lost(self, address: str, error: Exception) -> None:
        """A connection could not be had or broke: whoever comes there next is greeted anew."""
        link = self._links.get(address)
        if link is not None:
            link.session = None
        cause = error if isinstance(error, ssl.SSLError) else error.__cause__
        if isinstance(cause, ssl.SSLError) or isinstance(error, aiohttp.ClientSSLError):
            here = "verify failed" in str(error)
            self._note(
                PeerRefused(f"TLS: {error}", peer_reason="tls"), remote=address, node="", here=here
            )

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        self._counts["received"] += 1
        try:
            if request.path == GREETING_PATH:
                return await self._greeted_by(request)
            session, counter, digest = self._admit(request)
        except NodeError as error:
            return self._refuse(request, error, node="")
        status, pieces = await self._serve(request, session, digest)
        body = _body(pieces)
        response = web.Response(status=status, body=body, headers=_EMPTY_HEADERS)
        response.headers[SESSION_HEADER] = session.seal_answer(counter, pieces, body.length)
        if not request.content.is_eof():
            # The rest of the body would be taken for the next request.
            response.force_close()
        return response

    async def _serve(
        self, request: web.BaseRequest, session: Session, digest: str
    ) -> tuple[int, tuple[bytes | memoryview, ...]]:
        """Status and body for a message of a member, whatever it is."""
        assert self._handler is not None
        try:
            message = await self._read(request, session, digest)
        except NodeError as error:
            self._counts["refused"] += 1
            return error.status, (encode_error(error),)
        try:
            return 200, encode_message(await self._handler(message))
        except NodeError as error:
            return error.status, (encode_error(error),)
        except ZringError as error:
            refused = PeerRefused(str(error), peer_reason=type(error).__name__)
            return refused.status, (encode_error(refused),)
        except asyncio.CancelledError:
            self._counts["cancelled"] += 1
            raise
        except Exception:
            self._counts["faults"] += 1
            fault = secrets.token_hex(4)
            log.exception("fault %s at %r from %s", fault, message.kind, session.peer.node)
            return 500, (
                encode_error(PeerRefused(f"unexpected fault {fault}; the node's log says more")),
            )

    async def _greeted_by(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a greeting."""
        self._counts["greetings"] += 1
        size = request.content_length
        if request.method != "POST" or size is None or size > GREETING_BYTES_MAX:
            raise BadRequest(f"greetings have at most {GREETING_BYTES_MAX} bytes", field="body")
        message = decode_request(await read_request(request, size))
        try:
            answer, peer = self._sessions.answer(message.header, self._names(request))
            self._speakers.check(peer, time.monotonic())
        except PeerRefused as error:
            return self._refuse(request, error, node=str(message.header.get("node", "")))
        self._refusals.clear(request.remote or "", peer.node)
        return web.Response(body=_body(encode_message(Message("", answer))))

    def _admit(self, request: web.BaseRequest) -> tuple[Session, int, str]:
        """The session of a message; only its head is looked at."""
        if request.method != "POST" or request.path != PATH:
            raise BadRequest(f"peers are served at POST {PATH} only", field="path")
        size = request.content_length
        if size is None:
            raise BadRequest("message between nodes gives no Content-Length", field="body")
        session, counter, digest = self._sessions.check(
            request.headers.get(SESSION_HEADER, ""), size
        )
        self._speakers.heard(session.peer, request.transport, time.monotonic())
        return session, counter, digest

    async def _read(self, request: web.BaseRequest, session: Session, digest: str) -> Message:
        size = request.content_length or 0
        if size > self._request_bytes_max:
            raise TooLarge(
                f"message of {size} bytes is more than {self._request_bytes_max}", field="body"
            )
        data = await read_request(request, size, partial(self._arriving, session.peer.node))
        if session.digest((data,)) != digest:
            raise BadRequest("a message was changed on its way", field="body")
        return decode_request(data)

    def _refuse(
        self, request: web.BaseRequest, error: NodeError, *, node: str
    ) -> web.StreamResponse:
        """The answer to someone who is not let in."""
        headers = {}
        if isinstance(error, SessionUnknown):
            headers[SESSION_HEADER] = UNKNOWN
            error = Unauthorised(str(error))
            self._counts["unauthorised"] += 1
        elif isinstance(error, Unauthorised | PeerRefused):
            self._counts["unauthorised" if isinstance(error, Unauthorised) else "strangers"] += 1
            self._note(error, remote=request.remote or "", node=node, here=True)
        else:
            self._counts["refused"] += 1
        response = web.Response(
            status=error.status,
            body=encode_error(error),
            content_type=MEDIA_TYPE,
            headers=headers,
        )
        if not request.content.is_eof():
            response.force_close()
        return response

    def _note(self, error: NodeError, *, remote: str, node: str, here: bool) -> None:
        self._refusals.note(error, remote=remote, node=node, here=here, now_s=time.monotonic())

    def _note_refused(
        self, error: Unauthorised | PeerRefused, *, remote: str, node: str, here: bool
    ) -> PeerRefused:
        """Between nodes; a client, for whom this node asks, must not take it for his own token."""
        self._note(error, remote=remote, node=node, here=here)
        if isinstance(error, PeerRefused):
            return error
        return PeerRefused(f"{remote}: {error}", peer_reason=error.reason)

    def _names(self, request: web.BaseRequest) -> frozenset[str] | None:
        """Names in the caller's certificate; None where none is asked for."""
        if self._server_ssl is None or self._server_ssl.verify_mode is not ssl.CERT_REQUIRED:
            return None
        found = request.transport and request.transport.get_extra_info("peercert")
        names = (found or {}).get("subjectAltName", ())
        return frozenset(name for kind, name in names if kind == "DNS")


def _message_body(address: str, response: aiohttp.ClientResponse, data: bytes) -> bytes:
    if response.content_type != MEDIA_TYPE:
        raise PeerRefused(f"{address} answered with HTTP {response.status} and no message")
    return data


def _raise_refusal(address: str, response: aiohttp.ClientResponse, data: bytes) -> None:
    try:
        decode_reply(_message_body(address, response, data))
    except (BadRequest, PeerRefused, Unauthorised):
        raise
    except NodeError:
        pass
    raise Unauthorised(f"{address} sent a reply without a seal; it is not the node greeted")
