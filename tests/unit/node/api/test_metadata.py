"""Metadata at the door: hidden in every format unless asked for."""

import io

import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from .conftest import Door, record

RECORD = record(values={"temp": 27.1, "@source": "kafka", "@sequence": 7})
ITEMS = "/collections/amedas/items"


def names_of(form: str, body: bytes) -> set[str]:
    if form == "geojson":
        return set(orjson.loads(body)["features"][0]["properties"])
    if form == "ndjson":
        return set(orjson.loads(body.splitlines()[0])["values"])
    if form == "csv":
        return set(pa_csv.read_csv(io.BytesIO(body)).column_names)
    if form == "parquet":
        return set(pq.read_table(io.BytesIO(body)).column_names)
    return set(pa.ipc.open_stream(body).read_all().column_names)


@pytest.mark.parametrize("form", ["geojson", "ndjson", "csv", "arrow", "parquet"])
@pytest.mark.parametrize("kind", ["items", "latest"])
async def test_every_format(door: Door, form: str, kind: str) -> None:
    await door.store([RECORD])
    limits = ("", "&limit=all") if kind == "items" and form in ("ndjson", "csv", "arrow") else ("",)
    for limit in limits:
        for parameters, shown in (
            ("", {"temp"}),
            ("&metadata=true", {"temp", "@source", "@sequence"}),
            ("&columns=@source", {"@source"}),
            ("&columns=temp&metadata=true", {"temp", "@source", "@sequence"}),
            ("&filter=%22@sequence%22=7", {"temp"}),
        ):
            reply = await door.ask(f"/collections/amedas/{kind}?f={form}{parameters}{limit}")
            assert reply.status == 200, reply.body
            found = names_of(form, reply.body) & {"temp", "@source", "@sequence"}
            assert found == shown, (parameters, limit)


async def test_one_record_and_the_collection(door: Door) -> None:
    await door.store([RECORD])
    feature = (await door.ask(ITEMS)).json()["features"][0]
    bare = (await door.ask(f"{ITEMS}/{feature['id']}")).json()["properties"]
    full = (await door.ask(f"{ITEMS}/{feature['id']}?metadata=true")).json()["properties"]
    assert full.keys() - bare.keys() == {"@source", "@sequence"}
    for path in ("/collections/amedas", "/collections"):
        told = []
        for question in ("", "?metadata=true"):
            document = (await door.ask(path + question)).json()
            told.append(document.get("values") or document["collections"][0]["values"])
        assert told == [
            {"temp": "number"},
            {"temp": "number", "@source": "text", "@sequence": "number"},
        ]


async def test_a_filter_tells_records_apart(door: Door) -> None:
    other = record(sensor="b", values={"temp": 1, "@source": "mqtt"})
    await door.store([RECORD, other])
    reply = await door.ask(f"{ITEMS}?filter=%22@source%22=%27mqtt%27")
    assert [f["properties"]["sensor"] for f in reply.json()["features"]] == ["b"]


async def test_the_same_again_changes_nothing_and_a_correction_brings_its_own(door: Door) -> None:
    await door.store([RECORD])
    again = record(values={"temp": 27.1, "@source": "again"})
    await door.store([again])
    properties = (await door.ask(f"{ITEMS}?metadata=true")).json()["features"][0]["properties"]
    assert (properties["@source"], properties["@sequence"]) == ("kafka", 7)
    await door.ask(f"{ITEMS}?replace=true", "POST", json=again)
    properties = (await door.ask(f"{ITEMS}?metadata=true")).json()["features"][0]["properties"]
    assert properties["@source"] == "again"
    assert "@sequence" not in properties


async def test_other_names_are_refused(door: Door) -> None:
    reply = await door.store([record(values={"temp": 1, "@mine": 2})])
    assert reply.status == 422
    assert reply.json()["rejected_by_reason"] == {"bad-value-name": 1}
    assert "@ingested" in reply.json()["detail"]
