"""Which versions of Kafka's requests a broker speaks: asked by hand, before pykafka is let near it.

pykafka fails with "Unable to connect to a broker" at a broker that no longer knows its requests,
at one that is not there, and at one that wants TLS. One small request tells them apart.
"""

import socket
import ssl
from struct import Struct
from struct import error as StructError  # noqa: N812  (an exception by its usual form)

ASK_DEADLINE_S = 5.0
ANSWER_BYTES_MAX = 64 << 10
FETCH_REQUEST = 1
_API_VERSIONS_REQUEST = 18
_CLIENT = b"zring"
_HEAD = Struct("!ihhih")
_ANSWER_HEAD = Struct("!ihi")
_ENTRY = Struct("!hhh")


def ask_api_versions(
    host: str, port: int, context: ssl.SSLContext | None
) -> dict[int, tuple[int, int]]:
    """Number of a request → the lowest and highest version that the broker takes.

    Raises:
        OSError: no connection, or no answer in time.
        ValueError: what answers is no Kafka broker, or wants another protocol.
    """
    with socket.create_connection((host, port), ASK_DEADLINE_S) as plain:
        if context is None:
            return _ask(plain)
        with context.wrap_socket(plain, server_hostname=host) as encrypted:
            return _ask(encrypted)


def _ask(connection: socket.socket) -> dict[int, tuple[int, int]]:
    size = _HEAD.size - 4 + len(_CLIENT)
    connection.sendall(_HEAD.pack(size, _API_VERSIONS_REQUEST, 0, 1, len(_CLIENT)) + _CLIENT)
    (size,) = Struct("!i").unpack(_read(connection, 4))
    if not _ANSWER_HEAD.size <= size <= ANSWER_BYTES_MAX:
        raise ValueError("what answers there is no Kafka broker, or wants TLS")
    answer = _read(connection, size)
    _, error, count = _ANSWER_HEAD.unpack_from(answer)
    if error:
        raise ValueError(f"the broker answers with error {error}")
    try:
        entries = [
            _ENTRY.unpack_from(answer, _ANSWER_HEAD.size + index * _ENTRY.size)
            for index in range(count)
        ]
    except StructError:
        raise ValueError("the answer is cut off") from None
    return {api: (lowest, highest) for api, lowest, highest in entries}


def _read(connection: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        more = connection.recv(count - len(read))
        if not more:
            raise ValueError("the connection was closed instead of an answer; does it want TLS?")
        read += more
    return read
