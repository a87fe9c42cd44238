"""`zring generate`: plays stations, real or made, to a cluster, a broker or a file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson
import pyarrow as pa
from rich.console import Console
from rich.progress import Progress

from ingest.errors import IngestError
from ingest.formats import Context
from ingest.formats.column_mapping import parse_pairs
from ingest.formats.station_table import StationTable, read_station_table
from ingest.generate.disturbed import Disturbance
from ingest.generate.pacing import Pace
from ingest.generate.payloads import BATCH, FORMATS, RECORDS_PER_MESSAGE, to_messages, with_broken
from ingest.generate.records import DEFAULT_START, MODES, RECORDS_MAX, generate_records
from ingest.generate.replayed import replay_records
from ingest.generate.targets import TARGETS, Place, make_target
from node.cli.exit_codes import FAILURE, OK, PARTIAL, USAGE
from node.cli.options import connection_options, take_connection

DEFAULT_COUNT = 2_000_000
_SHARE = click.FloatRange(0.0, 1.0)
_EXISTING = click.Path(exists=True, path_type=Path)


@dataclass(slots=True)
class Played:
    """What was sent, counted while it goes out.

    Attributes:
        records: good records, each counted once.
        sent: records or messages handed to the target, those on request included.
    """

    records: int = 0
    sent: int = 0
    messages: int = 0
    broken: int = 0
    late: int = 0
    duplicates: int = 0
    delivered: int = 0
    failed: dict[str, int] = field(default_factory=dict)


@click.command()
@connection_options
@click.option("--to", "kind", type=click.Choice(list(TARGETS)), default="http", show_default=True,
              help="Nodes, a broker or a file.")  # fmt: skip
@click.option("--count", type=click.IntRange(0, RECORDS_MAX), help="Records; default 2,000,000, "
              "or all of the files.")  # fmt: skip
@click.option("--rate", type=click.FloatRange(0.0, min_open=True), help="Records a second; "
              "default: as fast as they are taken.")  # fmt: skip
@click.option("--speed", type=click.FloatRange(0.0, min_open=True), help="Instead of a rate: "
              "seconds of the records' time in one second; 1 is as it was.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same records.")
@click.option("--start", default=DEFAULT_START.isoformat(), show_default=True,
              help="First time; now: the present.")  # fmt: skip
@click.option("--mode", type=click.Choice(MODES), default="grouped", show_default=True)
@click.option("--from", "files", multiple=True, type=_EXISTING,
              help="Play the records of this file or folder instead; may be repeated.")  # fmt: skip
@click.option("--stations", type=_EXISTING, help="Positions for files that have none.")
@click.option("--late", type=_SHARE, default=0.0, help="Share of records that come late.")
@click.option("--duplicates", type=_SHARE, default=0.0, help="Share that comes twice.")
@click.option("--broken", type=_SHARE, default=0.0,
              help="Broken messages for each good one.")  # fmt: skip
@click.option("--collection", default="amedas", show_default=True, help="http: where they go.")
@click.option("--w", "level", type=click.Choice(["one", "quorum", "all"]), default="one",
              help="http: nodes that must have a record on disk.")  # fmt: skip
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path),
              help="file: .parquet, .csv or .arrow.")  # fmt: skip
@click.option("--brokers", "address", help="Brokers: HOST:PORT; Kafka takes several.")
@click.option("--topic", help="Brokers: topic, or Fluentd's tag.")
@click.option("--format", "form", type=click.Choice([*FORMATS, BATCH]), default="json",
              show_default=True, help="Brokers: what a message holds.")  # fmt: skip
@click.option("--batch", "records_per_message", type=click.IntRange(1, 100_000),
              default=RECORDS_PER_MESSAGE, show_default=True,
              help="Records of one msgpack-batch.")  # fmt: skip
@click.option("--option", "options", multiple=True, help="Brokers: NAME=VALUE for the client.")
@click.option("--json", "as_json", is_flag=True, help="Summary as JSON.")
@click.pass_context
def generate(context: click.Context, /, kind: str, as_json: bool, **given: Any) -> None:
    """Play observations of the 40 stations of the square, of 20,000 vehicles, or of files.

    \b
    Examples:
      zring generate --count 2000000
      zring generate --to file --output vehicles.parquet --mode moving --count 100000
      zring generate --to kafka --brokers 127.0.0.1:9092 --topic weather --rate 5000
      zring generate --to kafka --brokers 127.0.0.1:9092 --topic weather --speed 600 --late 0.01
    """
    try:
        played = _play(kind, given)
    except IngestError as error:
        raise _failed(str(error), USAGE if not error.retryable else FAILURE) from None
    if as_json:
        click.echo(orjson.dumps({name: getattr(played, name) for name in Played.__slots__}))
    else:
        _show(played, kind, given)
    complete = played.delivered == played.sent and not played.failed
    context.exit(OK if complete else PARTIAL)


def _play(kind: str, given: dict[str, Any]) -> Played:
    takes_messages = TARGETS[kind].takes_messages
    if given["broken"] and not takes_messages:
        raise click.BadParameter(f"--broken is about messages; --to {kind} takes records")
    if given["rate"] is not None and given["speed"] is not None:
        raise click.BadParameter("--rate and --speed contradict each other; give one")
    batches, count = _records(given)
    target = make_target(kind, _place(given))
    played = Played()
    target.open()
    try:
        with _bar(count) as advance:
            for batch in _disturbed(batches, given, played):
                advance(len(batch))
                if takes_messages:
                    _send_messages(target, batch, given, played)
                else:
                    target.send(batch)
                    played.sent += len(batch)
    finally:
        target.finish()
    played.delivered = target.delivered
    played.failed = dict(target.failed)
    return played


def _send_messages(target: Any, batch: pa.RecordBatch, given: dict[str, Any], p: Played) -> None:
    good = to_messages(batch, given["form"], records_per_message=given["records_per_message"])
    messages = with_broken(good, given["broken"], seed=given["seed"], first=p.messages)
    p.messages += len(good)
    p.broken += len(messages) - len(good)
    p.sent += len(messages)
    target.send(messages)


def _records(given: dict[str, Any]) -> tuple[Iterator[pa.RecordBatch], int | None]:
    """Batches in the order of their times, and how many records if that is known."""
    count = given["count"]
    if given["files"]:
        stations = StationTable.of_square()
        if given["stations"] is not None:
            stations = read_station_table(given["stations"].read_bytes())
        return _first(replay_records(given["files"], Context(stations=stations)), count), count
    try:
        start = datetime.now(UTC) if given["start"] == "now" else _time(given["start"])
        count = DEFAULT_COUNT if count is None else count
        made = generate_records(count, seed=given["seed"], start=start, mode=given["mode"])
    except ValueError as error:
        raise click.BadParameter(f"--start {given['start']!r}: {error}") from None
    return made, count


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _first(batches: Iterator[pa.RecordBatch], count: int | None) -> Iterator[pa.RecordBatch]:
    left = RECORDS_MAX if count is None else count
    for batch in batches:
        if left <= 0:
            return
        yield batch.slice(0, left)
        left -= len(batch)


def _disturbed(
    batches: Iterator[pa.RecordBatch], given: dict[str, Any], played: Played
) -> Iterator[pa.RecordBatch]:
    """What goes out, when it is due."""
    pace = Pace(rate=given["rate"], speed=given["speed"], now_s=time.monotonic, wait=time.sleep)
    disturbance = Disturbance(
        late=given["late"], duplicates=given["duplicates"], seed=given["seed"]
    )
    for batch in batches:
        for piece in pace.slices(batch):
            played.records += len(piece)
            sent = disturbance.apply(piece)
            if len(sent):
                yield sent
    rest = disturbance.rest()
    if rest is not None:
        yield rest
    played.late, played.duplicates = disturbance.late_count, disturbance.duplicate_count


def _place(given: dict[str, Any]) -> Place:
    return Place(
        address=given["address"],
        topic=given["topic"],
        output=given["output"],
        collection=given["collection"],
        level=given["level"],
        connection=take_connection(dict(given)),
        options=parse_pairs("--option", given["options"]),
    )


@contextmanager
def _bar(count: int | None) -> Iterator[Any]:
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("records", total=count)
        yield lambda records: bar.advance(task, records)


def _show(played: Played, kind: str, given: dict[str, Any]) -> None:
    places = {"http": f"collection {given['collection']}", "file": str(given["output"])}
    place = places.get(kind, f"{kind} {given['topic'] or ''}".strip())
    unit = "messages" if TARGETS[kind].takes_messages else "records"
    line = f"{played.delivered:,} of {played.sent:,} {unit} in {place}"
    more = ("late", "duplicates", "broken")
    details = [f"{getattr(played, name):,} {name}" for name in more if getattr(played, name)]
    click.echo(f"{line} ({', '.join(details)})" if details else line)
    for reason, count in sorted(played.failed.items()):
        click.echo(f"{count:,} failed: {reason}", err=True)


def _failed(message: str, exit_code: int) -> click.ClickException:
    error = click.ClickException(message)
    error.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance
    return error
