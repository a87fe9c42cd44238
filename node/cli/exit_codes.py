"""Exit codes of every command, so that scripts need not read messages."""

from node.errors import (
    BadRequest,
    ConfigInvalid,
    CoverageTooLow,
    DeadlineExceeded,
    NodeError,
    PeerUnreachable,
    StoreDamaged,
)
from node.query import CoverageState
from zring.errors import InvalidArea, ZringError

OK = 0
FAILURE = 1
USAGE = 2
UNREACHABLE = 3
PARTIAL = 4
DAMAGED = 5
INTERRUPTED = 130

MEANINGS = {
    OK: "done",
    FAILURE: "it could not be done; the message says why",
    USAGE: "an option, argument or setting is wrong",
    UNREACHABLE: "no node answered in time",
    PARTIAL: (
        "done in part: the answer lacks areas, some records were rejected, or a node that stopped "
        "has records that may be on no other"
    ),
    DAMAGED: "the store was found damaged; start again: the node begins with an empty one",
    INTERRUPTED: "stopped by Ctrl-C",
}

_BY_ERROR: tuple[tuple[type[Exception], int], ...] = (
    (CoverageTooLow, PARTIAL),
    (PeerUnreachable, UNREACHABLE),
    (StoreDamaged, DAMAGED),
    (DeadlineExceeded, UNREACHABLE),
    (BadRequest, USAGE),
    (ConfigInvalid, USAGE),
    (InvalidArea, USAGE),
)


def exit_code_of_coverage(state: CoverageState) -> int:
    """The code for an answer that is no error: whether records of its areas may be absent."""
    return OK if state in ("complete", "local") else PARTIAL


def exit_code_of(error: NodeError | ZringError) -> int:
    """The code for an error that ends a command."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), FAILURE)
