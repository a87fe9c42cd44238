"""The real transport: one HTTP POST a message, on a port of its own, over kept connections.

Peers prove that they know the cluster key by a token derived from it (HMAC-SHA256 of a fixed
text), compared in constant time, so the key itself never travels; TLS (ssl contexts handed in)
keeps the token from those who can listen. A request that cannot be read or is not authorised is
answered with a 4xx and counted; it never reaches the handler. A peer that drops its connection
cancels the handler that works for it.
"""

import asyncio
import hashlib
import hmac
import socket
from collections.abc import Mapping
from ssl import SSLContext
from types import MappingProxyType
from typing import Any

import aiohttp
from aiohttp import web

from node.errors import (
    BadRequest,
    NodeError,
    PeerRefused,
    PeerUnreachable,
    TooLarge,
    Unauthorised,
)
from node.peer.transport import Handler, Message
from node.peer.wire import decode_reply, decode_request, encode_error, encode_message
from zring.errors import ZringError

PATH = "/peer"
KEY_HEADER = "Zring-Key"
MEDIA_TYPE = "application/x-zring"
REQUEST_BYTES_MAX = 64 << 20
"""Records of one message are cut at 16 MB; one record with a large image may exceed that."""
CONNECTIONS_PER_PEER_MAX = 32
KEEPALIVE_CLIENT_S = 15
KEEPALIVE_SERVER_S = 75
"""Longer than the client's, so that no request meets a connection that is just being closed."""
SHUTDOWN_S = 1.0
"""Requests under way when the node stops get this long; what they stored is stored."""
_TOKEN_TEXT = b"zring peer 1"


class _Pieces(aiohttp.payload.Payload):
    """A request or reply body in pieces, sent without joining them first."""

    _value: tuple[bytes | memoryview, ...]

    def __init__(self, *pieces: bytes | memoryview) -> None:
        super().__init__(pieces, content_type=MEDIA_TYPE)
        self._size = sum(len(piece) for piece in pieces)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """For aiohttp's own messages only."""
        return f"{self._size} bytes"

    async def write(self, writer: Any) -> None:
        """Send the pieces one after the other."""
        for piece in self._value:
            if len(piece):
                await writer.write(piece)


class HttpTransport:
    """`Transport` over aiohttp; see `node.peer.transport` for the contract.

    Args:
        listen_port: 0 takes a free one; `bind` tells which.
        cluster_key: shared by all peers; "" switches authentication off.
        server_ssl, client_ssl: TLS contexts; both or none.
        request_bytes_max: larger messages are refused unread.
    """

    def __init__(
        self,
        *,
        listen_host: str = "127.0.0.1",
        listen_port: int = 0,
        cluster_key: str = "",
        server_ssl: SSLContext | None = None,
        client_ssl: SSLContext | None = None,
        request_bytes_max: int = REQUEST_BYTES_MAX,
    ) -> None:
        self._host = listen_host
        self._port = listen_port
        self._token = _token(cluster_key)
        self._server_ssl = server_ssl
        self._client_ssl = client_ssl
        self._request_bytes_max = request_bytes_max
        self._socket: socket.socket | None = None
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._handler: Handler | None = None
        self._counts = dict.fromkeys(("received", "refused", "unauthorised", "cancelled"), 0)

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
        """Requests received, refused as unreadable, unauthorised, cancelled by their senders."""
        return MappingProxyType(dict(self._counts))

    async def start(self, handler: Handler) -> None:
        """Begin to receive; see `Transport`."""
        self._handler = handler
        self.bind()
        assert self._socket is not None
        server = web.Server(
            self._receive,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SERVER_S,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        site = web.SockSite(self._runner, self._socket, ssl_context=self._server_ssl, backlog=256)
        await site.start()

    async def call(self, address: str, message: Message, *, timeout_ms: int) -> Message:
        """Send a message and wait for its reply; see `Transport`."""
        session = self._open_session()
        scheme = "http" if self._client_ssl is None else "https"
        try:
            async with (
                asyncio.timeout(timeout_ms / 1_000),
                session.post(
                    f"{scheme}://{address}{PATH}",
                    data=_Pieces(*encode_message(message)),
                    headers={KEY_HEADER: self._token},
                    ssl=self._client_ssl or True,
                ) as response,
            ):
                data = await response.read()
        except TimeoutError:
            raise PeerUnreachable(
                f"{address} did not answer {message.kind!r} within {timeout_ms} ms"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PeerUnreachable(f"{address} cannot be reached: {error}") from None
        if response.content_type != MEDIA_TYPE:
            raise PeerRefused(f"{address} answered with HTTP {response.status} and no message")
        return decode_reply(data)

    async def close(self) -> None:
        """Stop receiving, let go of all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
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
        return self._session

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._handler is not None
        self._counts["received"] += 1
        try:
            message = await self._read(request)
        except Unauthorised as error:
            self._counts["unauthorised"] += 1
            return _error_response(error)
        except BadRequest as error:
            self._counts["refused"] += 1
            return _error_response(error)
        try:
            reply = await self._handler(message)
        except NodeError as error:
            return _error_response(error)
        except ZringError as error:
            return _error_response(PeerRefused(str(error), peer_reason=type(error).__name__))
        except asyncio.CancelledError:
            self._counts["cancelled"] += 1
            raise
        return web.Response(body=_Pieces(*encode_message(reply)))

    async def _read(self, request: web.BaseRequest) -> Message:
        given = request.headers.get(KEY_HEADER, "")
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token.encode()):
            raise Unauthorised(
                "the cluster key is missing or wrong; give every node the same cluster key"
            )
        if request.method != "POST" or request.path != PATH:
            raise BadRequest(f"peers are served at POST {PATH} only", field="path")
        size = request.content_length
        if size is None:
            raise BadRequest("message between nodes gives no Content-Length", field="body")
        if size > self._request_bytes_max:
            raise TooLarge(
                f"message of {size} bytes is more than {self._request_bytes_max}", field="body"
            )
        try:
            data = await request.content.readexactly(size)
        except (asyncio.IncompleteReadError, aiohttp.ClientError) as error:
            raise BadRequest(
                f"message between nodes was cut short: {error}", field="body"
            ) from None
        return decode_request(data)


def _error_response(error: NodeError) -> web.Response:
    # Bodies of refused requests may be unread: such a connection cannot be used again.
    response = web.Response(status=error.status, body=encode_error(error), content_type=MEDIA_TYPE)
    if isinstance(error, Unauthorised | TooLarge):
        response.force_close()
    return response


def _token(cluster_key: str) -> str:
    if not cluster_key:
        return ""
    return hmac.new(cluster_key.encode(), _TOKEN_TEXT, hashlib.sha256).hexdigest()
