"""The pump: order, acknowledgement, what each answer of the nodes leads to."""

import threading
from pathlib import Path

import pytest

from ingest.deadletters import DeadLetterFile, keep_letters, read_letters
from ingest.errors import DeadLettersRefused, SourceLost, SourceRefused, UnreadableFile
from ingest.storing import Then, what_follows
from node.errors import (
    BadRequest,
    DeadlineExceeded,
    Forbidden,
    NodeError,
    NotFound,
    Overloaded,
    PeerRefused,
    PeerUnreachable,
    StaleRing,
    StoreDamaged,
    StoreFull,
    TooLarge,
    Unauthorised,
)
from node.query import Rejection
from tests.streams.waiting import wait_until
from tests.unit.ingest.streams.pumping import (
    Letters,
    MemorySource,
    Store,
    body,
    failing,
    make_pump,
    messages,
    written,
)


def places(stop: int, stream: str = "a") -> list[tuple[str, int]]:
    return [(stream, at) for at in range(stop)]


def test_batches_are_settled_in_order_however_they_are_stored() -> None:
    first_may = threading.Event()

    def answer(batch):
        if batch.column("n")[0].as_py() == 0:
            assert first_may.wait(90)
        else:
            first_may.set()

    class Unlocked(Store):
        def write(self, collection, batch):
            answer(batch)
            return super().write(collection, batch)

    polls = [[messages(body(at), first=at)] for at in range(8)]
    source, store = MemorySource(polls), Unlocked()
    pump = make_pump(source, store)
    pump.run(threading.Event())
    assert store.batches[0] != [0], "the first batch was stored last"
    assert source.acknowledged == places(8)
    assert store.stored == dict.fromkeys(range(8), 1)
    assert source.closed
    account = pump.statistics().account.streams["a"]
    assert (account.first, account.last, account.seen, account.done) == (0, 7, 8, 8)
    assert (account.stored, account.gaps, account.missing, account.again) == (8, 0, 0, 0)


def test_what_is_refused_is_a_letter_before_it_is_acknowledged() -> None:
    letters = Letters()
    far = body(2, lon=10.0)
    source = MemorySource([[messages(body(0), None, far, b"{", first=5)]])
    pump = make_pump(source, store := Store(), letters)
    pump.run(threading.Event())
    found = [(letter.sequence, letter.reason, letter.payload) for letter in letters.letters]
    assert found == [
        (6, "no-payload", None),
        (7, "outside-domain", far),
        (8, "bad-json", b"{"),
    ]
    assert source.acknowledged == [("a", 5), ("a", 6), ("a", 7), ("a", 8)]
    assert store.stored == {0: 1}
    statistics = pump.statistics()
    assert statistics.account.rejected == {"no-payload": 1, "outside-domain": 1, "bad-json": 1}
    assert statistics.account.streams["a"].dead == 3


def test_records_say_where_they_came_from() -> None:
    polled = [messages(body(1), body(2), first=10), messages(b"[]", body(3), stream="b", first=7)]
    make_pump(MemorySource([polled]), store := Store()).run(threading.Event())
    found = [(one["@source"], one["@stream"], one["@sequence"]) for one in store.metadata]
    assert found == [("memory", "a", 10), ("memory", "a", 11), ("memory", "b", 8)]
    assert len({one["@ingested"] for one in store.metadata}) == 1


@pytest.mark.parametrize(
    ("error", "then"),
    [
        (Overloaded("full"), Then.WAIT),
        (StoreFull("full"), Then.WAIT),
        (PeerUnreachable("away"), Then.WAIT),
        (DeadlineExceeded("late"), Then.WAIT),
        (StaleRing("old", document=b""), Then.WAIT),
        (PeerRefused("odd"), Then.WAIT),
        (StoreDamaged("bits"), Then.WAIT),
        (TooLarge("much"), Then.TAKE_APART),
        (BadRequest("wrong"), Then.TAKE_APART),
        (Unauthorised("who"), Then.STOP),
        (Forbidden("no"), Then.STOP),
        (NotFound("where"), Then.STOP),
    ],
)
def test_three_answers_say_what_follows(error: NodeError, then: Then) -> None:
    assert what_follows(error) is then


