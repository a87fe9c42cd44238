"""Exit codes of every command, so that scripts need not read messages."""

from node.errors import (
    BadRequest,
    ConfigInvalid,
    CoverageTooLow,
    DeadlineExceeded,
    NodeError,
    PeerUnreachable,
)
from zring.errors import InvalidArea, ZringError

OK = 0
FAILURE = 1
USAGE = 2
UNREACHABLE = 3
PARTIAL = 4
INTERRUPTED = 130

MEANINGS = {
    OK: "done",
    FAILURE: "it could not be done; the message says why",
    USAGE: "an option, argument or setting is wrong",
    UNREACHABLE: "no node answered in time",
    PARTIAL: "done in part: the answer lacks areas, or some records were rejected",
    INTERRUPTED: "stopped by Ctrl-C",
}

_BY_ERROR: tuple[tuple[type[Exception], int], ...] = (
    (CoverageTooLow, PARTIAL),
    (PeerUnreachable, UNREACHABLE),
    (DeadlineExceeded, UNREACHABLE),
    (BadRequest, USAGE),
    (ConfigInvalid, USAGE),
    (InvalidArea, USAGE),
)


def exit_code_of(error: NodeError | ZringError) -> int:
    """The code for an error that ends a command."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), FAILURE)
