"""Records older than the first kept day are refused like any other bad record, and hidden."""

from datetime import date

from .conftest import Door, record

FIRST = (date(2023, 7, 10) - date(1970, 1, 1)).days


async def expire(door: Door) -> None:
    holding = door.service._parts.members.holding
    await holding.change(holding.ring.expired({"amedas": FIRST}))


async def test_older_records_are_refused_with_the_first_kept_day_and_a_way_out(door: Door) -> None:
    await door.store([record(time="2023-07-09T23:59:59Z"), record(time="2023-07-10T00:00:00Z")])
    await expire(door)
    reply = await door.store(
        [
            record(time="2023-07-11T00:00:00Z"),
            record(time="2023-07-09T23:59:59Z"),
            record(time="not a time"),
        ]
    )
    assert reply.status == 200
    answer = reply.json()
    assert answer["received"] == 3 and answer["stored"] == 1
    assert answer["rejected_by_reason"] == {"bad-time": 1, "expired": 1}
    old, bad = answer["rejected"]
    assert old["index"] == 1 and old["field"] == "time" and bad["index"] == 2
    assert "2023-07-10, the first day that is kept of 'amedas'" in old["reason"]
    assert "Another collection" in old["reason"]
    items = await door.ask("/collections/amedas/items")
    times = [feature["properties"]["time"] for feature in items.json()["features"]]
    assert sorted(times) == ["2023-07-10T00:00:00Z", "2023-07-11T00:00:00Z"]


async def test_a_body_of_old_records_alone_is_refused_whole(door: Door) -> None:
    await expire(door)
    reply = await door.store([record(time="1970-01-01T00:00:00Z")] * 3)
    assert reply.status == 422
    answer = reply.json()
    assert answer["rejected_by_reason"] == {"expired": 3} and answer["field"] == "time"
    assert (await door.store([record(time="2099-12-31T00:00:00Z")])).json()["stored"] == 1