def test_what_may_succeed_later_is_tried_until_it_does() -> None:
    source = MemorySource([[messages(body(0), body(1))]])
    store = Store(failing(PeerUnreachable("nobody answers"), 2))
    pump = make_pump(source, store)
    pump.run(threading.Event())
    assert store.stored == {0: 1, 1: 1} and source.acknowledged == places(2)
    assert pump.statistics().retries == 2 and pump.statistics().trouble is None


def test_fewer_copies_than_asked_for_are_not_acknowledged() -> None:
    answers = [written(1, acknowledged=False), written(1)]
    source = MemorySource([[messages(body(0))]])
    store = Store(lambda _: answers.pop(0))
    make_pump(source, store).run(threading.Event())
    assert store.stored == {0: 2} and source.acknowledged == places(1)


def test_the_record_at_fault_is_found_and_the_others_stored() -> None:
    def answer(batch):
        if 3 in batch.column("n").to_pylist():
            raise BadRequest("a name of a value is too long")

    letters = Letters()
    source = MemorySource([[messages(*(body(at) for at in range(7)))]])
    make_pump(source, store := Store(answer), letters).run(threading.Event())
    assert store.stored == dict.fromkeys([0, 1, 2, 4, 5, 6], 1)
    assert [(one.sequence, one.reason) for one in letters.letters] == [(3, "refused-by-node")]
    assert source.acknowledged == places(7)


def test_rejections_that_a_reply_does_not_describe_are_asked_for() -> None:
    def answer(batch):
        numbers = batch.column("n").to_pylist()
        bad = [at for at, number in enumerate(numbers) if number % 2]
        described = tuple(Rejection(at, "older than is kept") for at in bad[:1000])
        return written(len(numbers), *described, count=len(bad))

    letters = Letters()
    source = MemorySource([[messages(*(body(at) for at in range(2_500)))]])
    pump = make_pump(source, Store(answer), letters)
    pump.run(threading.Event())
    assert [one.sequence for one in letters.letters] == list(range(1, 2_500, 2))
    assert pump.statistics().account.total("stored") == 1_250


def test_what_only_a_person_can_change_ends_the_pump_and_acknowledges_nothing() -> None:
    source = MemorySource([[messages(body(0))]])
    with pytest.raises(Unauthorised):
        make_pump(source, Store(failing(Unauthorised("wrong token"), 9))).run(threading.Event())
    assert not source.acknowledged and source.closed


def test_nothing_more_is_polled_than_fits_and_the_source_is_kept_alive() -> None:
    source = MemorySource([[messages(body(at), first=at)] for at in range(20)])
    store = Store(failing(PeerUnreachable("away"), 10_000))
    pump, stop = make_pump(source, store, batches_max=3), threading.Event()
    thread = threading.Thread(target=pump.run, args=(stop,))
    thread.start()
    wait_until(lambda: source.kept_alive, "the source is kept alive")
    statistics = pump.statistics()
    assert statistics.batches == 3 and statistics.lag.messages == 17
    assert statistics.trouble == "away"
    stop.set()
    thread.join(90)
    assert not thread.is_alive() and not source.acknowledged


def test_bytes_in_flight_are_bounded_too() -> None:
    source = MemorySource([[messages(body(at, text="x" * 1_000), first=at)] for at in range(9)])
    store = Store(failing(PeerUnreachable("away"), 10_000))
    pump, stop = make_pump(source, store, bytes_max=1_500), threading.Event()
    thread = threading.Thread(target=pump.run, args=(stop,))
    thread.start()
    wait_until(lambda: pump.statistics().trouble, "the store is away")
    wait_until(lambda: pump.statistics().batches == 2, "two batches are in flight")
    assert pump.statistics().lag.messages == 7
    stop.set()
    thread.join(90)


