"""`zring ingest check`: what a sample message becomes, or why it is rejected."""

import sys
from pathlib import Path
from typing import Any

import click
import orjson
import pyarrow as pa
from rich.console import Console

from ingest.commands.options import message_options, take_mapping
from ingest.commands.service import failed
from ingest.errors import IngestError
from ingest.messages import DecodedMessages, MessageDecoder
from ingest.stream_settings import StreamSettings, read_ingest_settings
from node.cli.exit_codes import OK, PARTIAL
from node.codec.arrow import rows_to_batch
from zring.domain import Domain
from zring.errors import ZringError

RECORDS_SHOWN = 20
SAMPLE_BYTES_MAX = 64 << 20


@click.command()
@click.argument("samples", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@message_options
@click.option(
    "--config", "config", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take format and mapping from a source of this file.",
)  # fmt: skip
@click.option("--source", "source_name", help="Which one; may be left out where there is one.")
@click.option("--domain", "domain_text", default="world", show_default=True,
              help="west,south,east,north or world.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Records and reasons as JSON.")
@click.pass_context
def check(context: click.Context, /, samples: tuple[Path, ...], **options: Any) -> None:
    """Decode sample messages, one in each file (- or nothing: standard input); store nothing.

    Exits with 4 when a record is rejected.

    \b
    Examples:
      zring ingest check sample.json --map sensor=device.id,time=ts --time-format epoch-ms
      kcat -C -t river -c 1 | zring ingest check --config ingest.toml --source river
    """
    try:
        decoder = _decoder(options)
        bodies = [_read(path) for path in samples or (Path("-"),)]
    except (IngestError, ZringError, OSError) as error:
        raise failed(IngestError(str(error))) from None
    names = [path.name for path in samples] or ["-"]
    decoded = decoder.decode(bodies, lambda index: names[index])
    if options["as_json"]:
        click.echo(orjson.dumps(_document(decoded, names), option=orjson.OPT_INDENT_2))
    else:
        _show(decoded, names)
    context.exit(PARTIAL if decoded.refusals else OK)


def _decoder(options: dict[str, Any]) -> MessageDecoder:
    domain = Domain.parse(options.pop("domain_text"))
    if options["config"] is not None:
        found = read_ingest_settings(options["config"])
        name = options["source_name"] or found.sources[0].name
        settings = found.one(name)
    else:
        settings = StreamSettings(
            name="check", kind="files", source=None, collection="check",
            format=options["format_name"], stations=options["stations"],
            message_bytes_max=options["message_bytes_max"], mapping=take_mapping(options),
        )  # fmt: skip
    return MessageDecoder(
        settings.format,
        domain=domain,
        context=settings.context(),
        message_bytes_max=settings.message_bytes_max,
    )


def _read(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(SAMPLE_BYTES_MAX)
    with path.open("rb") as stream:
        return stream.read(SAMPLE_BYTES_MAX)


def _records(decoded: DecodedMessages) -> list[dict[str, Any]]:
    records = []
    for part in decoded.parts:
        rows = pa.Table.from_batches([rows_to_batch(part.rows)]).to_pylist()
        for message, row in zip(part.message.tolist(), rows, strict=True):
            fixed = {name: row.pop(name) for name in ("sensor", "time", "lon", "lat", "version")}
            values = {name: cell for name, cell in row.items() if cell is not None}
            topic = {"topic": part.topic} if part.topic else {}
            if not fixed["version"]:
                del fixed["version"]
            records.append({"message": message, **topic, **fixed, "values": values})
    return records


def _document(decoded: DecodedMessages, names: list[str]) -> dict[str, Any]:
    records = [
        {**record, "message": names[record["message"]], "time": record["time"].isoformat()}
        for record in _records(decoded)
    ]
    refused = [
        {"message": names[entry.message], "record": entry.record, "reason": entry.reason,
         "detail": entry.detail}
        for entry in decoded.refusals
    ]  # fmt: skip
    return {"records": records, "rejected": refused, "left_out": dict(decoded.left_out)}


def _show(decoded: DecodedMessages, names: list[str]) -> None:
    console = Console()
    records = _records(decoded)
    for record in records[:RECORDS_SHOWN]:
        values = ", ".join(f"{name}={cell!r}" for name, cell in record["values"].items())
        place = f"({record['lon']}, {record['lat']})"
        console.print(f"{names[record['message']]}: {record['sensor']} "
                      f"{record['time'].isoformat()} {place} {values}",
                      markup=False, highlight=False, soft_wrap=True)  # fmt: skip
    if len(records) > RECORDS_SHOWN:
        console.print(f"… and {len(records) - RECORDS_SHOWN:,} more records")
    for entry in decoded.refusals[:RECORDS_SHOWN]:
        which = "" if entry.record is None else f" record {entry.record}"
        console.print(f"{names[entry.message]}{which}: {entry.reason}: {entry.detail}",
                      markup=False, highlight=False, soft_wrap=True)  # fmt: skip
    console.print(f"{decoded.good:,} records, {len(decoded.refusals):,} rejected")
