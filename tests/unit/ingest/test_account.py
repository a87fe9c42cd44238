"""The account of a stream: what came, what came again, what is missing."""

import numpy as np

from ingest.account import Account, StreamAccount
from ingest.sources import Messages


def polled(account: Account, *sequences: int, expected: int = -1) -> StreamAccount:
    """The stream after these messages came."""
    count = len(sequences)
    numbers = np.array(sequences, np.int64)
    bodies = [b""] * count
    account.polled(Messages("t/0", numbers, bodies, (), numbers, expected=expected))
    return account.statistics().streams["t/0"]


def test_the_first_message_begins_a_stream_of_which_nothing_is_known() -> None:
    found = polled(Account(), 7, 8, 11)
    assert (found.first, found.last, found.gaps, found.missing) == (7, 11, 1, 2)


def test_after_a_restart_the_account_begins_where_the_last_process_had_acknowledged() -> None:
    account = Account()
    found = polled(account, 120, 121, expected=100)
    assert (found.first, found.gaps, found.missing, found.again) == (120, 1, 20, 0)
    assert polled(account, 122, expected=122).missing == 20


def test_what_another_process_carried_meanwhile_is_not_missing_here() -> None:
    account = Account()
    polled(account, 1, 2, 3, expected=1)
    found = polled(account, 50, 51, expected=50)
    assert (found.gaps, found.missing, found.again) == (0, 0, 0)
    found = polled(account, 50, 51, 52, expected=50)
    assert (found.gaps, found.missing, found.again) == (0, 0, 2)
