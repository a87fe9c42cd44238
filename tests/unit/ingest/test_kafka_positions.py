"""The book of a Kafka consumer: what may be committed, and by whom."""

from ingest.sources.kafka_positions import Positions, Receipt

A, B = ("river", 0), ("river", 1)


def test_only_what_was_acknowledged_is_committed():
    book = Positions()
    book.hold(A, 10)
    receipt = book.hand_out(A, 20)
    assert book.next_offset(A) == 20
    assert book.take_uncommitted() == []
    book.acknowledge(receipt)
    assert book.take_uncommitted() == [(A, 20)]
    assert book.take_uncommitted() == []


def test_acknowledgements_of_an_old_tenure_are_ignored():
    """The stream was lost and came back: its messages come again, and are committed anew."""
    book = Positions()
    book.hold(A, 0)
    old = book.hand_out(A, 50)
    book.drop([A])
    book.acknowledge(old)
    book.hold(A, 0)
    book.acknowledge(old)
    assert book.take_uncommitted() == []
    new = book.hand_out(A, 30)
    book.acknowledge(new)
    assert book.take_uncommitted() == [(A, 30)]


def test_what_was_read_in_an_old_tenure_does_not_go_out():
    book = Positions()
    first = book.hold(A, 0)
    book.drop([A])
    assert book.hand_out(A, 5) is None
    second = book.hold(A, 0)
    assert book.hand_out(A, 5, read_in=first) is None
    assert book.hand_out(A, 5, read_in=second) == Receipt(A, second, 5, 0)


def test_a_batch_says_what_should_come_first():
    """The committed offset after a start or a rebalance, then where the batch before ended."""
    book = Positions()
    book.hold(A, 10)
    assert book.hand_out(A, 20).expected == 10
    assert book.hand_out(A, 25).expected == 20
    book.hold(B, None)
    assert book.hand_out(B, 7).expected == -1
    assert book.hand_out(B, 9).expected == 7


def test_a_lost_stream_is_told_once():
    book = Positions()
    book.hold(A, 0)
    book.hold(B, 0)
    assert not book.has_lost()
    book.drop([B, ("other", 3)])
    assert book.has_lost()
    assert book.take_lost() == ["river/1"]
    assert book.take_lost() == []
    assert not book.has_lost()
    assert book.held() == [A]


def test_a_failed_commit_is_tried_again_unless_a_later_one_is_there():
    book = Positions()
    book.hold(A, 0)
    book.hold(B, 0)
    for place in (A, B):
        book.acknowledge(book.hand_out(place, 7))
    failed = book.take_uncommitted()
    book.acknowledge(book.hand_out(A, 9))
    book.put_back(failed)
    assert book.take_uncommitted() == [(A, 9), (B, 7)]
    book.drop([B])
    book.put_back([(B, 7)])
    assert book.take_uncommitted() == []


def test_a_commit_that_fails_after_a_later_one_was_sent_does_not_take_the_group_back():
    book = Positions()
    book.hold(A, 0)
    commits = []
    for offset in (100, 200):
        book.acknowledge(book.hand_out(A, offset))
        commits.append(book.take_uncommitted())
    book.put_back(commits[0])
    assert book.take_uncommitted() == []
    book.put_back(commits[1])
    assert book.take_uncommitted() == [(A, 200)]
    book.drop([A])
    book.hold(A, 300)  # somebody else had it for a while
    book.put_back(commits[1])
    assert book.take_uncommitted() == []
