"""The process of one node: its parts put together, run until told to stop, stopped in order."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from aiohttp import web

from node.api.app import make_app
from node.api.pages import CONSOLE
from node.api.security import Access
from node.api.server import start_site
from node.cli.exit_codes import OK, PARTIAL
from node.cli.identity import META_NAME, bytes_to_identity, identity_to_bytes, named_config
from node.cli.ingesting import make_ingest_process
from node.cli.secrets_in_force import on_hangup, reload_secrets, token_entries
from node.cli.settings import Loaded
from node.cli.tls import client_port_tls, peer_call_tls, peer_port_tls
from node.clock import SystemClock
from node.config import LINKS, Config, parse_address
from node.console import add_console
from node.errors import ConfigInvalid, StoreDamaged
from node.peer.http import HttpTransport
from node.peer.identity import PeerIdentity
from node.peer.refusals import Refusal
from node.service.audit import REFUSED, Audit, AuditFile
from node.service.leaving import LeftOver
from node.service.newcomer import Birth, first_ring
from node.service.service import Service
from node.storage.freed_memory import keep_for_questions
from node.storage.lmdb_engine import LmdbEngine
from node.storage.settings import EngineSettings
from zring.domain import degrees_to_e7
from zring.errors import DifferentCluster
from zring.ring import Ring, Settings

log = logging.getLogger("zring.serve")
T = TypeVar("T")
COLLECTED_OBJECTS = 20_000
"""Objects made since the last look for cycles: a request makes some hundred and leaves none, so
Python's 700 would look thirty times as often for nothing."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Set by signals: the first asks the node to stop in order, the second to stop at once."""

    asked: asyncio.Event
    at_once: asyncio.Event

    def signalled(self) -> None:
        """SIGTERM or SIGINT has come."""
        (self.at_once if self.asked.is_set() else self.asked).set()


async def run_node(loaded: Loaded, *, stop_on_eof: bool = False) -> int:
    """Start a node, say so in one line, and stop it in order at the first signal.

    Returns:
        The exit code: 4 when records may be on no other node.
    Raises:
        StoreDamaged: damage was found while it ran.
    """
    keep_for_questions()
    stop = stop_signals(stop_on_eof=stop_on_eof)
    left = LeftOver()
    cluster = loaded.config.cluster
    loop, damage = asyncio.get_running_loop(), list[StoreDamaged]()

    def on_damage(error: StoreDamaged) -> None:
        damage.append(error)
        loop.call_soon_threadsafe(stop.asked.set)

    engine = LmdbEngine.open(
        loaded.config.node.data,
        domain=cluster.domain,
        settings=EngineSettings(grain_level=cluster.effective_grain_level),
        on_damage=on_damage,
    )
    try:
        stored = bytes_to_identity(engine.read_meta(META_NAME))
        config = named_config(loaded, stored)
        if stored is None:
            await engine.write([], meta={META_NAME: identity_to_bytes(config)})
        audit = AuditFile(config.node.data, node=config.node.name, clock=SystemClock())
        transport = make_transport(config, audit)
        try:
            ring = await unless_stopped(stop.asked, ring_to_begin_with(config, engine, transport))
            if ring is None:
                return OK
            service = make_service(config, engine, transport, ring, audit)
            await service.start()
            try:
                async with client_door(config, service, transport) as access:
                    if loaded.sources:
                        service.start_ingest(make_ingest_process(loaded, config, access))
                    await stop.asked.wait()
                    await service.stop_ingest()
                    if not damage:
                        left = await drained(config, service, stop)
            finally:
                await service.stop()
        finally:
            await transport.close()
            audit.close()
    finally:
        await engine.close()
    if damage:
        raise StoreDamaged(
            f"the store in {loaded.config.node.data} is damaged ({damage[0]}): start this node "
            "again; it sets the store aside and the other nodes fill an empty one"
        )
    return PARTIAL if left.records else OK


async def drained(config: Config, service: Service, stop: Stop) -> LeftOver:
    """What is left on this node alone after it has handed over; at once at a second signal."""
    name = config.node.name
    click.echo(f"zring node {name} draining: hands over what other nodes lack; a second signal "
               "ends it at once")  # fmt: skip
    left = await unless_stopped(stop.at_once, service.drain())
    if left is None:
        click.echo(f"zring node {name} stopped at once: what it was to hand over is on its disk")
        return LeftOver()
    click.echo(f"zring node {name} stopped: {left.describe()}", err=bool(left.records))
    return left


