#!/usr/bin/env python3
"""Is the cluster well? One line for each node and process, and an exit code for cron and Docker.

    health.py [URL ...] [--cluster] [--process URL] [limits]

    URL              addresses of nodes; default: ZRING_URL, else http://127.0.0.1:7070, and
                     none where only processes are named
    --cluster        also every other node that the first one knows
    --process URL    metrics of an ingest process or a job (its --metrics-listen); may be repeated
    --require STATE  answers must be complete, local, settling or partial (default: partial)
    --lag-max N      most records that others still lack of a node, or messages that wait
    --store-max N    most of a store that may be used, in per cent (default: 90)
    --disk-max N     the same of its disk (default: 90, where a node refuses writes)
    --timeout S      seconds for each answer (default: 5)
    --tls-name NAME  name in the nodes' certificate, where the URL has another one

The token and the certificates are taken from ZRING_TOKEN, ZRING_TLS_CA, ZRING_TLS_CERT and
ZRING_TLS_KEY. Whether a node is ready needs no token; lag and store need one that reads (`?`
without it, which fails only under a limit that was given). Exits with 0 when all is well, 1 when
something is not, 2 for a wrong call. Needs Python 3.11 and nothing else.
"""

import argparse
import http.client
import json
import os
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

STATES = ("complete", "local", "settling", "partial")
STORE_MAX, DISK_MAX = 90.0, 90.0
LAGS = ("zring_ingest_lag_messages", "zring_job_lag_messages")
BODY_BYTES_MAX = 16 << 20
LINE = re.compile(r"^(\w+)(?:\{.*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line."""

    name: str
    well: bool
    text: str


class Connection(http.client.HTTPSConnection):
    """Compares the certificate with a name of its own."""

    def __init__(self, host: str, port: int, name: str, context: ssl.SSLContext, timeout: float):
        super().__init__(host, port, timeout=timeout, context=context)
        self._name, self._trust = name, context

    def connect(self) -> None:
        """As the base class does, but for the name."""
        plain = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._trust.wrap_socket(plain, server_hostname=self._name)


def get(url: str, path: str, given: argparse.Namespace) -> tuple[int, bytes]:
    """Status and body; raises OSError or HTTPException when nobody answers."""
    parts = urlsplit(url)
    host, timeout = parts.hostname or "", given.timeout
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=os.environ.get("ZRING_TLS_CA"))
        if os.environ.get("ZRING_TLS_CERT"):
            context.load_cert_chain(os.environ["ZRING_TLS_CERT"], os.environ.get("ZRING_TLS_KEY"))
        name = given.tls_name or host
        connection = Connection(host, parts.port or 443, name, context, timeout)
    else:
        connection = http.client.HTTPConnection(host, parts.port or 80, timeout=timeout)
    token = os.environ.get("ZRING_TOKEN")
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(BODY_BYTES_MAX)
    finally:
        connection.close()


def sums_of(url: str, given: argparse.Namespace) -> dict[str, float]:
    """Name → sum over the lines of a metric; empty where they may not be read."""
    status, body = get(url, "/metrics", given)
    sums: dict[str, float] = {}
    if status == http.client.OK:
        for name, value in LINE.findall(body.decode()):
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums


