"""The errors of a node.

    NodeError
    ├── BadRequest           the request is wrong as it stands
    │   ├── BadRecord        a record breaks a rule; names the field, the value, the limit
    │   └── TooLarge         the request or its answer is over a limit
    ├── Refused              a change of the cluster that must not be made now
    ├── NotFound             no such collection, record, page
    ├── Unauthorised         no token or key, or a wrong one
    ├── Forbidden            the token's role does not allow this
    ├── Unavailable          cannot be done now; try again after `retry_after_s`
    │   ├── StoreFull        the map or the disk is nearly full
    │   ├── Overloaded       a queue is at its limit
    │   ├── DeadlineExceeded the time that the caller gave has passed
    │   ├── CoverageTooLow   `require=` asked for more than can be said now
    │   ├── PeerUnreachable  another node did not answer
    │   └── NotHeld          another node has let go of what it was to read
    ├── PeerRefused          another node answered with an error of its own
    ├── StaleRing            the request rests on an older ring; the newer one is attached
    ├── StoreDamaged         the store's bytes are not what was written
    └── ConfigInvalid        a setting that cannot be used

Three answers on each class, as in `zring.errors`: `retryable`, `definite` (certain that nothing
was written), `status`. `reason` is a short stable word for programs and counters.
"""


class NodeError(Exception):
    """Root of all expected trouble of a node."""

    retryable = False
    definite = True
    status = 500
    reason = "error"


class BadRequest(NodeError):
    """Raised for a request that is wrong as it stands; correct the named field."""

    status = 400
    reason = "bad-request"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class BadRecord(BadRequest):
    """Raised for one record that breaks a rule; the others of its batch are not affected."""

    status = 422
    reason = "bad-record"


class TooLarge(BadRequest):
    """Raised when a body, batch or answer is over its limit; send or ask for less."""

    status = 413
    reason = "too-large"


class Refused(NodeError):
    """Raised for a plan that breaks a rule of the ring, or is unwise now; says what would help."""

    status = 409
    reason = "refused"


class NotFound(NodeError):
    """Raised for a collection, record or page that no node in contact knows."""

    status = 404
    reason = "not-found"


class Unauthorised(NodeError):
    """Raised without a valid token or cluster key; nothing was read or written."""

    status = 401
    reason = "unauthorised"


class Forbidden(NodeError):
    """Raised when the token is valid but its role does not allow the call."""

    status = 403
    reason = "forbidden"


class Unavailable(NodeError):
    """Raised when the call cannot be served now; wait `retry_after_s` and repeat it."""

    retryable = True
    status = 503
    reason = "unavailable"
    retry_after_s = 1


class StoreFull(Unavailable):
    """Raised for writes when the map or the disk is nearly full; free space, then repeat."""

    status = 507
    reason = "store-full"
    retry_after_s = 60


class Overloaded(Unavailable):
    """Raised when a bounded queue is full; slow down and repeat."""

    reason = "overloaded"


class DeadlineExceeded(Unavailable):
    """Raised when the caller's deadline has passed; its work has been stopped everywhere."""

    definite = False
    status = 504
    reason = "deadline"


class CoverageTooLow(Unavailable):
    """Raised when `require=` is stricter than the answer's coverage; wait or require less."""

    reason = "coverage"
    retry_after_s = 5


class PeerUnreachable(Unavailable):
    """Raised when no answer came from a node; whether it acted is unknown."""

    definite = False
    reason = "peer-unreachable"


class NotHeld(Unavailable):
    """Raised for a read that relies on records of which the node may have let go; ask others."""

    reason = "not-held"


class PeerRefused(NodeError):
    """Raised when another node answered with an error; carries its reason and words."""

    status = 502
    reason = "peer-refused"

    def __init__(self, message: str, *, peer_reason: str = "error") -> None:
        super().__init__(message)
        self.peer_reason = peer_reason


def reason_of(error: NodeError) -> str:
    """The word for what went wrong, where it went wrong."""
    return error.peer_reason if isinstance(error, PeerRefused) else error.reason


class StaleRing(NodeError):
    """Raised when a request rests on an older ring; merge `document` and send it again."""

    retryable = True
    status = 409
    reason = "stale-ring"

    def __init__(self, message: str, *, document: bytes) -> None:
        super().__init__(message)
        self.document = document


class StoreDamaged(NodeError):
    """Raised when stored bytes fail their checksum; set the store aside and refill the node."""

    definite = False
    reason = "store-damaged"


class ConfigInvalid(NodeError):
    """Raised for a setting that cannot be used; the message names it and what it may be."""

    status = 400
    reason = "config"

    def __init__(self, message: str, *, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting
