"""What is remembered of stores, and what of that is told."""

from node.protocol.word import StoreSeen, Word
from node.service.seen_stores import SeenStores

FIRST, SECOND = 111, 222
"""Two processes."""


def word(store_id: str, *, instance: int, birth: bool, sequence: int = 2, found: int = 0) -> Word:
    return Word("n5", "c", store_id, sequence=sequence, birth=birth, instance=instance, found=found)


def reply(store_id: str, *, instance: int, sequence: int) -> dict[str, object]:
    return {"node": "n5", "store": store_id, "instance": instance, "sequence": sequence}


def wiped() -> SeenStores:
    """n5 had the store `old`, was wiped, and its new store `new` claims to be filled by birth."""
    stores = SeenStores(None)
    assert not stores.take(word("old", instance=1, birth=True, sequence=7))
    assert not stores.take(word("new", instance=FIRST, birth=True))
    return stores


def test_a_former_store_is_remembered_while_the_new_one_claims_to_be_filled_by_birth() -> None:
    stores = wiped()
    assert stores.find("n5") == StoreSeen("old", 7, 1)
    assert not stores.take(word("new", instance=FIRST, birth=False))
    assert stores.find("n5") == StoreSeen("new", 2, FIRST)


def test_an_old_image_of_a_store_whose_claim_was_not_believed_is_noticed_and_told() -> None:
    """Seed 502289: n5 was put back to before what it had been given since it was wiped, and those
    who had given it that took it for in step."""
    stores = wiped()
    stores.heard(reply("new", instance=FIRST, sequence=9))
    assert stores.take(word("new", instance=SECOND, birth=True))
    stores.take(word("new", instance=SECOND, birth=False, sequence=3))
    seen = stores.find("n5")
    assert seen == StoreSeen("new", 9, SECOND, earlier=9)
    assert seen.before(SECOND) == 9, "n5 is to hear that it found less than this"


def test_the_same_store_in_another_process_is_no_old_image() -> None:
    stores = wiped()
    stores.heard(reply("new", instance=FIRST, sequence=9))
    assert not stores.take(word("new", instance=SECOND, birth=True, sequence=10, found=9))


def test_what_is_told_is_the_same_object_until_something_changes() -> None:
    stores = wiped()
    told = stores._told_all()
    stores.heard(reply("old", instance=1, sequence=6))
    assert stores._told_all() is told
    stores.heard(reply("old", instance=1, sequence=8))
    assert stores._told_all() == {"n5": StoreSeen("old", 8, 1)}
    assert told == {"n5": StoreSeen("old", 7, 1)}
    stores.forget("n5")
    assert stores.find("n5") is None and stores._told_all() == {}
