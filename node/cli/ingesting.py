"""What a node runs for its `[[source]]` tables: a command of the layer above, found by its name."""

import os
import sys
from importlib.metadata import entry_points

from node.api.security import Access
from node.cli.exit_codes import OK, PARTIAL
from node.cli.main import ENTRY_POINTS
from node.cli.serve_options import client_url
from node.cli.settings import SOURCES, Loaded
from node.clock import SystemClock
from node.config import Config
from node.errors import ConfigInvalid
from node.service.ingest_process import IngestProcess
from node.tokens import TokenEntry, digest_of, make_token

COMMAND = "ingest"
HOLDER = "sources"
"""How audit log and messages call the process where tokens are asked for."""


def make_ingest_process(loaded: Loaded, config: Config, access: Access) -> IngestProcess:
    """The process that carries the sources of the settings file into this node.

    It gets the same file, this node's address, and where tokens are asked for one of its own,
    which nobody else has seen and which ends with this process.

    Raises:
        ConfigInvalid: that command is not installed.
    """
    if COMMAND not in {entry.name for entry in entry_points(group=ENTRY_POINTS)}:
        raise ConfigInvalid(
            f"{loaded.file}: [[{SOURCES}]] needs the command zring {COMMAND}, which is not "
            "installed here"
        )
    variables = {"ZRING_URL": config.node.url or client_url(config)}
    if access.required:
        token = make_token()
        access.admit(TokenEntry(HOLDER, "write", digest_of(token)))
        variables["ZRING_TOKEN"] = token
    security = config.security
    if security.tls_ca is not None:
        variables["ZRING_TLS_CA"] = str(security.tls_ca)
    if security.client_certificates and security.tls_cert is not None:
        variables["ZRING_TLS_CERT"] = str(security.tls_cert)
        variables["ZRING_TLS_KEY"] = str(security.tls_key)
    # The node's own settings, its cluster key among them, are not for that process.
    kept = {name: text for name, text in os.environ.items() if not name.startswith("ZRING_")}
    return IngestProcess(
        [sys.executable, "-m", "node.cli", COMMAND, "run", "--config", str(loaded.file),
         "--direct", "--json", "--stop-on-eof"],
        sources=loaded.sources,
        environment={**kept, **variables},
        clock=SystemClock(),
        finished=frozenset((OK, PARTIAL)),
    )  # fmt: skip
