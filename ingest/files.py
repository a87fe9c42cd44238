"""`zring ingest files`: from files to a cluster."""

import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ingest.commands.audit import audit
from ingest.commands.check import check
from ingest.commands.fluentd import fluentd
from ingest.commands.kafka import kafka
from ingest.commands.mqtt import mqtt
from ingest.commands.run import run
from ingest.commands.zeromq import zeromq
from ingest.errors import IngestError
from ingest.formats import DECODERS, STATION_TABLE, Context
from ingest.formats.column_mapping import ColumnMapping, parse_pairs
from ingest.formats.station_table import StationTable, read_station_table
from ingest.loading import FileOutcome, Loader, find_files, totals
from ingest.rejects import RejectFile
from ingest.sender import Sender
from ingest.summary import show_summary
from node.cli.exit_codes import FAILURE, OK, PARTIAL, USAGE, exit_code_of
from node.cli.options import connect, connection_options, take_connection
from node.client import Client
from node.errors import NodeError
from zring.domain import Domain
from zring.errors import ZringError


@click.group()
def ingest() -> None:
    """Bring records in: from files and streams."""


for command in (run, check, audit, fluentd, kafka, mqtt, zeromq):
    ingest.add_command(command)


@ingest.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@connection_options
@click.option("--collection", default="amedas", show_default=True, help="Where records go.")
@click.option(
    "--format",
    "format_name",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", *DECODERS]),
    help="Format of all files; auto looks at each.",
)
@click.option(
    "--w",
    "level",
    default="one",
    show_default=True,
    type=click.Choice(["one", "quorum", "all"]),
    help="Nodes that must have a record on disk.",
)
@click.option("--map", "pairs", multiple=True, help="sensor=COLUMN,time=COLUMN,lon=…,lat=…,NAME=…")
@click.option("--constant", "constants", multiple=True, help="NAME=TEXT for every record.")
@click.option("--time-format", help="strptime format, epoch-s, epoch-ms or epoch-us.")
@click.option("--zone", help="Of times without one: Asia/Tokyo, +09:00.")
@click.option(
    "--mapping",
    "mapping_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The same as TOML: [map], [constant], [types], time_format, zone, only_mapped.",
)
@click.option(
    "--stations",
    "station_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Positions: amedastable.json, ame_master.csv, or CSV with id, lon, lat.",
)
@click.option("--station-name", "names", multiple=True, help="NAME=ID for files without ids.")
@click.option("--station-ids", help="Ids in the order of an obsdl file's stations: 65042,65021.")
@click.option("--per-element", is_flag=True, help="Single values: one collection per element.")
@click.option("--drop-incomplete", is_flag=True, help="Drop values whose period is not complete.")
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write rejected rows here (NDJSON with file, row, reason, original).",
)
@click.option("--dry-run", is_flag=True, help="Read and check everything, store nothing.")
@click.option("--domain", "domain_text", help="For --dry-run: west,south,east,north or world.")
@click.option("--json", "as_json", is_flag=True, help="Summary as JSON.")
@click.pass_context
def files(context: click.Context, /, **options: Any) -> None:  # fmt: skip
    """Load files or folders; a bad row or file never stops the rest.

    JMA's downloads are recognised by themselves, other CSV, NDJSON, GeoJSON and Parquet by usual
    column names or --map. Loading a file again changes nothing. Exits with 4 when rows were
    rejected or files failed, with 1 when nothing could be stored.

    \b
    Examples:
      zring ingest files map/20250628180000.json --stations amedastable.json
      zring ingest files data.csv --station-name 旭川=12442 --stations amedastable.json
      zring ingest files logger.csv --collection river --map sensor=id,time=ts --zone Asia/Tokyo
    """
    try:
        decoding = _decoding_context(options)
        domain = _dry_domain(options)
    except (IngestError, ZringError) as error:
        raise _failed(str(error), USAGE) from None
    started_s = time.monotonic()
    outcomes: list[FileOutcome] = []
    stopped: NodeError | None = None
    try:
        with RejectFile(options["rejects"]) as rejects:
            if domain is not None:
                _load_all(options, _loader(options, domain, decoding, rejects, None), outcomes)
            else:
                _load_into_cluster(options, decoding, rejects, outcomes)
    except NodeError as error:
        stopped = error
    except OSError as error:
        raise _failed(f"--rejects {options['rejects']}: {error.strerror}", USAGE) from None
    show_summary(
        outcomes,
        totals(outcomes, started_s),
        as_json=options["as_json"],
        dry_run=options["dry_run"],
        rejects=options["rejects"],
    )
    if stopped is not None:
        raise _failed(
            f"{stopped}; what the summary counts as stored is stored, repeat the command for "
            "the rest (a record that is sent again changes nothing)",
            exit_code_of(stopped),
        )
    context.exit(_exit_code(outcomes))


