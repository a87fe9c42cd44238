"""`zring serve`: check the settings, prepare the process, run one node in it."""

import asyncio
import sys
from typing import Any

import click
import uvloop

from node.cli.absent_pandas import without_pandas
from node.cli.logs import start_logging
from node.cli.serve_options import load_settings, settings_options
from node.errors import ConfigInvalid

SWITCH_INTERVAL_S = 0.000_5
"""Merging runs on a thread of its own; with Python's 5 ms it would delay every read by that."""


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
    SIGTERM makes it take no more writes, hand over what other nodes lack (30 s at most) and say
    what it could not; a second one ends it at once. SIGHUP makes it read token file and
    certificate again.

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
        addresses = loaded.config.open_addresses()
        opened = ", ".join(f"{name}={text}" for name, text in addresses.items())
        raise ConfigInvalid(
            f"{opened} is reachable from other machines; missing: "
            + "; ".join(missing)
            + "; or give --insecure where the network itself is closed"
        )
    start_logging(loaded.config.log)
    without_pandas()
    # Only now: these modules use pyarrow, and a refused setting needs none of them.
    from node.cli.node_process import run_node

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(run_node(loaded, stop_on_eof=stop_on_eof))
    click.get_current_context().exit(code)
