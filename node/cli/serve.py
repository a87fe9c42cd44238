"""`zring serve`: put the parts of one node together and run them until told to stop."""

import asyncio
import gc
import logging
import os
import signal
import ssl
import sys
from typing import Any

import click
import uvloop
from aiohttp import web

from node.api.app import make_app
from node.cli.identity import META_NAME, bytes_to_identity, identity_to_bytes, named_config
from node.cli.logs import start_logging
from node.cli.serve_options import load_settings, settings_options
from node.cli.settings import Loaded
from node.clock import SystemClock
from node.config import Config, parse_address
from node.errors import ConfigInvalid
from node.peer.http import HttpTransport
from node.service.service import Service
from node.storage.lmdb_engine import LmdbEngine
from zring.ring import Ring, Settings, founding_ring

SWITCH_INTERVAL_S = 0.000_5
"""Merging runs on a thread of its own; with Python's 5 ms it would delay every read by that."""
STOP_TIMEOUT_S = 10.0
"""Requests under way get this long to end when the node is told to stop."""

log = logging.getLogger("zring.serve")


@click.command()
@settings_options
@click.option(
    "--stop-on-eof", is_flag=True,
    help="Stop when standard input ends: with the process that started this one.",
)  # fmt: skip
def serve(stop_on_eof: bool, **given: Any) -> None:
    """Run one node until SIGTERM or Ctrl-C.

    Settings come from the file, then ZRING_* variables, then flags. Without any, one node serves
    the demo's square on 127.0.0.1:7070. Beyond loopback it wants TLS, a cluster key and tokens.

    \b
    Examples:
      zring serve
      zring serve --config zring.toml
      zring serve --name sw --founders sw,nw,se,ne --data data/sw --listen 127.0.0.1:7070 \\
        --peer-listen 127.0.0.1:7170 --seed 127.0.0.1:7171 --seed 127.0.0.1:7172
    """
    loaded = load_settings(**given)
    missing = loaded.config.missing_protection()
    if missing:
        raise ConfigInvalid(
            f"node.listen={loaded.config.node.listen} is reachable from other machines; missing: "
            + "; ".join(missing)
            + "; or give --insecure where the network itself is closed"
        )
    start_logging(loaded.config.log)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_node(loaded, stop_on_eof=stop_on_eof))


async def run_node(loaded: Loaded, *, stop_on_eof: bool = False) -> None:
    """Start a node, say so in one line, and stop it in order at the first signal."""
    stop = stop_event(stop_on_eof=stop_on_eof)
    domain = loaded.config.cluster.domain
    engine = LmdbEngine.open(loaded.config.node.data, domain=domain)
    try:
        stored = bytes_to_identity(engine.read_meta(META_NAME))
        config = named_config(loaded, stored)
        if stored is None:
            await engine.write([], meta={META_NAME: identity_to_bytes(config)})
        service = make_service(config, engine)
        await service.start()
        try:
            await serve_clients(config, service, stop)
        finally:
            await service.stop()
    finally:
        await engine.close()


async def serve_clients(config: Config, service: Service, stop: asyncio.Event) -> None:
    """Open the door for people and programs until `stop` is set."""
    app = make_app(
        service, limits=config.limits, cors=config.http.cors, tokens=config.security.tokens
    )
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=STOP_TIMEOUT_S
    )
    await runner.setup()
    try:
        host, port = parse_address(config.node.listen)
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls_context(config)).start()
        except OSError as error:
            raise ConfigInvalid(
                f"node.listen={config.node.listen} cannot be used: {error.strerror}; "
                "see zring doctor",
                setting="node.listen",
            ) from None
        # What lives since the start stays; the collector need not look at it again.
        gc.freeze()
        click.echo(
            f"zring node {config.node.name} of cluster {config.cluster.id} ready at "
            f"{node_url(config)} (peers {config.node.peer_listen}, data {config.node.data})"
        )
        await stop.wait()
        log.info("stopping")
    finally:
        await runner.cleanup()


def make_service(config: Config, engine: LmdbEngine) -> Service:
    """The service with its real network, clock and disk."""
    host, port = parse_address(config.node.peer_listen)
    transport = HttpTransport(host, port, config.cluster.key)
    return Service(
        node_id=config.node.name,
        ring=birth_ring(config),
        engine=engine,
        transport=transport,
        clock=SystemClock(),
        limits=config.limits,
        seeds=config.node.seeds,
        client_url=node_url(config),
        peer_address=config.node.advertise or config.node.peer_listen,
    )


def birth_ring(config: Config) -> Ring:
    """The ring of a new cluster; the store's own ring is newer wherever it has one."""
    cluster = config.cluster
    return founding_ring(
        cluster.id,
        cluster.domain,
        cluster.effective_grain_level,
        cluster.founders or (config.node.name,),
        Settings(epoch=0, placement=cluster.placement, replicas=cluster.replicas),
    )


def stop_event(*, stop_on_eof: bool) -> asyncio.Event:
    """An event that SIGTERM, SIGINT and, if wanted, the end of standard input set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    if stop_on_eof:
        descriptor = sys.stdin.fileno()

        def read() -> None:
            if not os.read(descriptor, 1_024):
                loop.remove_reader(descriptor)
                stop.set()

        loop.add_reader(descriptor, read)
    return stop


def tls_context(config: Config) -> ssl.SSLContext | None:
    """The TLS settings of the client port; None without TLS.

    Raises:
        ConfigInvalid: the files cannot be used.
    """
    security = config.security
    if security.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(security.tls_cert, security.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigInvalid(
            f"security.tls_cert={security.tls_cert} cannot be used: {error}",
            setting="security.tls_cert",
        ) from None
    return context


def node_url(config: Config) -> str:
    """The URL that others are told for this node."""
    scheme = "http" if config.security.tls_cert is None else "https"
    return config.node.url or f"{scheme}://{config.node.listen}"
