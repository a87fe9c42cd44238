"""Bodies of messages become records, or are refused with a reason and their index."""

import io
import struct
from datetime import UTC, datetime

import msgpack
import numpy as np
import orjson
import pyarrow as pa
import pytest

from ingest.errors import SettingsInvalid
from ingest.formats import Context
from ingest.formats.column_mapping import ColumnMapping
from ingest.messages import FORMATS, DecodedMessages, MessageDecoder
from node.records import Rows
from zring.domain import DEMO_DOMAIN

T0 = 1_688_169_600_000_000
"""2023-07-01T00:00:00Z"""


def record(at: int, **values: object) -> dict[str, object]:
    text = datetime.fromtimestamp(T0 / 1e6 + at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    place = {"sensor": f"s{at}", "time": text, "lon": 135.5, "lat": 33.5}
    return {**place, "temp": 20 + at, **values}


def decode(format_name: str, *bodies: bytes | None, **mapping: object) -> DecodedMessages:
    context = Context(mapping=ColumnMapping(**mapping))  # type: ignore[arg-type]
    decoder = MessageDecoder(format_name, domain=DEMO_DOMAIN, context=context)
    return decoder.decode(bodies, lambda index: f"20250628{index:02}0000.json")


def cells(decoded: DecodedMessages) -> dict[tuple[int, str], dict[str, object]]:
    """(message, sensor) → time and values."""
    found = {}
    for part in decoded.parts:
        table = as_table(part.rows)
        for message, row in zip(part.message.tolist(), table.to_pylist(), strict=True):
            sensor = row.pop("sensor")
            found[message, sensor] = {k: v for k, v in row.items() if v is not None}
    return found


def as_table(rows: Rows) -> pa.Table:
    values = {name: column.storage if isinstance(column, pa.ExtensionArray) else column
              for name, column in rows.values.items()}  # fmt: skip
    return pa.table({"sensor": rows.sensor, "time": rows.time, **values})


def as_csv(*records: dict[str, object]) -> bytes:
    lines = [",".join(records[0]), *(",".join(map(str, r.values())) for r in records)]
    return "\n".join(lines).encode()


def as_arrow(*records: dict[str, object]) -> bytes:
    table, sink = pa.Table.from_pylist(list(records)), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def as_columns(*records: dict[str, object]) -> bytes:
    return msgpack.packb({name: [r[name] for r in records] for name in records[0]})


def as_feature(one: dict[str, object]) -> dict[str, object]:
    properties = {name: cell for name, cell in one.items() if name not in ("lon", "lat")}
    point = {"type": "Point", "coordinates": [one["lon"], one["lat"]]}
    return {"type": "Feature", "geometry": point, "properties": properties}


def as_event(one: dict[str, object], at: int) -> bytes:
    rest = {name: cell for name, cell in one.items() if name != "time"}
    stamp = struct.pack(">II", T0 // 1_000_000 + at, 0)
    return msgpack.packb([msgpack.ExtType(0, stamp), rest])


A, B, C = record(0), record(1), record(2)
SAME = {
    "json": (orjson.dumps(A), orjson.dumps([B, C])),
    "ndjson": (orjson.dumps(A), orjson.dumps(B) + b"\n" + orjson.dumps(C) + b"\n"),
    "geojson": (
        orjson.dumps(as_feature(A)),
        orjson.dumps({"type": "FeatureCollection", "features": [as_feature(B), as_feature(C)]}),
    ),
    "csv": (as_csv(A), as_csv(B, C)),
    "msgpack": (msgpack.packb(A), as_columns(B, C)),
    "arrow": (as_arrow(A), as_arrow(B, C)),
    "fluentd": (as_event(A, 0), as_event(B, 1) + as_event(C, 2)),
}


@pytest.mark.parametrize("format_name", SAME)
def test_every_format_says_the_same_record(format_name: str) -> None:
    decoded = decode(format_name, *SAME[format_name])
    assert not decoded.refusals and decoded.records == 3
    assert cells(decoded) == {
        (0, "s0"): {"time": T0, "temp": 20},
        (1, "s1"): {"time": T0 + 1_000_000, "temp": 21},
        (1, "s2"): {"time": T0 + 2_000_000, "temp": 22},
    }


@pytest.mark.parametrize("format_name", [name for name in FORMATS if name != "amedas"])
def test_broken_messages_cost_no_other(format_name: str) -> None:
    good, several = SAME[format_name]
    broken = good[: len(good) - 3] if format_name != "csv" else good.replace(b",20", b",20,7")
    decoded = decode(format_name, None, good, broken, b"", several, b"x" * (9 << 20))
    assert {entry.message for entry in decoded.refusals} == {0, 2, 3, 5}
    assert decoded.good == 3
    assert sorted(message for message, _ in cells(decoded)) == [1, 4, 4]
    reasons = {entry.message: entry.reason for entry in decoded.refusals}
    assert (reasons[0], reasons[5]) == ("no-payload", "message-too-large")


def test_msgpack_in_all_its_forms() -> None:
    own = {"sensor": "s0", "lon": 135.5, "lat": 33.5, "time": [T0, T0 + 5], "values": {"a": [1, 2]}}
    other = {"sensor": "s1", "lon": 135.5, "lat": 33.5, "time": msgpack.Timestamp(7, 5000)}
    uneven = {**own, "time": [T0]}
    decoded = decode(
        "msgpack", msgpack.packb(own), msgpack.packb([A, B]), msgpack.packb(uneven),
        msgpack.packb({**other, "a": [1, 2]}), msgpack.packb({"sensor": [], "time": []}),
    )  # fmt: skip
    assert [(e.message, e.reason) for e in decoded.refusals] == [
        (2, "bad-columns"),
        (4, "no-records"),
    ]
    assert cells(decoded)[3, "s1"] == {"time": 7_000_005, "a": "[1,2]"}
    assert decoded.good == 5


def test_a_message_is_refused_in_part() -> None:
    far = {**B, "lon": 10.0}
    decoded = decode("json", orjson.dumps([A, far, {**C, "time": "noon"}]), orjson.dumps(C))
    refused = [(entry.message, entry.record, entry.reason) for entry in decoded.refusals]
    assert refused == [(0, 1, "outside-domain"), (0, 2, "bad-time")]
    assert set(cells(decoded)) == {(0, "s0"), (1, "s2")}


def test_two_broken_messages_do_not_mend_each_other() -> None:
    whole = orjson.dumps(A)
    decoded = decode("json", whole[:20], whole[20:], orjson.dumps(A) + b"," + orjson.dumps(B))
    assert [entry.message for entry in decoded.refusals] == [0, 1, 2]


def test_what_a_record_becomes_does_not_depend_on_its_company() -> None:
    """Redelivered in another batch it must be the same record, or it would be stored twice."""
    alone = {"id": 7, "timestamp": T0, "x": 135.5, "y": 33.5, "v": "12"}
    table_only = {"id": "65042", "timestamp": T0, "v": 1.5}
    company = [
        {"sensor": "s1", "station": "x", "time": "2023-07-01T00:00:00Z", "lon": "135.5",
         "lat": "33.5", "v": [1]},
        {"id": "y", "timestamp": "2023-07-01T00:00:00.000001Z", "x": "135.5", "y": 33, "v": "text"},
        {"sensor": [], "time": {}, "lon": True, "lat": None, "v": float("nan")},
    ]  # fmt: skip
    bodies = [orjson.dumps(one) for one in (alone, table_only)]
    apart = [cells(decode("json", body)) for body in bodies]
    together = cells(decode("json", *bodies, *(orjson.dumps(one) for one in company)))
    hidden = {None, "null"}
    for message, expected in enumerate(apart):
        ((_, sensor), values) = expected.popitem()
        found = together[message, sensor]
        found["v"] = orjson.loads(str(found["v"])) if found["v"] not in hidden else None
        assert {**values, "v": found["v"]} == found
    assert {key for key in together if key[0] > 1} == {(2, "s1"), (3, "y")}


def test_mapping_reaches_into_objects_and_lists() -> None:
    body = {
        "device": {"meta": {"id": 5}}, "at": 1_688_169_600.5, "fix": [135.5, 33.5],
        "uplink": {"temp": "21.5", "note": "007"}, "unit": "C",
    }  # fmt: skip
    names = {"sensor": "device.meta.id", "time": "at", "lon": "fix.0", "lat": "fix.1",
             "temp": "uplink.temp", "note": "uplink.note"}  # fmt: skip
    decoded = decode(
        "json", orjson.dumps(body), b'{"at": 1}', names=names, time_format="epoch-s",
        types={"temp": "number"}, constants={"site": "pier"}, only_mapped=True,
    )  # fmt: skip
    assert cells(decoded) == {
        (0, "5"): {"time": T0 + 500_000, "temp": 21.5, "note": "007", "site": "pier"}
    }
    assert [entry.message for entry in decoded.refusals] == [1]


def test_sensors_without_a_position_stand_in_the_station_table() -> None:
    body = {"sensor": "65042", "time": "2023-07-01 09:00", "temp": 20}
    unknown = {**body, "sensor": "nowhere"}
    decoded = decode("json", orjson.dumps(body), orjson.dumps(unknown), zone="Asia/Tokyo")
    assert cells(decoded) == {(0, "65042"): {"time": T0, "temp": 20}}
    assert [entry.reason for entry in decoded.refusals] == ["unknown-station"]


def test_downloads_of_amedas_are_messages_named_by_their_key() -> None:
    body = orjson.dumps({"65042": {"temp": [27.1, 0]}, "99999": {"temp": [1.0, 0]}})
    decoded = decode("amedas", b"{}", body, b"what?")
    assert [*cells(decoded)] == [(1, "65042")]
    assert [(e.message, e.reason) for e in decoded.refusals] == [
        (1, "unknown-station"),
        (2, "bad-amedas"),
    ]


def test_a_name_too_many_is_the_fault_of_its_message() -> None:
    wide = {**A, **{f"v{at}": at for at in range(1_001)}}
    bodies = [orjson.dumps(record(at)) for at in range(20)]
    decoded = decode("json", *bodies, orjson.dumps(wide), *bodies)
    assert [entry.message for entry in decoded.refusals] == [20]
    assert decoded.good == 40


def test_cells_of_csv_say_their_type() -> None:
    head = b"sensor,time,lon,lat,a,b,c,d\n"
    row = b's,2023-07-01T00:00:00Z,135.5,33.5,007,-1.50,true,"x,\ny"\n'
    decoded = decode("csv", head + row, head.replace(b"sensor", b"lon"))
    assert cells(decoded) == {
        (0, "s"): {"time": T0, "a": "007", "b": -1.5, "c": True, "d": "x,\ny"}
    }
    assert [entry.reason for entry in decoded.refusals] == ["bad-csv"]


def test_types_of_csv_are_those_of_the_mapping() -> None:
    body = b"id;ts;lon;lat;n;m\r\n12;1688169600;135.5;33.5;12;7\r\n"
    other = b"id;ts;lon;lat;n;m\n1.50;1688169600;135.5;33.5;x;8\n"
    decoded = decode("csv", body, other, time_format="epoch-s", names={"number": "n"},
                     types={"number": "text"})  # fmt: skip
    assert cells(decoded) == {
        (0, "12"): {"time": T0, "number": "12", "m": 7},
        (1, "1.50"): {"time": T0, "number": "x", "m": 8},
    }


def test_numbers_of_any_spelling_are_one_time() -> None:
    seconds = [1_688_169_600, 1_688_169_600.25, "1688169600.5", 10**30, None]
    bodies = [orjson.dumps({**A, "time": one}) if one != 10**30 else
              b'{"sensor":"s","lon":135.5,"lat":33.5,"v":1,"time":1' + b"0" * 30 + b"}"
              for one in seconds]  # fmt: skip
    decoded = decode("json", *bodies, time_format="epoch-s")
    times = [found["time"] for found in cells(decoded).values()]
    assert times == [T0, T0 + 250_000, T0 + 500_000]
    assert np.unique([entry.message for entry in decoded.refusals]).tolist() == [3, 4]


def test_an_unknown_format_is_said_at_once() -> None:
    with pytest.raises(SettingsInvalid, match="avro"):
        MessageDecoder("avro", domain=DEMO_DOMAIN)
