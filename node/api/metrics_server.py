"""Metrics of a process that is no node: a small server of its own, on a thread of its own."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from node.errors import ConfigInvalid


class MetricsServer:
    """Answers `GET /metrics` on an address of its own, from a thread of its own."""

    def __init__(self, listen: str, text: Callable[[], str]) -> None:
        """Bind.

        Args:
            listen: HOST:PORT; port 0 takes a free one.
        Raises:
            ConfigInvalid: the address cannot be used.
        """
        host, _, port = listen.rpartition(":")
        if not host or not port.isdecimal():
            raise ConfigInvalid(f"--metrics-listen {listen!r} is no HOST:PORT")

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path != "/metrics":
                    self.send_error(404, "only /metrics is here")
                    return
                body = text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Nobody wants a line for each time the metrics are collected."""

        try:
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
        except (OSError, OverflowError) as error:
            raise ConfigInvalid(f"--metrics-listen {listen}: {error}") from None
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
