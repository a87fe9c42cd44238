"""One cluster behind one address: which node a request goes to, and what becomes of its errors."""

import threading
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import orjson

from node.client.connection import ConnectionPool, Patience, Response, Sink
from node.client.problems import problem_to_error
from node.client.routing import Box, RingView
from node.errors import PeerRefused, PeerUnreachable

TIMEOUT_S = 30.0
DOWN_FIRST_S, DOWN_MAX_S = 5.0, 60.0
"""A node that did not answer is asked last for so long; twice as long when it does it again."""
SILENCE_S_MAX, PROBE_S_MAX = 1.0, 2.0
SHARE = 8
"""Where others can be asked, a node that hangs costs a second of silence and two for the question
whether it is there: both at most an eighth of the deadline, so that four may hang in one call."""

CAUSES_TOLD_MAX = 4
"""Nodes whose trouble is told where none answers."""

Candidates = Iterable[tuple[str, bool]]
"""URLs in the order of asking, each with whether another one follows."""


class _CountedSink:
    """A sink that knows whether anything has gone into it: then no other node can take over."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.bytes_written = 0

    def write(self, data: bytes, /) -> None:
        self._sink.write(data)
        self.bytes_written += len(data)


@lru_cache(maxsize=64)
def _patience(timeout_s: float) -> Patience:
    """With a node that can be replaced, in a call of so long."""
    share_s = timeout_s / SHARE
    return Patience(min(share_s, SILENCE_S_MAX), min(share_s, PROBE_S_MAX))


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
        self._down_s: dict[str, float] = {}

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
        replaceable: bool = False,
    ) -> Response:
        """Send one request to `url`; or first to `prefer` or an owner of `box`, then to others.

        Args:
            target: path and query, quoted.
            headers: more header lines, each ended by CR LF.
            sink: where the body of a good answer goes instead of into memory.
            expected: statuses >= 400 that are handed back like good ones.
            replaceable: the caller has others to ask when `url`, or the only node, hangs.
        Raises:
            NodeError: for every other answer with status >= 400, and when no node answers.
        """
        whole_s = timeout_s or self.timeout_s
        deadline_s = time.monotonic() + whole_s
        patience = _patience(whole_s)
        counted = None if sink is None else _CountedSink(sink)
        causes: list[PeerUnreachable] = []
        candidates = ((url, False),) if url else self._candidates(prefer, box, whole_s)
        for candidate, others in candidates:
            try:
                response = self._pool.request(
                    method, candidate, target, headers=headers, body=body, sink=counted,
                    timeout_s=max(deadline_s - time.monotonic(), 0.001),
                    patience=patience if others or replaceable else None,
                )  # fmt: skip
            except PeerUnreachable as error:
                self._note_down(candidate)
                causes.append(error)
                if counted is not None and counted.bytes_written:
                    raise
                continue
            self._note_answer(candidate, response)
            if response.status >= 400 and response.status not in expected:
                raise problem_to_error(response, url=candidate)
            return response
        assert causes, "somebody was asked"
        if len(causes) == 1:
            raise causes[0]
        told = "; ".join(map(str, causes[:CAUSES_TOLD_MAX]))
        raise PeerUnreachable(f"none of {len(causes)} nodes answers: {told}")

    def stream(self, target: str, *, headers: str, silence_s: float) -> Iterator[bytes]:
        """The body of an answer without an end, from the node whose turn it is.

        However it ends, another node is asked next time.

        Raises:
            NodeError: what the node answered instead; or it broke off, or fell silent.
        """
        url, others = next(iter(self._candidates(None, None, self.timeout_s)))
        patience = _patience(self.timeout_s) if others else None
        left_by_us = False
        try:
            with self._pool.stream(
                url, target, headers=headers, timeout_s=self.timeout_s, patience=patience
            ) as (response, connection):
                self._note_answer(url, response)
                if response.status >= 400:
                    raise problem_to_error(response, url=url)
                yield from connection.parts(silence_s=silence_s)
        except GeneratorExit:
            left_by_us = True
            raise
        finally:
            if not left_by_us:
                self._note_down(url)

    def ring_view(self, timeout_s: float | None = None) -> RingView:
        """The ring for routing; fetched once, and again when a node shows another digest."""
        view = self._ring
        if view is None or self._ring_is_stale:
            with self._ring_lock:
                if self._ring is None or self._ring_is_stale:
                    self._ring_is_stale = False
                    self._ring = RingView.from_json(self._fetch_ring(timeout_s or self.timeout_s))
                view = self._ring
        return view

    def _fetch_ring(self, timeout_s: float) -> dict[str, Any]:
        """The ring, from any node that is known."""
        known = self._ring.urls.values() if self._ring else ()
        deadline_s = time.monotonic() + timeout_s
        *others, last = self._up_first(dict.fromkeys((self.url, *known)))
        for url in others:
            try:
                return self._ring_of(url, deadline_s, replaceable=True)
            except PeerUnreachable:
                continue
        return self._ring_of(last, deadline_s, replaceable=False)

    def _ring_of(self, url: str, deadline_s: float, *, replaceable: bool) -> dict[str, Any]:
        remaining_s = max(deadline_s - time.monotonic(), 0.001)
        return self.json("/cluster/ring", url=url, timeout_s=remaining_s, replaceable=replaceable)

    def _candidates(self, prefer: str | None, box: Box | None, timeout_s: float) -> Candidates:
        """The best node first, then every other; those that did not answer lately last."""
        if self.direct:
            yield self.url, False
            return
        view = self.ring_view(timeout_s)
        best = prefer or view.url_for_box(box) or self.url
        is_up = self._down_until_s.get(best, 0.0) <= time.monotonic()
        if is_up:
            yield best, any(url != best for url in view.urls.values())
        others = dict.fromkeys((self.url, *view.urls.values()))
        others.pop(best, None)
        left = self._up_first(others) if is_up else [*self._up_first(others), best]
        for place, url in enumerate(left, 1):
            yield url, place < len(left)

    def _up_first(self, urls: Iterable[str]) -> list[str]:
        now_s = time.monotonic()
        return sorted(urls, key=lambda url: self._down_until_s.get(url, 0.0) > now_s)

    def _note_down(self, url: str) -> None:
        down_s = self._down_s.get(url, DOWN_FIRST_S)
        self._down_until_s[url] = time.monotonic() + down_s
        self._down_s[url] = min(2 * down_s, DOWN_MAX_S)

    def _note_answer(self, url: str, response: Response) -> None:
        if url in self._down_s:
            self._down_s.pop(url, None)
            self._down_until_s.pop(url, None)
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
        replaceable: bool = False,
    ) -> dict[str, Any]:
        """GET a document from `url`, or from any node; see `request`.

        Raises:
            PeerRefused: the answer is no JSON.
        """
        response = self.request(
            "GET", target, url=url, box=box, headers="Accept: application/json\r\n",
            timeout_s=timeout_s, replaceable=replaceable,
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
