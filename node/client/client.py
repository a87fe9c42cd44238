"""`zring.connect(url)`: ask a cluster and write to it, straight at the owners."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self
from urllib.parse import quote

import pyarrow as pa

from node.client.channel import TIMEOUT_S, Channel
from node.client.connection import Response, Sink
from node.client.fanout import FanOut
from node.client.following import Event, follow_events
from node.client.operations import Operations
from node.client.parameters import BoundingBox, Time, box_to_e7, collection_path, query_string
from node.client.result import AnswerCoverage, Result, coverage_of, joined
from node.client.routing import Box
from node.client.writing import Written, write_records
from node.errors import BadRequest, DeadlineExceeded
from node.query import ROWS_PER_PAGE_MAX, CoverageState, WriteLevel

ALL = "all"
"""The limit that asks for everything in one stream."""
_LIMIT = re.compile(r"\blimit=[0-9]+")
_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*rel="?next"?')


class Client:
    """A cluster behind the address of any of its nodes; thread-safe.

    Reads go to the node that owns the asked area, writes to the owners of the records, and to
    any other node when these do not answer. Errors are those of `node.errors`.
    """

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
        """Remember the address; the first call connects.

        Args:
            url: `http://HOST:PORT` of any node.
            token: the client's token, where the cluster asks for one.
            timeout_s: default deadline of each call.
            tls_ca: file with the certificates (PEM) to trust instead of the system's.
            tls_cert, tls_key: files (PEM) of the client's own certificate and key, where the
                cluster asks for one; the key may be in the first file.
            direct: send everything to `url` and nowhere else (a tunnel, a test of one node).
        """
        self._credentials = {
            "token": token, "tls_ca": tls_ca, "tls_cert": tls_cert, "tls_key": tls_key
        }  # fmt: skip
        self._channel = Channel(url, timeout_s=timeout_s, direct=direct, **self._credentials)
        self._owners = FanOut()

    @property
    def url(self) -> str:
        """The address given, with its scheme."""
        return self._channel.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections; the client may be used again afterwards."""
        self._owners.close()
        self._channel.close()

    # Questions

    def query(
        self,
        collection: str,
        *,
        bbox: BoundingBox | None = None,
        datetime: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        sensors: Iterable[str] | str | None = None,
        filter: str | None = None,
        columns: Iterable[str] | None = None,
        metadata: bool = False,
        limit: int | None = None,
        require: CoverageState | None = None,
        timeout_s: float | None = None,
    ) -> Result:
        """Records of an area and a time, in key order.

        Args:
            bbox: west, south, east, north in degrees, edges included.
            datetime: an instant or `a/b`, closed at both ends; `..` is open.
            from_, to: half-open pair of times, instead of `datetime`.
            sensors: one name or several.
            filter: CQL2 text over values, for example `temp > 30`.
            columns: value names to return; default: all that was measured.
            metadata: with what is known beside it: `@ingested`, `@source`, `@stream`, `@sequence`.
            limit: rows at most; default: all of them.
            require: worst coverage that is acceptable.
        Raises:
            NodeError: a subclass that says what to do.
        """
        question = query_string(
            bbox=bbox, datetime=datetime, from_=from_, to=to, sensors=sensors, filter=filter,
            columns=columns, metadata=metadata,
            more={
                "limit": _page_limit(limit), "require": require, "timeout_ms": _ms(timeout_s)
            },
        )  # fmt: skip
        target = f"{collection_path(collection)}/items?f=arrow&{question}"
        box = box_to_e7(bbox)
        if limit is None and not self._channel.direct:
            parts = self._owners.ask(
                self._channel.ring_view(),
                box,
                lambda url, spans: self._rows(
                    f"{target}&spans={spans}", box, None, timeout_s, prefer=url
                ),
            )
            if parts is not None:
                return joined(parts)
        return self._rows(target, box, limit, timeout_s)

    def pages(
        self, collection: str, *, rows_max: int = ROWS_PER_PAGE_MAX, **selection: Any
    ) -> Iterator[Result]:
        """All records in key order, page by page, in bounded memory; arguments as `query`.

        A page that was not read yet costs nothing. Records that arrive meanwhile are on a later
        page or on none; none is skipped or given twice.

        Args:
            rows_max: records of one page at most.
        """
        target, box, timeout_s = self._target(
            collection, "items", {**selection, "limit": rows_max}, {}, format="arrow"
        )
        following: str | None = target
        while following is not None:
            response = self._channel.request("GET", following, box=box, timeout_s=timeout_s)
            yield Result(response.body, coverage_of(response.headers))
            following = next_target(response)

    def latest(self, collection: str, **selection: Any) -> Result:
        """The newest record of each sensor; arguments as `query`."""
        return self._selected(collection, "latest", selection, {})

    def nearest(
        self, collection: str, *, lon: float, lat: float, count: int = 10, **selection: Any
    ) -> Result:
        """The newest records of the sensors nearest to a place, nearest first."""
        return self._selected(
            collection, "nearest", selection, {"lon": lon, "lat": lat, "k": count}
        )

    def within(
        self,
        collection: str,
        *,
        lon: float | None = None,
        lat: float | None = None,
        radius_m: float | None = None,
        polygon: str | None = None,
        **selection: Any,
    ) -> Result:
        """Records inside a circle (`lon`, `lat`, `radius_m`) or a polygon (WKT)."""
        more = {"lon": lon, "lat": lat, "radius_m": radius_m, "polygon": polygon}
        return self._selected(collection, "within", selection, more)

    def aggregate(
        self,
        collection: str,
        *,
        level: int | None = None,
        cell: float | None = None,
        step: str | None = None,
        **selection: Any,
    ) -> Result:
        """Count, mean, min, max, sum of each value, per cell and per time step.

        Args:
            level, cell: level of the cells, or their width in degrees; default: one group.
            step: width of a time step as an ISO 8601 duration, such as PT1H.
        """
        more = {"level": level, "cell": cell, "step": step}
        if type(level) is int and selection.get("limit") is None and not self._channel.direct:
            whole = self._cells_of_owners(collection, level, dict(selection), more)
            if whole is not None:
                return whole
        return self._selected(collection, "aggregate", selection, more)

    def _cells_of_owners(
        self, collection: str, level: int, selection: dict[str, Any], more: Mapping[str, Any]
    ) -> Result | None:
        """The owners' groups one behind the other; None where one node should be asked."""
        target, box, timeout_s = self._target(
            collection, "aggregate", selection, more, format="arrow"
        )
        parts = self._owners.ask(
            self._channel.ring_view(),
            box,
            lambda url, spans: self._rows(
                f"{target}&spans={spans}", box, None, timeout_s, prefer=url
            ),
            level=level,
        )
        # Groups of other values than the next owner's need the columns that only a node gives.
        filled = [part for part in parts or () if len(part)]
        if any(not part.table.schema.equals(filled[0].table.schema) for part in filled):
            return None
        return joined(parts) if parts and filled else None

    def follow(
        self,
        collection: str,
        *,
        bbox: BoundingBox | None = None,
        sensors: Iterable[str] | str | None = None,
        filter: str | None = None,
        columns: Iterable[str] | None = None,
        metadata: bool = False,
        fence: bool = False,
        last_event_id: str | None = None,
    ) -> Iterator[Event]:
        """What arrives from now on, at any node; goes on at another one when a node goes.

        Args:
            fence: only sensors that come into `bbox` (`enter`) or go out (`leave`).
            last_event_id: go on after this event.
        Raises:
            Unavailable: no node has answered for `timeout_s` of this client.
        """
        question = query_string(
            bbox=bbox, sensors=sensors, filter=filter, columns=columns, metadata=metadata,
            more={"fence": "true"} if fence else None,
        )  # fmt: skip
        target = f"{collection_path(collection)}/stream?{question}"
        timeout_s = self._channel.timeout_s
        return follow_events(
            self._channel, target, last_event_id=last_event_id, timeout_s=timeout_s
        )

    def explain(self, collection: str, **selection: Any) -> dict[str, Any]:
        """How a query is answered: spans, readers, rows, times."""
        target, box, timeout_s = self._target(collection, "explain", selection, {})
        return self._channel.json(target, box=box, timeout_s=timeout_s)

    def collections(self) -> list[dict[str, Any]]:
        """The collections that the cluster has."""
        return self._channel.json("/collections")["collections"]

    def status(self) -> dict[str, Any]:
        """The state of the cluster as the node behind `url` sees it."""
        return self._channel.json("/cluster/status", url=self.url)

    def metrics(self) -> str:
        """The counters of the node behind `url`, in Prometheus' text format."""
        return bytes(self._channel.request("GET", "/metrics", url=self.url).body).decode()

    def date(self) -> str | None:
        """The clock of the node behind `url`, as HTTP writes it."""
        return self._channel.request("GET", "/health", url=self.url).headers.get("date")

    def beside(self, url: str) -> "Client":
        """A client with the same token and settings that asks only the node at another URL."""
        return Client(url, timeout_s=self._channel.timeout_s, direct=True, **self._credentials)

    @property
    def operations(self) -> Operations:
        """Changing the cluster through the node behind `url`."""
        return Operations(self._channel)

    def ring(self) -> dict[str, Any]:
        """Who owns what."""
        return self._channel.json("/cluster/ring", url=self.url)

    def download(
        self, collection: str, sink: Sink, *, format: str, **selection: Any
    ) -> AnswerCoverage:
        """Write an answer to a binary file, as it comes.

        Args:
            format: `csv`, `ndjson` or `arrow`; with a `limit` also `geojson` and `parquet`.
        """
        selection["limit"] = selection.get("limit") or ALL
        target, box, timeout_s = self._target(collection, "items", selection, {}, format=format)
        response = self._channel.request("GET", target, box=box, timeout_s=timeout_s, sink=sink)
        return coverage_of(response.headers)

    def stored(self, collection: str, *, timeout_s: float | None = None) -> pa.Table:
        """What the store of the node behind `url` itself holds of a collection; needs `admin`.

        Columns sensor, time, lon, lat, version, deleted, code, digest, in key order.
        """
        target = f"/cluster/store/{quote(collection, safe='')}"
        response = self._channel.request("GET", target, url=self.url, timeout_s=timeout_s)
        return Result(response.body, coverage_of(response.headers)).table

    # Records

    def write(
        self,
        collection: str,
        records: Any,
        *,
        w: WriteLevel = "one",
        replace: bool = False,
        timeout_s: float | None = None,
    ) -> Written:
        """Store records; safe to repeat, because the same record again changes nothing.

        Args:
            records: dictionaries as in JSON, or columns (Arrow table or batch, pandas).
            w: on how many nodes they are durable when this returns: one, quorum, all.
            replace: these records correct stored ones.
        Raises:
            Unavailable: some could not be stored before the deadline; repeat the call.
        Returns:
            what became of them; records that break a rule are in `rejected`, with the reason.
        """
        return write_records(
            self._channel,
            collection,
            records,
            w=w,
            replace=replace,
            timeout_s=timeout_s,
        )

    def _target(
        self,
        collection: str,
        kind: str,
        selection: dict[str, Any],
        more: Mapping[str, Any],
        *,
        format: str | None = None,
    ) -> tuple[str, Box | None, float | None]:
        timeout_s = selection.pop("timeout_s", None)
        extra = {name: selection.pop(name, None) for name in ("limit", "require")}
        if kind in ("items", "latest", "within") and extra["limit"] != ALL:
            extra["limit"] = _page_limit(extra["limit"])
        extra["timeout_ms"] = _ms(timeout_s)
        bbox = selection.get("bbox")
        try:
            question = query_string(**selection, more={**extra, **more, "f": format})
        except TypeError as error:
            raise BadRequest(f"{kind}: {error}") from None
        return f"{collection_path(collection)}/{kind}?{question}", box_to_e7(bbox), timeout_s

    def _selected(
        self, collection: str, kind: str, selection: dict[str, Any], more: Mapping[str, Any]
    ) -> Result:
        limit = selection.get("limit")
        target, box, timeout_s = self._target(collection, kind, selection, more, format="arrow")
        return self._rows(target, box, limit, timeout_s)

    def _rows(
        self,
        target: str,
        box: Box | None,
        limit: int | None,
        timeout_s: float | None,
        *,
        prefer: str | None = None,
    ) -> Result:
        """The first page, which is all of most answers, then what is missing.

        A page is one piece with a length; a stream of everything costs both sides more, so it
        is asked for only behind a first page that did not hold everything.
        """
        deadline_s = time.monotonic() + (timeout_s or self._channel.timeout_s)
        response = self._channel.request("GET", target, prefer=prefer, box=box, timeout_s=timeout_s)
        first = Result(response.body, coverage_of(response.headers))
        following = next_target(response)
        if following is None or (limit is not None and limit <= ROWS_PER_PAGE_MAX):
            return first
        pages, count = [first], len(first)
        while following is not None and (limit is None or count < limit):
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                raise DeadlineExceeded("the query did not end in time; give a longer timeout_s")
            if limit is None:
                following = _LIMIT.sub(f"limit={ALL}", following)
            response = self._channel.request(
                "GET", following, prefer=prefer, box=box, timeout_s=remaining_s
            )
            pages.append(Result(response.body, coverage_of(response.headers)))
            count += len(pages[-1])
            following = next_target(response)
        whole = joined(pages)
        return whole if limit is None else Result(whole.table.slice(0, limit), whole.coverage)


def _ms(timeout_s: float | None) -> int | None:
    """The deadline that a caller named, for the node: it stops working on what is too late."""
    return None if timeout_s is None else max(1, int(timeout_s * 1_000))


def _page_limit(limit: int | None) -> int:
    """Rows of the first page."""
    return ROWS_PER_PAGE_MAX if limit is None else min(limit, ROWS_PER_PAGE_MAX)


def next_target(response: Response) -> str | None:
    """Path and query of the `next` link; the node in it does not matter, the cursor does."""
    link = response.headers.get("link")
    found = _NEXT.search(link) if link else None
    if found is None:
        return None
    address = found[1]
    return "/" + address.split("/", 3)[3] if "://" in address else address
