"""The errors of the pure layer.

    ZringError
    ├── OutsideDomain        a position that the domain does not contain
    ├── InvalidArea          a box, circle or polygon that describes no area
    ├── InvalidDocument      bytes or a document that are no ring, plan or setting
    ├── InvalidPlan          a change of the ring that must not be made
    └── DifferentCluster     two rings that do not belong together

Every class answers three questions: `retryable` (may the same call work later?),
`definite` (is it certain that nothing was written?) and `status` (the HTTP status that
tells a client the same).
"""


class ZringError(Exception):
    """Root of all expected trouble; catch a subclass and act on its three answers."""

    retryable = False
    definite = True
    status = 500


class OutsideDomain(ZringError):
    """Raised for a position outside the domain; check for swapped lon/lat or widen the domain."""

    status = 422


class InvalidArea(ZringError):
    """Raised for bounds, a radius or a ring of points that enclose nothing; correct the query."""

    status = 400


class InvalidDocument(ZringError):
    """Raised by every decoder of this layer for input it cannot read; nothing was changed."""

    status = 400


class InvalidPlan(ZringError):
    """Raised when a plan breaks a rule of the ring; the message lists what would be lost."""

    status = 409


class DifferentCluster(ZringError):
    """Raised when rings of two clusters, domains or grain levels meet; never merge them."""

    status = 409
