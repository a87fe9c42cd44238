"""`zring train`: a model file out of stored records, with figures beside what costs nothing.

Spark reads and prepares, on this machine or on a cluster; without it one node or a file gives the
records, and the same ones give the same model.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
import orjson
import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from analytics.models import anomaly_training, digits, nowcast_training
from analytics.models.anomaly import Anomaly
from analytics.models.command import AnalyticsCommand
from analytics.models.committee import Schedule, Told
from analytics.models.errors import DataUnsuited
from analytics.models.fault_finding import judge_anomaly
from analytics.models.grid import DAY_US, HOUR_US, Grid, grid_of, times_us
from analytics.models.nowcast import Nowcast, NowcastSettings
from analytics.models.nowcast_features import scene_of
from analytics.models.planted_faults import plant_faults
from analytics.models.records import describe_records, records_of_cluster, records_of_file
from analytics.models.saved import SavedModel, model_digest, model_of_bytes
from analytics.models.training_material import Spread, Wanted, arranged, spark_material
from node.api.parsing import parse_datetime, parse_time
from node.cli.options import bbox_option, connect, connection_options, take_connection
from node.cli.query import report_coverage
from node.query import TIME_MAX, TIME_MIN

Command = TypeVar("Command", bound=Callable[..., Any])

JUDGED_MAX = 400_000
"""Forecasts on which a model is judged: the error is then known to a hundredth of itself."""
PLANTED_SHARE = 0.02
JUDGED_IMAGES_SHARE = 0.2


@click.group()
def train() -> None:
    """Teach a model from stored records, and write it to a file."""


def training_options(command: Command) -> Command:
    """What every kind of training is given."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Figures as JSON."),
        click.option(
            "--master", default="local[*]", show_default=True, help="Spark: spark://HOST:PORT."
        ),
        click.option(
            "--local", is_flag=True, help="Without Spark, from what the node at --url answers."
        ),
        click.option("--credit", default="", help="Whose data it is; kept in the file."),
        click.option("--seed", type=int, default=1, show_default=True),
        click.option("--epochs", type=click.IntRange(1, 1_000), help="Times through the examples."),
        click.option(
            "-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False),
            help="The model's file.",
        ),
        click.option(
            "--records", type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Parquet of a query, instead of a cluster and without Spark.",
        ),
        click.option("--datetime", "datetime_text", help="Interval a/b, ends included."),
        click.option("--collection", default="amedas", show_default=True),
    ):  # fmt: skip
        command = option(command)
    return connection_options(bbox_option(command))


@train.command("nowcast", cls=AnalyticsCommand)
@training_options
@click.option("--judge-from", help="Learn what came before, judge by what came after (RFC 3339).")
@click.option(
    "--unseen", type=click.FloatRange(0, 0.9), default=0.15, show_default=True,
    help="Share of the stations of which nothing is learned.",
)  # fmt: skip
@click.option("--temperature", default="temp", show_default=True, help="Name of the value in °C.")
@click.option("--rain", default="precipitation1h", show_default=True, help="And of mm in an hour.")
@click.pass_context
def train_nowcast(
    context: click.Context,
    /,
    judge_from: str | None,
    unseen: float,
    temperature: str,
    rain: str,
    **given: Any,
) -> None:
    """Temperature in 1, 3 and 6 hours, from 24 hours of a station and those around it.

    \b
    Examples:
      zring train nowcast -o nowcast.zmodel --judge-from 2023-10-20T00:00:00+09:00
      zring train nowcast -o nowcast.zmodel --master spark://driver:7077
      zring train nowcast -o nowcast.zmodel --records autumn.parquet --epochs 4 --json
    """
    settings = NowcastSettings(temperature, rain)
    names = (temperature, rain)
    with _material(context, dict.fromkeys(names, pa.float64()), HOUR_US, given) as (
        records,
        spread,
    ):
        grid = grid_of(records, names)
        judged_us = _judged_from(judge_from, grid)
        stations = np.flatnonzero(np.isfinite(grid.values[temperature]).any(axis=1))
        drawn = np.random.default_rng(given["seed"]).permutation(stations)
        away = np.sort(drawn[: round(unseen * len(drawn))])
        with _bar("learning") as told:
            saved = nowcast_training.train_nowcast(
                grid,
                settings=settings,
                stop_us=judged_us,
                unseen=away.tolist(),
                schedule=_schedule(nowcast_training.SCHEDULE, given),
                spread=spread,
                told=told,
            )
        model = Nowcast.of(saved, "")
        scene = scene_of(grid, temperature=temperature, rain=rain)
        hours = range(max(grid.index_of(judged_us), 0), grid.times)
        figures = {}
        for name, chosen in (("seen", np.setdiff1d(stations, away)), ("unseen", away)):
            if len(chosen):
                figures[name] = nowcast_training.judge(
                    model, scene, hours, chosen.tolist(), count_max=JUDGED_MAX,
                    seed=given["seed"], spread=spread,
                )  # fmt: skip
    _write(saved, figures, records, names, given)


