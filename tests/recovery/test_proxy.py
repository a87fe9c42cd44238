"""The user-space proxy by itself: this process calls an echo behind it."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovery.proxy import Proxy

SILENCE_S = 0.3
ANSWER_S = 60.0


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy(lambda: {"a": os.getpid()})
    yield made
    made.close()


@pytest.fixture
def line(proxy: Proxy, tmp_path: Path) -> Iterator[socket.socket]:
    """A connection of node a to node b, which sends back what it gets."""
    proxy.place("a", tmp_path)
    place = proxy.place("b", tmp_path)
    port = int(place.advertise.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", place.peer_port)) as server:
        thread = threading.Thread(target=echo, args=(server,))
        thread.start()
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S) as connection:
            yield connection
        thread.join(ANSWER_S)


def echo(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while data := connection.recv(1_024):
            connection.sendall(data)


def answered(line: socket.socket, timeout_s: float) -> bytes:
    line.settimeout(timeout_s)
    try:
        return line.recv(1_024)
    except TimeoutError:
        return b""


@pytest.mark.parametrize("way", [("a", "b"), ("b", "a")])
def test_a_way_that_is_cut_is_silent_and_delivers_when_it_is_healed(
    proxy: Proxy, line: socket.socket, way: tuple[str, str]
) -> None:
    line.sendall(b"one")
    assert answered(line, ANSWER_S) == b"one"
    proxy.cut_way(*way)
    line.sendall(b"two")
    assert answered(line, SILENCE_S) == b""
    proxy.heal_way(*way)
    assert answered(line, ANSWER_S) == b"two"


def test_an_unplugged_node_is_reached_from_nowhere(proxy: Proxy, line: socket.socket) -> None:
    proxy.unplug("b")
    line.sendall(b"one")
    assert answered(line, SILENCE_S) == b""
    proxy.plug("b")
    assert answered(line, ANSWER_S) == b"one"