@asynccontextmanager
async def client_door(
    config: Config, service: Service, transport: HttpTransport
) -> AsyncIterator[Access]:
    """The door for people and programs, and whom it lets in."""
    access = Access(config.security.tokens, token_entries(config))
    app = make_app(
        service,
        limits=config.limits,
        cors=config.http.cors,
        access=access,
        open_metrics=config.http.open_metrics,
        peer_door=transport,
        data=config.node.data,
        console=_add_map,
    )
    host, port = parse_address(config.node.listen)
    tls = client_port_tls(config)
    try:
        runner, _ = await start_site(app, host=host, port=port, tls=tls)
    except OSError as error:
        raise address_taken("node.listen", config.node.listen, error) from None
    contexts = [context for context in (tls, *transport.tls_contexts()) if context is not None]
    on_hangup(lambda: reload_secrets(config, access, contexts, service.audit))
    try:
        # What lives since the start stays; the collector need not look at it again.
        gc.freeze()
        gc.set_threshold(COLLECTED_OBJECTS)
        click.echo(
            f"zring node {config.node.name} of cluster {config.cluster.id} ready at "
            f"{node_url(config)} (peers {config.node.peer_listen}, data {config.node.data})"
        )
        yield access
    finally:
        await runner.cleanup()


def _add_map(app: web.Application) -> None:
    app[CONSOLE] = add_console(app)


def make_transport(config: Config, audit: Audit) -> HttpTransport:
    """The real network; takes the peer port.

    Raises:
        ConfigInvalid: the port is taken, or a file for TLS cannot be used.
    """
    host, port = parse_address(config.node.peer_listen)

    def write_refusal(refusal: Refusal) -> None:
        audit.record(
            "refused.peer" if refusal.here else "refused.by-peer",
            subject=refusal.node or "unknown",
            remote=refusal.remote,
            outcome=REFUSED,
            details={
                "reason": refusal.reason, "message": refusal.message, "count": refusal.count
            },
        )  # fmt: skip

    transport = HttpTransport(
        listen_host=host,
        listen_port=port,
        identity=peer_identity(config),
        cluster_key=config.cluster.key,
        server_ssl=peer_port_tls(config),
        client_ssl=peer_call_tls(config),
        on_refusal=write_refusal,
    )
    try:
        transport.bind()
    except OSError as error:
        raise address_taken("node.peer_listen", config.node.peer_listen, error) from None
    return transport


async def ring_to_begin_with(config: Config, engine: LmdbEngine, transport: HttpTransport) -> Ring:
    """See `first_ring`.

    Raises:
        ConfigInvalid: the seeds belong to another cluster.
    """
    cluster, seeds = config.cluster, config.node.seeds
    birth = Birth(
        cluster.id,
        cluster.domain,
        cluster.effective_grain_level,
        cluster.founders,
        Settings(placement=cluster.placement, replicas=cluster.replicas),
    )
    try:
        return await first_ring(
            birth,
            engine,
            transport,
            seeds,
            node_id=config.node.name,
            timeout_ms=config.limits.peer_timeout_ms,
        )
    except DifferentCluster as error:
        raise ConfigInvalid(str(error), setting="node.seeds") from None


def make_service(
    config: Config, engine: LmdbEngine, transport: HttpTransport, ring: Ring, audit: Audit
) -> Service:
    """The service with its real network, clock and disk."""
    return Service(
        node_id=config.node.name,
        ring=ring,
        engine=engine,
        transport=transport,
        clock=SystemClock(),
        limits=config.limits,
        mover=config.mover,
        link=LINKS[config.node.link],
        seeds=config.node.seeds,
        client_url=node_url(config),
        peer_address=config.node.advertise or config.node.peer_listen,
        location=location_e7(config),
        audit=audit,
    )


def peer_identity(config: Config) -> PeerIdentity:
    """Who this node is for the others."""
    domain = config.cluster.domain
    return PeerIdentity(
        node=config.node.name,
        cluster=config.cluster.id,
        domain=(domain.west, domain.south, domain.east, domain.north),
        grain_level=config.cluster.effective_grain_level,
    )


def address_taken(setting: str, address: str, error: OSError) -> ConfigInvalid:
    """The error for an address that cannot be listened on."""
    return ConfigInvalid(
        f"{setting}={address} cannot be used: {error.strerror}; another process may have it: "
        "see zring doctor",
        setting=setting,
    )


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of some work; None when the node was told to stop before that."""
    stopped = asyncio.create_task(stop.wait())
    working = asyncio.create_task(work)
    await asyncio.wait((stopped, working), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not working.done():
        working.cancel()
        return None
    return await working


def stop_signals(*, stop_on_eof: bool) -> Stop:
    """What SIGTERM, SIGINT and, if wanted, the end of standard input set."""
    stop = Stop(asyncio.Event(), asyncio.Event())
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.signalled)
    if stop_on_eof:
        descriptor = sys.stdin.fileno()

        def read() -> None:
            if not os.read(descriptor, 1_024):
                loop.remove_reader(descriptor)
                stop.asked.set()

        loop.add_reader(descriptor, read)
    return stop


def location_e7(config: Config) -> tuple[int, int] | None:
    """Where this node stands, as its settings say."""
    if config.node.location is None:
        return None
    lon, lat = config.node.location
    return degrees_to_e7(lon), degrees_to_e7(lat)


def node_url(config: Config) -> str:
    """The URL that others are told for this node."""
    scheme = "http" if config.security.tls_cert is None else "https"
    return config.node.url or f"{scheme}://{config.node.listen}"