@train.command("anomaly", cls=AnalyticsCommand)
@training_options
@click.option("--judge-from", help="Learn what came before, judge by what came after (RFC 3339).")
@click.option("--element", default="temp", show_default=True, help="Name of the value.")
@click.pass_context
def train_anomaly(
    context: click.Context, /, judge_from: str | None, element: str, **given: Any
) -> None:
    """How odd a day of a station is, judged by faults that are planted after the learned time.

    \b
    Examples:
      zring train anomaly -o anomaly.zmodel --judge-from 2023-10-20T00:00:00Z
    """
    records = _records(context, {element: pa.float64()}, HOUR_US, given)
    time = times_us(records)
    start_us, stop_us = int(time.min()) // DAY_US * DAY_US, int(time.max()) + 1
    whole = grid_of(records, (element,), start_us=start_us, stop_us=stop_us)
    judged_us = _judged_from(judge_from, whole) // DAY_US * DAY_US
    history_us = Anomaly.history_us
    with _bar("learning") as told:
        saved = anomaly_training.train_anomaly(
            grid_of(records, (element,), start_us=start_us, stop_us=judged_us),
            element=element,
            schedule=_schedule(anomaly_training.SCHEDULE, given),
            told=told,
        )
    later = grid_of(records, (element,), start_us=judged_us - history_us, stop_us=stop_us)
    planted = plant_faults(later, element, share=PLANTED_SHARE, seed=given["seed"])
    _write(saved, judge_anomaly(Anomaly.of(saved, ""), planted), records, (element,), given)


@train.command("digits", cls=AnalyticsCommand)
@training_options
@click.option("--image", default="image", show_default=True, help="Name of the value: 784 bytes.")
@click.option("--label", default="label", show_default=True, help="Name of the value: 0 to 9.")
@click.pass_context
def train_digits(context: click.Context, /, image: str, label: str, **given: Any) -> None:
    """Digits in images of 28 × 28 pixels; a fifth of them is kept back to judge by.

    \b
    Examples:
      zring train digits -o digits.zmodel --collection images
    """
    records = _records(context, {image: pa.binary(), label: pa.float64()}, 1, given)
    missing = [name for name in (image, label) if records[name].null_count == len(records)]
    if missing:
        raise DataUnsuited(f"the records have no value {missing[0]}")
    records = records.sort_by("sensor")
    images = digits.decode_images(records[image])
    labels = records[label].to_numpy()
    order = np.random.default_rng(given["seed"]).permutation(len(images))
    kept = round(JUDGED_IMAGES_SHARE * len(images))
    with _bar("learning") as told:
        saved = digits.train_digits(
            images[order[kept:]],
            labels[order[kept:]],
            image=image,
            schedule=_schedule(digits.SCHEDULE, given),
            told=told,
        )
    reader = digits.Digits.of(saved, "")
    figures = digits.accuracy(reader, images[order[:kept]], labels[order[:kept]])
    _write(saved, figures, records, (image, label), given)


