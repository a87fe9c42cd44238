"""Where generated records go: one file for each kind of target.

The idea: a target takes either whole batches of columns (nodes, files) or messages (brokers), and
counts what was confirmed. It is told nothing of rates, seeds or faults: what comes is what is sent.

A target that is not durable at once confirms later (`delivered` grows until `finish` returns). What
it does not do: retry for ever; what was not confirmed is counted by its reason.
"""

from ingest.generate.targets.target import (
    TARGETS,
    ColumnTarget,
    MessageTarget,
    Place,
    make_target,
)

__all__ = ["TARGETS", "ColumnTarget", "MessageTarget", "Place", "make_target"]
