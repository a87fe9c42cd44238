"""`zring infer`: a model over stored records; its results are records again."""

from pathlib import Path
from typing import Any

import click
import orjson

from analytics.models.command import AnalyticsCommand
from analytics.models.errors import DataUnsuited
from analytics.models.grid import HOUR_US, times_us
from analytics.models.inference import Inference, infer_at_node
from analytics.models.tasks import Task, load_task
from analytics.source.selection import time_to_text
from node.api.parsing import parse_datetime
from node.cli.exit_codes import PARTIAL, exit_code_of_coverage
from node.cli.options import bbox_option, connect, connection_options, take_connection
from node.cli.tables import print_rows
from node.client import Client
from node.query import COVERAGE_ORDER, CoverageState

SHOWN_ROWS = 20


@click.command(cls=AnalyticsCommand)
@connection_options
@bbox_option
@click.option(
    "--model", "path", required=True, type=click.Path(path_type=Path, dir_okay=False),
    help="File that zring train wrote.",
)  # fmt: skip
@click.option("--collection", default="amedas", show_default=True, help="Where records are read.")
@click.option("--datetime", "datetime_text", help="Instant or interval a/b; default: the newest.")
@click.option("--into", help="Where results go; default: COLLECTION.TASK.")
@click.option("--local", is_flag=True, help="Without Spark, from what the node at --url answers.")
@click.option("--master", default="local[*]", show_default=True, help="Spark: spark://HOST:PORT.")
@click.option("--replace", is_flag=True, help="Correct results that another model has stored.")
@click.option("--dry-run", is_flag=True, help="Show results, store nothing.")
@click.option("--json", "as_json", is_flag=True, help="Summary as JSON.")
@click.pass_context
def infer(context: click.Context, /, path: Path, local: bool, **given: Any) -> None:
    """Apply a model to an area and a time, and store what it says as records.

    With --local the node at --url is asked and nobody else: a district that is cut off still
    gets its forecast. Doing it again changes nothing. Exits with 4 when the records that were
    read may lack some.

    \b
    Examples:
      zring infer --model nowcast.zmodel --bbox 135,33,136.6,34.6 --local
      zring infer --model anomaly.zmodel --datetime 2023-11-01T00:00:00Z/2023-11-30T00:00:00Z
      zring infer --model digits.zmodel --collection images --master spark://driver:7077
    """
    connection = take_connection(given)
    task = load_task(path)
    with (
        connect(**connection) as any_node,
        any_node.beside(any_node.url) if local else any_node as client,
    ):
        asked = _asked(client, task, given)
        into = given["into"] or f"{asked.collection}.{task.into}"
        if local:
            code, summary = _at_node(client, task, asked, into, given, connection)
        else:
            before = _coverage(client, task, asked)
            summary = _on_spark(path, asked, into, given, connection)
            # Spark's tasks judge each page, fail on what lacks records, and log the rest.
            worse = max(before, _coverage(client, task, asked), key=COVERAGE_ORDER.index)
            code, summary = exit_code_of_coverage(worse), {**summary, "coverage": worse}
    summary |= {"model": task.digest, "from": time_to_text(asked.start_us)}
    if given["as_json"]:
        click.echo(orjson.dumps(summary))
    elif not given["dry_run"]:
        click.echo(f"{summary['stored']:,} results in collection {into} ({summary['coverage']})")
    context.exit(code)


def _asked(client: Client, task: Task, given: dict[str, Any]) -> Inference:
    collection, bbox = given["collection"], given["bbox"]
    if given["datetime_text"] is not None:
        start_us, stop_us = parse_datetime("datetime", given["datetime_text"])
        return Inference(collection, bbox, start_us, stop_us)
    newest = client.latest(collection, bbox=bbox, columns=task.columns).table
    if not len(newest):
        raise DataUnsuited(f"{collection} has no records in this area")
    last_us = int(times_us(newest).max())
    # The newest step that has ended: a day that is still going on looks like none.
    start_us = last_us // task.step_us * task.step_us
    if last_us - start_us + HOUR_US < task.step_us:
        # A day that is still going on looks like none.
        start_us -= task.step_us
    return Inference(collection, bbox, start_us, min(start_us + task.step_us, last_us + 1))


def _at_node(
    client: Client,
    task: Task,
    asked: Inference,
    into: str,
    given: dict[str, Any],
    connection: dict[str, Any],
) -> tuple[int, dict[str, Any]]:
    timeout_s = connection["timeout_s"]
    results, coverage = infer_at_node(client, task, asked, timeout_s=timeout_s)
    code = exit_code_of_coverage(coverage.state)
    summary = {"results": len(results), "stored": 0, "coverage": coverage.state}
    if given["dry_run"]:
        if not given["as_json"]:
            print_rows(results.slice(0, SHOWN_ROWS), more=len(results) > SHOWN_ROWS)
        return code, summary
    written = client.write(into, results, replace=given["replace"], timeout_s=timeout_s)
    return (code if not written.rejected_count else PARTIAL), {
        **summary,
        "stored": written.stored,
        "rejected": dict(written.rejected_by_reason),
    }


def _on_spark(
    path: Path, asked: Inference, into: str, given: dict[str, Any], connection: dict[str, Any]
) -> dict[str, Any]:
    from analytics.models.spark_inference import store_results

    stored = store_results(
        path.read_bytes(),
        asked,
        into=None if given["dry_run"] else into,
        master=given["master"],
        replace=given["replace"],
        connection=connection,
    )
    return {"results": stored, "stored": 0 if given["dry_run"] else stored}


def _coverage(client: Client, task: Task, asked: Inference) -> CoverageState:
    """How complete an answer about all that is read would be now."""
    start, stop = map(time_to_text, asked.read_us(task))
    bbox = asked.wide(task)
    found = client.query(asked.collection, bbox=bbox, from_=start, to=stop, limit=1)
    return found.coverage.state