@contextmanager
def _material(
    context: click.Context, values: Mapping[str, pa.DataType], step_us: int, given: dict[str, Any]
) -> Iterator[tuple[pa.Table, Spread]]:
    """Records as `arranged` gives them, and what does the work of making features."""
    start_us, stop_us = TIME_MIN, TIME_MAX
    if given["datetime_text"] is not None:
        start_us, stop_us = parse_datetime("datetime", given["datetime_text"])
    wanted = Wanted(given["collection"], given["bbox"], start_us, stop_us, values, step_us)
    connection = take_connection(given)
    if given["records"] is None and not given["local"]:
        with spark_material(wanted, master=given["master"], connection=connection) as material:
            _refuse_nothing(material[0], wanted)
            yield material
        return
    if given["records"] is not None:
        records = records_of_file(given["records"])
    else:
        records = _records_of_node(context, wanted, connection)
    records = arranged(records, wanted)
    _refuse_nothing(records, wanted)
    yield records, map


def _records(
    context: click.Context, values: Mapping[str, pa.DataType], step_us: int, given: dict[str, Any]
) -> pa.Table:
    """The records alone, for models whose features are few."""
    with _material(context, values, step_us, given) as (records, _):
        return records


def _records_of_node(
    context: click.Context, wanted: Wanted, connection: dict[str, Any]
) -> pa.Table:
    with connect(**connection) as any_node, any_node.beside(any_node.url) as client:
        records, coverage = records_of_cluster(
            client, wanted.collection, tuple(wanted.values), bbox=wanted.bbox,
            start_us=wanted.start_us, stop_us=wanted.stop_us, timeout_s=connection["timeout_s"],
        )  # fmt: skip
    report_coverage(context, coverage)
    return records


def _refuse_nothing(records: pa.Table, wanted: Wanted) -> None:
    if not len(records):
        raise DataUnsuited(
            f"{wanted.collection} has no records in this area and time"
            + ("" if wanted.step_us == 1 else " at full hours")
        )


def _judged_from(text: str | None, grid: Grid) -> int:
    """When judging begins: as told, else where a fifth of the time is left."""
    if text is not None:
        return parse_time("judge-from", text)
    return grid.start_us + grid.times * 4 // 5 * grid.step_us


def _schedule(usual: Schedule, given: Mapping[str, Any]) -> Schedule:
    epochs = given["epochs"] or usual.epochs
    return replace(usual, epochs=epochs, seed=given["seed"])


@contextmanager
def _bar(title: str) -> Iterator[Told]:
    columns = (
        TextColumn(title), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("loss {task.fields[loss]:.3f}"), TimeRemainingColumn(),
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, loss=0.0)
        yield lambda done, all_of_it, loss: bar.update(
            task, completed=done, total=all_of_it, loss=loss
        )


def _write(
    saved: SavedModel,
    figures: Mapping[str, Any],
    records: pa.Table,
    names: tuple[str, ...],
    given: Mapping[str, Any],
) -> None:
    data = {**describe_records(records, names), **saved.data, "credit": given["credit"]}
    whole = replace(saved, figures=figures, data=data)
    # What is written is what will be read: an unreadable file must not be found out later.
    file = whole.to_bytes()
    model_of_bytes(file)
    output: Path = given["output"]
    try:
        whole.save(output)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from None
    summary = {"output": str(output), "model": model_digest(file), "data": data, "figures": figures}
    if given["as_json"]:
        click.echo(orjson.dumps(summary))
        return
    click.echo(f"{output}: {saved.task} {model_digest(file)}, {len(file):,} bytes")
    for line in orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode().splitlines()[1:-1]:
        click.echo(line.replace('"', ""))
