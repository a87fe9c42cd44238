"""The rules of the protocol by name, so that each can be shown to be needed.

A node runs with all of them. The simulation switches one off at a time and must then find a
promise broken: a rule whose absence nothing notices is not needed, or not tested.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """Which rules are in force; numbers are those of the protocol's sections."""

    unfilled_never_alone: bool = True
    """3.3: a holder that was not verified equal never answers alone."""
    won_spans_unfilled: bool = True
    """3.3: codes that a ring change gives to a node start unfilled, whatever it had before."""
    every_filled_verifies: bool = True
    """3.1: a holder is filled when every filled node in contact has said so, not the first."""
    ring_voids_verifications: bool = True
    """3.1: what was verified under another ring does not count."""
    lost_stores_unfilled: bool = True
    """3.1: a store with a new id or a lower sequence than remembered is unfilled for everyone."""
    former_holders_read: bool = True
    """3.3: former holders go on reading until the new ones are filled."""
    owing_read_too: bool = True
    """6: whoever owes the reader records is read besides it."""
    other_rings_untrusted: bool = True
    """6.2: what a member says it owes counts only for holders that its ring names too."""
    old_owner_flips: bool = True
    """4.2: the old owner makes the second change, not the target."""
    writes_held_back: bool = True
    """4.2: the second change waits for the writes under way and for the target's confirmation."""
    owed_before_acknowledged: bool = True
    """5.3: copies still out when a batch is acknowledged count as owed from then on."""
    uncompared_after_start: bool = True
    """5.3: after a start everything that a node has counts as outstanding until compared."""
    holders_confirm: bool = True
    """5.1: only a holder confirms; what a node does not hold, and may delete, it does not claim."""
    every_holder_confirms: bool = True
    """5.2: a keeper deletes what every holder has confirmed, not only those present."""
    ring_voids_confirmations: bool = True
    """5.1: what was confirmed under another ring does not count."""
    filled_before_letting_go: bool = True
    """3.3, 5.2: nothing goes where a holder is not filled: others may still gather it here."""
    removal_rechecked: bool = True
    """5.2: the transaction that deletes rechecks the ring."""
    newest_before_filter: bool = True
    """6.1: where several nodes read one cell, the newest version is chosen before filtering."""
    worse_streams_aborted: bool = True
    """6.3: a stream whose state worsens after it began is aborted."""
    expired_refused: bool = True
    """8: records older than the first kept day are not stored, whoever brings them."""
    expired_hidden: bool = True
    """8: they are in no answer, also while they are still on a disk."""
    expired_counts_as_had: bool = True
    """8: they are outside digests and need no confirmation, so that repair brings none back."""
    clocks_agree: bool = True
    """8: an expiry day rises only when most members' clocks agree and none has jumped."""


ALL_RULES = Rules()
