"""What a running node reads again on SIGHUP: its token file and its certificate."""

import asyncio
import logging
import signal
import ssl
from collections.abc import Callable

from node.api.security import Access
from node.cli.tls import load_certificate
from node.config import Config
from node.errors import ConfigInvalid
from node.service.audit import Audit
from node.tokens import TokenEntry, read_tokens

log = logging.getLogger("zring.serve")


def token_entries(config: Config) -> tuple[TokenEntry, ...] | None:
    """What the token file says; None without one.

    Raises:
        ConfigInvalid: it cannot be read.
    """
    file = config.security.token_file
    return None if file is None else read_tokens(file)


def on_hangup(work: Callable[[], None]) -> None:
    """Do something at every SIGHUP."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, work)


def reload_secrets(
    config: Config, access: Access, contexts: list[ssl.SSLContext], audit: Audit
) -> None:
    """Read token file and certificate again; what cannot be read leaves the old ones in force."""
    outcome, message = "done", ""
    try:
        entries = token_entries(config)
        for context in contexts:
            load_certificate(context, config)
        if entries is not None:
            access.replace(entries)
        log.info("tokens and certificate were read again")
    except ConfigInvalid as error:
        outcome, message = "failed", str(error)
        log.error("the old tokens and certificate stay in force: %s", error)
    audit.record(
        "reload", subject="SIGHUP", remote="", outcome=outcome, details={"message": message}
    )