def judge_node(name: str, url: str, given: argparse.Namespace) -> Verdict:
    """Ready, how complete its answers are, what others lack of it, how full store and disk are."""
    try:
        status, body = get(url, "/ready", given)
        document = json.loads(body)
        sums = sums_of(url, given)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Verdict(name, False, f"does not answer: {error}")
    ready = status == http.client.OK
    coverage = document.get("coverage", "?")
    troubles = [] if ready else [str(document.get("detail", f"status {status}"))]
    if ready and STATES.index(coverage) > STATES.index(given.require):
        troubles.append(f"answers are {coverage}")
    lag = sums.get("zring_task_records_left")
    used = disk = None
    if sums.get("zring_store_max_bytes"):
        used = 100 * sums["zring_store_live_bytes"] / sums["zring_store_max_bytes"]
    if sums.get("zring_disk_bytes"):
        disk = 100 * (1 - sums["zring_disk_free_bytes"] / sums["zring_disk_bytes"])
    troubles += over("lag", lag, given.lag_max)
    troubles += over("store", used, given.store_max, unit=" %", usual=STORE_MAX)
    troubles += over("disk", disk, given.disk_max, unit=" %", usual=DISK_MAX)
    words = (
        f"{'ready' if ready else 'not ready'}  {coverage}  lag {shown(lag)}  "
        f"store {shown(used)} %  disk {shown(disk)} %"
    )
    return Verdict(name, not troubles, "  ".join([words, *troubles]))


def judge_process(url: str, given: argparse.Namespace) -> Verdict:
    """Whether an ingest process or a job does something, and how much waits."""
    try:
        sums = sums_of(url, given)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Verdict(url, False, f"does not answer: {error}")
    lags = [sums[name] for name in LAGS if name in sums]
    lag = sum(lags) if lags else None
    troubles = over("lag", lag, given.lag_max)
    if sums.get("zring_ingest_stands_still"):
        troubles.append("nothing can be stored")
    if sums.get("zring_job_alert"):
        troubles.append("an alert is on")
    return Verdict(url, not troubles, "  ".join([f"up  lag {shown(lag)}", *troubles]))


def over(
    what: str,
    value: float | None,
    limit: float | None,
    *,
    unit: str = "",
    usual: float = float("inf"),
) -> list[str]:
    """What is wrong with a value; a limit that was given needs one, the usual limit does not."""
    if value is None:
        return [] if limit is None else [f"{what} is unknown: a token that reads is needed"]
    most = usual if limit is None else limit
    return [f"{what} is over {most:g}{unit}"] if value > most else []


def shown(value: float | None) -> str:
    """As it stands in a line."""
    return "?" if value is None else f"{value:.0f}"


def nodes_of(given: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """(Name, URL) of all nodes to look at."""
    asked = [url.rstrip("/") for url in given.urls]
    yield from ((url, url) for url in asked)
    if given.cluster:
        status, body = get(asked[0], "/cluster/ring", given)
        if status != http.client.OK:
            raise OSError(f"{asked[0]} does not tell the other nodes: status {status}")
        for node in sorted(json.loads(body)["nodes"], key=lambda node: node["id"]):
            if node["url"] and node["url"].rstrip("/") not in asked:
                yield node["id"], node["url"].rstrip("/")


def read_call(words: list[str]) -> argparse.Namespace:
    """The options."""
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("urls", nargs="*", metavar="URL")
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--process", action="append", default=[], metavar="URL")
    parser.add_argument("--require", choices=STATES, default="partial")
    parser.add_argument("--lag-max", type=float)
    parser.add_argument("--store-max", type=float)
    parser.add_argument("--disk-max", type=float)
    parser.add_argument("--timeout", type=float, default=5.0)
    parser.add_argument("--tls-name")
    given = parser.parse_args(words)
    if not given.urls and (given.cluster or not given.process):
        given.urls = [os.environ.get("ZRING_URL", "http://127.0.0.1:7070")]
    return given


def main(words: list[str]) -> int:
    """Look, print, and return the exit code."""
    given = read_call(words)
    try:
        verdicts = [judge_node(name, url, given) for name, url in nodes_of(given)]
    except (OSError, http.client.HTTPException, ValueError) as error:
        verdicts = [Verdict(given.urls[0], False, f"does not answer: {error}")]
    verdicts += [judge_process(url, given) for url in given.process]
    for verdict in verdicts:
        print(f"{'ok  ' if verdict.well else 'FAIL'}  {verdict.name}  {verdict.text}")
    return 0 if all(verdict.well for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
