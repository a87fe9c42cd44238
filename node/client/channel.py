"""One cluster behind one address: which node a request goes to, and what becomes of its errors."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import orjson

from node.client.connection import ConnectionPool, Response, Sink
from node.client.problems import problem_to_error
from node.client.routing import Box, RingView
from node.errors import PeerRefused, PeerUnreachable

TIMEOUT_S = 30.0
DOWN_S = 5.0
"""A node that did not answer is asked last for so long."""


class _CountedSink:
    """A sink that knows whether anything has gone into it: then no other node can take over."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.bytes_written = 0

    def write(self, data: bytes, /) -> None:
        self._sink.write(data)
        self.bytes_written += len(data)


class Channel:
    """Sends requests to the node that should have them, else to any that answers; thread-safe."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        tls_ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        direct: bool = False,
    ) -> None:
        """See `node.client.Client`."""
        headers = {"Accept-Encoding": "identity"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        self.timeout_s = timeout_s
        self.direct = direct
        self._pool = ConnectionPool(
            headers=headers, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key
        )
        self._ring: RingView | None = None
        self._ring_is_stale = False
        self._ring_lock = threading.Lock()
        self._down_until_s: dict[str, float] = {}

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def request(
        self,
        method: str,
        target: str,
        *,
        url: str | None = None,
        prefer: str | None = None,
        box: Box | None = None,
        headers: str = "",
        body: bytes | memoryview = b"",
        timeout_s: float | None = None,
        sink: Sink | None = None,
        expected: tuple[int, ...] = (),
    ) -> Response:
        """Send one request to `url`; or first to `prefer` or an owner of `box`, then to others.

        Args:
            target: path and query, quoted.
            headers: more header lines, each ended by CR LF.
            sink: where the body of a good answer goes instead of into memory.
            expected: statuses >= 400 that are handed back like good ones.
        Raises:
            NodeError: for every other answer with status >= 400, and when no node answers.
        """
        deadline_s = time.monotonic() + (timeout_s or self.timeout_s)
        counted = None if sink is None else _CountedSink(sink)
        cause: PeerUnreachable | None = None
        for candidate in (url,) if url else self._candidates(prefer, box):
            try:
                response = self._pool.request(
                    method, candidate, target, headers=headers, body=body, sink=counted,
                    timeout_s=max(deadline_s - time.monotonic(), 0.001),
                )  # fmt: skip
            except PeerUnreachable as error:
                self._down_until_s[candidate] = time.monotonic() + DOWN_S
                cause = error
                if counted is not None and counted.bytes_written:
                    raise
                continue
            self._note_digest(response)
            if response.status >= 400 and response.status not in expected:
                raise problem_to_error(response, url=candidate)
            return response
        assert cause is not None
        raise cause

    def stream(self, target: str, *, headers: str, silence_s: float) -> Iterator[bytes]:
        """The body of an answer without an end, from the node whose turn it is.

        However it ends, another node is asked next time.

        Raises:
            NodeError: what the node answered instead; or it broke off, or fell silent.
        """
        url = next(self._candidates(None, None))
        left_by_us = False
        try:
            with self._pool.stream(url, target, headers=headers, timeout_s=self.timeout_s) as (
                response,
                connection,
            ):
                if response.status >= 400:
                    raise problem_to_error(response, url=url)
                yield from connection.parts(silence_s=silence_s)
        except GeneratorExit:
            left_by_us = True
            raise
        finally:
            if not left_by_us:
                self._down_until_s[url] = time.monotonic() + DOWN_S

    def ring_view(self) -> RingView:
        """The ring for routing; fetched once, and again when a node shows another digest."""
        view = self._ring
        if view is None or self._ring_is_stale:
            with self._ring_lock:
                if self._ring is None or self._ring_is_stale:
                    self._ring_is_stale = False
                    self._ring = RingView.from_json(self._fetch_ring())
                view = self._ring
        return view

    def _fetch_ring(self) -> dict[str, Any]:
        known = self._ring.urls.values() if self._ring else ()
        cause: PeerUnreachable | None = None
        for url in dict.fromkeys((self.url, *known)):
            try:
                return self.json("/cluster/ring", url=url)
            except PeerUnreachable as error:
                cause = error
        assert cause is not None
        raise cause

    def _candidates(self, prefer: str | None, box: Box | None) -> Iterator[str]:
        """The best node first, then every other; those that did not answer lately last."""
        if self.direct:
            yield self.url
            return
        view = self.ring_view()
        best = prefer or view.url_for_box(box) or self.url
        now_s = time.monotonic()
        if self._down_until_s.get(best, 0.0) <= now_s:
            yield best
        others = [url for url in dict.fromkeys((self.url, *view.urls.values())) if url != best]
        others.sort(key=lambda url: self._down_until_s.get(url, 0.0) > now_s)
        yield from others
        if self._down_until_s.get(best, 0.0) > now_s:
            yield best

    def _note_digest(self, response: Response) -> None:
        digest = response.headers.get("zring-ring")
        if digest is not None and self._ring is not None and digest != self._ring.digest:
            self._ring_is_stale = True

    def json(
        self,
        target: str,
        *,
        url: str | None = None,
        box: Box | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """GET a document from `url`, or from any node.

        Raises:
            PeerRefused: the answer is no JSON.
        """
        response = self.request(
            "GET", target, url=url, box=box, headers="Accept: application/json\r\n",
            timeout_s=timeout_s,
        )  # fmt: skip
        return self._document(response, target)

    def post_json(self, target: str, document: dict[str, Any]) -> dict[str, Any]:
        """POST a document to `url`; the answer is one as well.

        Raises:
            PeerRefused: the answer is no JSON.
        """
        headers = "Accept: application/json\r\nContent-Type: application/json\r\n"
        response = self.request(
            "POST", target, url=self.url, headers=headers, body=orjson.dumps(document)
        )
        return self._document(response, target)

    def _document(self, response: Response, target: str) -> dict[str, Any]:
        try:
            return orjson.loads(response.body)
        except orjson.JSONDecodeError:
            raise PeerRefused(f"{self.url}{target} sent no JSON; is it a zring node?") from None