def test_streams_given_to_another_process_are_let_go() -> None:
    mine, theirs = messages(body(0)), messages(b"{", stream="b")
    letters = Letters()
    source = MemorySource([[mine, theirs]])
    source.ended.clear()
    hold = threading.Event()

    class Held(Store):
        def write(self, collection, batch):
            assert hold.wait(90)
            return super().write(collection, batch)

    pump = make_pump(source, Held(), letters)
    thread = threading.Thread(target=pump.run, args=(threading.Event(),))
    thread.start()
    wait_until(lambda: pump.statistics().batches, "in flight")
    source.lost.append("b")
    wait_until(lambda: pump.statistics().lost, "lost")
    hold.set()
    source.ended.set()
    thread.join(90)
    assert source.acknowledged == places(1)
    assert not letters.letters, "who gets the stream writes the letter"


def test_a_batch_of_lost_streams_is_not_waited_for() -> None:
    source = MemorySource([[messages(body(0))]])
    source.ended.clear()
    pump = make_pump(source, Store(failing(PeerUnreachable("away"), 10_000)))
    thread = threading.Thread(target=pump.run, args=(threading.Event(),))
    thread.start()
    wait_until(lambda: pump.statistics().batches, "in flight")
    source.lost.append("a")
    source.ended.set()
    thread.join(90)
    assert not thread.is_alive() and not source.acknowledged


def test_dead_letters_that_cannot_be_kept_hold_everything_back() -> None:
    letters = Letters(refusals=1)
    source = MemorySource([[messages(b"{")], [messages(body(1), first=1)]])
    pump = make_pump(source, store := Store(), letters)
    pump.run(threading.Event())
    assert [one.sequence for one in letters.letters] == [0]
    assert source.acknowledged == places(2) and store.stored == {1: 1}


def test_a_source_that_is_away_is_polled_again() -> None:
    source = MemorySource([SourceLost("the broker is away"), [messages(body(0))]])
    make_pump(source, Store()).run(threading.Event())
    assert source.acknowledged == places(1)


def test_a_source_that_is_refused_ends_the_pump() -> None:
    source = MemorySource([SourceRefused("no topic 'x'")])
    with pytest.raises(SourceRefused):
        make_pump(source, Store()).run(threading.Event())
    assert source.closed


def test_gaps_and_repeats_are_counted() -> None:
    polls = [
        [messages(body(0), body(1), first=10)],
        [messages(body(1), body(2), first=11)],
        [messages(body(5), first=15)],
    ]
    pump = make_pump(MemorySource(polls), Store())
    pump.run(threading.Event())
    account = pump.statistics().account.streams["a"]
    assert (account.first, account.last, account.seen) == (10, 15, 5)
    assert (account.again, account.gaps, account.missing) == (1, 1, 2)
    assert sum(pump.statistics().account.late) == 5


def test_letters_of_one_place_with_other_bytes_are_others(tmp_path: Path) -> None:
    """Found by killing: a source that numbers what it receives begins anew in the next process."""
    path, letters = tmp_path / "dead.ndjson", Letters()
    for bodies in ((b"{", b"["), (b"[", b"["), (b"{", None)):
        source = MemorySource([[messages(*bodies)]])
        make_pump(source, Store(), letters).run(threading.Event())
    DeadLetterFile(path).add(letters.letters)
    found = [(letter.sequence, letter.payload) for letter in read_letters(path)]
    assert found == [(0, b"{"), (1, b"["), (0, b"["), (1, None)]


def test_letters_survive_a_writer_that_was_killed_within_a_line(tmp_path: Path) -> None:
    path = tmp_path / "new" / "dead.ndjson"
    letters = Letters()
    source = MemorySource([[messages(b"{", None, b"\xff\x00")]])
    make_pump(source, Store(), letters).run(threading.Event())
    DeadLetterFile(path).add(letters.letters[:2])
    with path.open("ab") as stream:
        stream.write(b'{"source": "memo')
    DeadLetterFile(path).add(letters.letters)
    assert list(read_letters(path)) == letters.letters
    size = path.stat().st_size
    DeadLetterFile(path).add([])
    keep_letters(path, letters.letters[1:2], seen_bytes=size)
    assert list(read_letters(path)) == letters.letters[1:2]
    with pytest.raises(DeadLettersRefused, match="bytes"):
        DeadLetterFile(path, bytes_max=10).add(letters.letters)
    path.write_text("no letter\n")
    with pytest.raises(UnreadableFile, match="no dead letter"):
        list(read_letters(path))
