"""Playing records: when each is due, which are late, repeated or broken; the seed decides."""

import json
from collections import Counter

import msgpack
import numpy as np
import orjson
import pyarrow as pa
import pytest
from click.testing import CliRunner

from ingest.formats import Context
from ingest.generate import generate_records
from ingest.generate.command import generate
from ingest.generate.disturbed import LATE_RECORDS, Disturbance
from ingest.generate.pacing import Pace
from ingest.generate.payloads import BATCH, to_messages, with_broken
from ingest.generate.replayed import replay_records
from ingest.messages import MessageDecoder
from zring.domain import DEMO_DOMAIN


def _batch(count=1_000):
    (batch,) = generate_records(count)
    return batch


class Time:
    """A clock that only moves when somebody waits."""

    def __init__(self):
        self.now_s = 100.0

    def wait(self, seconds):
        self.now_s += seconds


def _pace(**speeds):
    clock = Time()
    pace = Pace(
        **{"rate": None, "speed": None, **speeds}, now_s=lambda: clock.now_s, wait=clock.wait
    )
    return pace, clock


def _paced(pace, clock, batch):
    return [(clock.now_s - 100.0, len(piece)) for piece in pace.slices(batch)]


def test_a_rate_is_kept():
    pace, clock = _pace(rate=500.0)
    sent = _paced(pace, clock, _batch())
    assert sum(count for _, count in sent) == 1_000
    assert 1.9 <= sent[-1][0] <= 2.1
    assert max(count for _, count in sent) <= 20


def test_a_speed_plays_the_times_of_the_records():
    batch = _batch(400)
    times_s = batch["time"].cast("int64").to_numpy() / 1e6
    pace, clock = _pace(speed=600.0)
    sent = _paced(pace, clock, batch)
    assert sent[-1][0] == pytest.approx((times_s[-1] - times_s[0]) / 600.0, abs=0.03)


def test_without_a_pace_nothing_waits():
    pace, clock = _pace()
    assert sum(count for _, count in _paced(pace, clock, _batch())) == 1_000
    assert clock.now_s == 100.0


def _played(seed, piece_records):
    disturbance = Disturbance(late=0.1, duplicates=0.05, seed=seed)
    table = pa.Table.from_batches(list(generate_records(20_000)))
    pieces = [
        disturbance.apply(piece)
        for piece in table.combine_chunks().to_batches(max_chunksize=piece_records)
    ]
    rest = disturbance.rest()
    pieces += [rest] if rest is not None else []
    rows = pa.Table.from_batches(pieces)
    keys = list(zip(rows["sensor"].to_pylist(), rows["time"].to_pylist(), strict=True))
    return disturbance, table, keys


def test_late_records_come_later_and_none_is_missing():
    disturbance, table, keys = _played(3, 1_000)
    assert 1_800 < disturbance.late_count < 2_200
    assert 850 < disturbance.duplicate_count < 1_150
    assert len(keys) == 20_000 + disturbance.duplicate_count
    assert len(set(keys)) == 20_000
    times = np.array([time.timestamp() for _, time in keys])
    behind = np.flatnonzero(times < np.maximum.accumulate(times))
    assert len(behind) >= 0.9 * disturbance.late_count
    order = list(zip(table["sensor"].to_pylist(), table["time"].to_pylist(), strict=True))
    place = {key: at for at, key in enumerate(order)}
    delays = [at - place[key] for at, key in enumerate(keys)]
    assert max(delays) > LATE_RECORDS / 2


def test_the_seed_alone_decides_who_is_late():
    assert Counter(_played(3, 1_000)[2]) == Counter(_played(3, 333)[2])
    assert Counter(_played(3, 1_000)[2]) != Counter(_played(4, 1_000)[2])


@pytest.mark.parametrize(("form", "count"), [("json", 1_000), ("msgpack", 1_000), (BATCH, 2)])
def test_messages_are_read_by_our_own_decoder(form, count):
    batch = _batch()
    messages = to_messages(batch, form)
    assert len(messages) == count
    assert sum(message.records for message in messages) == 1_000
    assert messages[0].key == batch["sensor"][0].as_py().encode()
    decoder = MessageDecoder(form.removesuffix("-batch"), domain=DEMO_DOMAIN, context=Context())
    decoded = decoder.decode([message.payload for message in messages])
    assert not decoded.refusals
    assert sum(len(part.rows) for part in decoded.parts) == 1_000


def test_absent_values_are_left_out_of_single_records():
    batch = _batch()
    rows = batch.to_pylist()
    for message, row in zip(to_messages(batch, "json"), rows, strict=True):
        document = orjson.loads(message.payload)
        assert set(document) == {name for name, value in row.items() if value is not None}
    first = msgpack.unpackb(to_messages(batch, "msgpack")[0].payload)
    assert first["time"].endswith("Z")


def test_broken_messages_are_extra_and_of_every_kind():
    good = to_messages(_batch(), "json")
    mixed = with_broken(good, 0.1, seed=1, first=0)
    broken = [message for message in mixed if not message.records]
    assert [message for message in mixed if message.records] == good
    assert 70 < len(broken) < 130
    assert any(message.payload is None for message in broken)
    assert len({(message.payload or b"")[:5] for message in broken}) >= 4
    assert with_broken(good[500:], 0.1, seed=1, first=500) == mixed[mixed.index(good[500]) :]
    decoder = MessageDecoder("json", domain=DEMO_DOMAIN, context=Context())
    decoded = decoder.decode([message.payload for message in mixed])
    assert len({refusal.message for refusal in decoded.refusals}) == len(broken)


def test_files_are_played_in_the_order_of_their_times(tmp_path):
    table = pa.Table.from_batches(list(generate_records(500)))
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(500)))
    for index in range(2):
        path = tmp_path / f"{index}.parquet"
        pa.parquet.write_table(shuffled.slice(index * 250, 250), path)
    (batch,) = replay_records([tmp_path], Context())
    assert len(batch) == 500
    times = batch["time"].cast("int64").to_numpy()
    assert (np.diff(times) >= 0).all()


def _run(*arguments):
    return CliRunner().invoke(generate, [str(argument) for argument in arguments])


def test_files_are_played_into_files(tmp_path):
    made, played = tmp_path / "made.parquet", tmp_path / "played.csv"
    assert _run("--to", "file", "--output", made, "--count", 300).exit_code == 0
    result = _run("--to", "file", "--output", played, "--from", made, "--duplicates", 0.1, "--json")
    assert result.exit_code == 0
    summary = json.loads(result.output)
    assert summary["records"] == 300
    assert summary["duplicates"] > 0
    assert summary["delivered"] == summary["sent"] == 300 + summary["duplicates"]
    assert len(played.read_text().splitlines()) == summary["sent"] + 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--to", "file"), "needs --output"),
        (("--to", "file", "--output", "nowhere/x.csv"), "no folder nowhere"),
        (("--to", "file", "--output", "x.csv", "--broken", "0.1"), "--broken is about messages"),
        (("--rate", "5", "--speed", "2"), "contradict"),
        (("--rate", "0"), "--rate"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, reason):
    result = _run(*arguments)
    assert result.exit_code == 2
    assert reason in result.output