def _load_into_cluster(
    options: dict[str, Any],
    decoding: Context,
    rejects: RejectFile,
    outcomes: list[FileOutcome],
) -> None:
    with connect(**take_connection(dict(options))) as client:
        domain = client_domain(client)
        level = options["level"]
        with Sender(lambda name, batch: client.write(name, batch, w=level)) as sender:
            _load_all(options, _loader(options, domain, decoding, rejects, sender), outcomes)


def client_domain(client: Client) -> Domain:
    """The domain of the cluster behind a client."""
    west, south, east, north = client.ring()["domain"]
    return Domain.from_degrees(west=west, south=south, east=east, north=north)


def _loader(
    options: dict[str, Any],
    domain: Domain,
    decoding: Context,
    rejects: RejectFile,
    sender: Sender | None,
) -> Loader:
    return Loader(
        domain=domain,
        collection=options["collection"],
        context=decoding,
        rejects=rejects,
        sender=sender,
    )


def _load_all(options: dict[str, Any], loader: Loader, outcomes: list[FileOutcome]) -> None:
    paths = find_files(options["paths"])
    sizes = [path.stat().st_size if path.is_file() else 0 for path in paths]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[records]:,} records"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=max(sum(sizes), 1), records=0)
        before_bytes = before_records = 0
        for path, size in zip(paths, sizes, strict=True):
            bar.update(task, description=path.name[-40:])

            def report(position: int, records: int) -> None:
                bar.update(
                    task,
                    completed=before_bytes + position,  # noqa: B023  (called before they change)
                    records=before_records + records,  # noqa: B023
                )

            outcome = loader.load(path, options["format_name"], report)
            outcomes.append(outcome)
            before_bytes += size
            before_records += outcome.records
            bar.update(task, completed=before_bytes, records=before_records)
        loader.finish()


def _decoding_context(options: dict[str, Any]) -> Context:
    """What the decoders know besides the files.

    Raises:
        IngestError: a mapping or a station table that cannot be read.
    """
    mapping = ColumnMapping()
    if options["mapping_file"] is not None:
        mapping = ColumnMapping.from_toml(_read_text(options["mapping_file"]))
    mapping = mapping.with_flags(
        pairs=options["pairs"],
        constants=options["constants"],
        time_format=options["time_format"],
        zone=options["zone"],
    )
    stations = StationTable.of_square()
    if options["station_file"] is not None:
        stations = read_station_table(options["station_file"].read_bytes())
    names = {
        name: tuple(ids.split("+"))
        for name, ids in parse_pairs("--station-name", options["names"]).items()
    }
    ids = options["station_ids"]
    return Context(
        stations=stations,
        mapping=mapping,
        station_names=names,
        station_ids=tuple(part.strip() for part in ids.split(",")) if ids else (),
        keep_incomplete=not options["drop_incomplete"],
        per_element=options["per_element"],
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise IngestError(f"{path} is not UTF-8") from None


def _dry_domain(options: dict[str, Any]) -> Domain | None:
    if not options["dry_run"]:
        return None
    return Domain.parse(options["domain_text"] or "world")


def _exit_code(outcomes: list[FileOutcome]) -> int:
    failed = [o for o in outcomes if o.error is not None and o.format != STATION_TABLE]
    rejected = any(outcome.rejected for outcome in outcomes)
    if not failed and not rejected:
        return OK
    return PARTIAL if any(outcome.stored for outcome in outcomes) else FAILURE


def _failed(message: str, exit_code: int) -> click.ClickException:
    error = click.ClickException(message)
    error.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance
    return error
