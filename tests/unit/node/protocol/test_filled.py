"""Who is filled: rules case by case, and against a reading of them code by code."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from node.protocol.filled import (
    STORES_AWAY_MAX,
    Claim,
    Filled,
    believed,
    claim_to_document,
    debts_told,
    document_to_claim,
    is_restored,
    judge_own_store,
    remember_store,
    stores_told,
)
from node.protocol.rules import Rules
from node.protocol.word import StoreSeen, Word
from zring.span import EVERYTHING, Spans, intersect, normalise

CODES = 12
PEERS = ("a", "b", "c")
WORD = Word("p", "cluster", "new", 5, filled=((0, 10),), ring_digest=1)


def spans_of(codes: set[int]) -> Spans:
    return normalise((code, code + 1) for code in codes)


def codes_of(spans: Spans) -> set[int]:
    return {code for start, stop in spans for code in range(start, stop)}


some_codes = st.sets(st.integers(0, CODES - 1))
by_peer = st.dictionaries(st.sampled_from(PEERS), some_codes)


@given(
    held=some_codes,
    own=some_codes,
    others=by_peer,
    said=by_peer,
    agreeing=st.sets(st.sampled_from(PEERS)),
)
def test_codes_are_filled_when_every_filled_node_in_contact_has_said_so(
    held: set[int],
    own: set[int],
    others: Mapping[str, set[int]],
    said: Mapping[str, set[int]],
    agreeing: set[str],
) -> None:
    filled = Filled(Claim(spans_of(own)))
    for peer, codes in said.items():
        filled.note(peer, spans_of(codes))
    verified = filled.verified(
        spans_of(held),
        {peer: spans_of(codes) for peer, codes in others.items()},
        agreeing=frozenset(agreeing),
    )
    expected = set()
    for code in held - own:
        witnesses = [peer for peer, codes in others.items() if code in codes]
        if witnesses and all(
            peer in agreeing and code in said.get(peer, set()) for peer in witnesses
        ):
            expected.add(code)
    assert codes_of(verified) == expected


@given(spans=some_codes, held=some_codes, own=some_codes, others=by_peer)
def test_losses_can_be_accepted_only_where_nobody_is_filled(
    spans: set[int], held: set[int], own: set[int], others: Mapping[str, set[int]]
) -> None:
    filled = Filled(Claim(spans_of(own), birth=True))
    known = {peer: spans_of(codes) for peer, codes in others.items()}
    accepted = filled.acceptable(spans_of(spans), spans_of(held), known)
    assert codes_of(accepted) == (spans & held) - own - set().union(*others.values(), set())
    assert filled.widened(accepted) == Claim(spans_of(own | codes_of(accepted)), birth=False)


def test_what_a_ring_change_gives_is_unfilled_and_verified_anew() -> None:
    filled = Filled(Claim(((0, 8),), birth=True))
    filled.note("a", EVERYTHING)
    assert filled.after_ring_change(((4, 12),)) == Claim(((0, 4),), birth=True)
    filled.become(filled.after_ring_change(((4, 12),)))
    filled.forget_said()
    agreeing = frozenset("a")
    assert filled.verified(((0, 12),), {"a": EVERYTHING}, agreeing=agreeing) == ()
    filled.note("a", ((4, 6),))
    assert filled.verified(((0, 12),), {"a": EVERYTHING}, agreeing=agreeing) == ((4, 6),)


def test_rules_can_be_switched_off() -> None:
    lax = Filled(Claim(), rules=Rules(won_spans_unfilled=False, every_filled_verifies=False))
    assert lax.after_ring_change(((4, 12),)).spans == ((4, 12),)
    lax.note("a", ((0, 5),))
    both = {"a": EVERYTHING, "b": EVERYTHING}
    assert lax.verified(((0, 9),), both, agreeing=frozenset("ab")) == ((0, 5),)


def test_another_ring_voids_what_was_verified() -> None:
    strict, careless = Filled(Claim()), Filled(Claim(), rules=Rules(ring_voids_verifications=False))
    for one in (strict, careless):
        one.note("a", ((0, 5),))
        one.forget_said()
    said = [
        one.verified(((0, 9),), {"a": EVERYTHING}, agreeing=frozenset("a"))
        for one in (strict, careless)
    ]
    assert said == [(), ((0, 5),)]


def test_claims_are_read_back() -> None:
    for claim in (Claim(), Claim(((0, 1 << 60), (3 << 60, 1 << 62)), birth=True)):
        assert document_to_claim(claim_to_document(claim)) == claim
    assert document_to_claim(None) is None


def test_own_store() -> None:
    def judge(*remembered: tuple[str, int], birth: bool = False) -> str:
        word = Word("p", "cluster", "s", 9, birth=birth)
        return judge_own_store(word, [StoreSeen(*seen) for seen in remembered])

    assert judge() == "keep"
    assert judge(("s", 9), ("s", 3), ("other", 50)) == "keep", "others lag behind"
    assert judge(("s", 10)) == "renew", "nobody can have seen what this store never wrote"
    assert judge(("other", 1), birth=True) == "drop", "not the first store"
    assert judge(("s", 9), birth=True) == "keep"


def test_what_counts_is_what_a_process_found_not_what_it_has_written_since() -> None:
    first = Word("p", "cluster", "s", 30, instance=1, found=0)
    seen = remember_store(None, first)
    assert seen == StoreSeen("s", 30, 1, 0)
    assert not is_restored(replace(first, sequence=50), seen)
    assert not is_restored(first, seen._replace(sequence=80)), "an older word of the same process"
    image = Word("p", "cluster", "s", 90, instance=2, found=20)
    assert is_restored(image, seen), "it has written past what was seen"
    assert is_restored(image, remember_store(seen, image)), "and stays known as that"
    assert not is_restored(replace(image, found=30), seen)
    assert not is_restored(replace(image, store_id="renewed"), seen)
    # A member that has not heard of the present process still tells of the one before.
    assert judge_own_store(image, [seen]) == "renew"
    assert judge_own_store(replace(image, found=31), [seen]) == "keep"


def test_what_others_believe() -> None:
    def spans(
        word: Word, seen: tuple[str, int] | None = None, *remembered: tuple[str, int]
    ) -> Spans:
        return believed(
            word,
            seen=StoreSeen(*seen) if seen else None,
            remembered=[StoreSeen(*known) for known in remembered],
        )

    assert spans(WORD) == WORD.filled
    assert spans(WORD, ("new", 5)) == WORD.filled
    assert spans(WORD, ("new", 6)) == (), "a restored image"
    assert spans(WORD, ("old", 6)) == WORD.filled, "verified since"
    assert spans(replace(WORD, life="starting")) == ()
    born = replace(WORD, birth=True)
    assert spans(born) == born.filled
    assert spans(born, ("old", 1)) == () and spans(born, None, ("old", 1)) == ()


def test_a_birth_claim_does_not_replace_the_memory_of_another_store() -> None:
    assert remember_store(None, WORD) == StoreSeen("new", 5)
    old, new = StoreSeen("old", 9), StoreSeen("new", 7)
    assert remember_store(new, WORD)[:2] == ("new", 7)
    assert remember_store(old, WORD)[:2] == ("new", 5)
    assert remember_store(old, replace(WORD, birth=True))[:2] == ("old", 9)


def test_debts() -> None:
    holder = Word("h", "cluster", "sh", 1, ring_digest=1, stores={"k": StoreSeen("sk", 1)})
    keeper = Word("k", "cluster", "sk", 1, ring_digest=1, owed={"h": ((0, 4),), "k": ((0, 9),)})
    words = {"h": holder, "k": keeper}

    def debts(**changes: object) -> Mapping[str, Mapping[str, Spans]]:
        told = {**words, "k": replace(keeper, **changes)}  # type: ignore[arg-type]
        return debts_told(told, ring_digest=1, gained={7: {"h": ((8, 9),), "k": ((0, 1),)}})

    assert debts() == {"h": {"k": ((0, 4),)}}
    assert debts(ring_digest=7) == {"h": {"k": ((0, 4), (8, 9))}}, "its ring gave h nothing there"
    assert debts(stores={"h": StoreSeen("sh", 1)}) == debts()
    assert debts(stores={"h": StoreSeen("former", 1)}) == {"h": {"k": EVERYTHING}}
    assert debts(stores={"h": StoreSeen("sh", 2)}) == {"h": {"k": EVERYTHING}}, "an old image"
    assert not intersect(debts()["h"]["k"], ((4, 9),))


def test_a_word_tells_of_members_and_of_those_heard_last() -> None:
    """Nodes come and go for years: what is said of them is bounded, members are never left out."""
    stores = {f"n{index:04}": StoreSeen(f"s{index}", index) for index in range(1_000)}
    away = {node: int(node[1:]) for node in stores}
    kept = {"n0001", "n0002"}
    told = stores_told(stores, kept=kept, away=away)
    assert list(told) == sorted(told) and len(told) == STORES_AWAY_MAX + 2
    assert kept < told.keys() and "n0999" in told and "n0003" not in told
    assert stores_told(stores, kept=stores.keys(), away=away) == stores
