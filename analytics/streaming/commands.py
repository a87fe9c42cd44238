"""`zring job windows|sessions|anomalies|scores`: streaming jobs from the command line."""

import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson

from analytics.errors import AnalyticsError, BadOption
from analytics.session import open_session
from analytics.source.cluster import ask_ring
from analytics.source.options import Access, connection_to_options
from analytics.streaming.anomalies import anomalies as anomalies_of
from analytics.streaming.input import (
    BATCH_MESSAGES_MAX,
    MEDIA_TYPES,
    KafkaInput,
    check_brokers,
    read_blobs,
    read_elements,
)
from analytics.streaming.metrics import JobMetrics
from analytics.streaming.monitor import Health, Limits, Report, Show, Tell
from analytics.streaming.outputs import (
    CacheOutput,
    ClusterOutput,
    ConsoleOutput,
    Output,
    TopicOutput,
)
from analytics.streaming.running import Job, RunSettings, run, topic_teller
from analytics.streaming.scores import scores, stream_task
from analytics.streaming.windows import WATERMARK_S, Window, session_metrics, window_metrics
from node.api.metrics_server import MetricsServer
from node.cli.exit_codes import FAILURE, USAGE
from node.cli.options import address_options
from node.errors import NodeError
from zring.domain import Domain
from zring.errors import ZringError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Command = TypeVar("Command", bound=Callable[..., Any])
CONNECTOR = Path(__file__).parents[2] / "deploy" / "jvm" / "jars" / "spark-kafka"
TARGETS = ("zring", "kafka", "redis", "console")
UNITS_S = {"s": 1, "m": 60, "h": 3_600}
_DURATION = re.compile(r"([0-9]{1,6})([smh])")


@click.group()
def job() -> None:
    """Compute over a stream: windows, sessions, anomalies, model scores."""


def job_options(command: Command) -> Command:
    """What every job takes: where messages come from, where results go, how it runs."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON line after each batch."),
        click.option("--once", is_flag=True, help="Process what is there, then end."),
        click.option("--connector", type=click.Path(path_type=Path), default=CONNECTOR,
                     help="Folder of Spark's Kafka connector (deploy/jvm/fetch.sh spark-kafka)."),
        click.option("--master", default="local[*]", show_default=True,
                     help="Of Spark: local[*], or spark://HOST:PORT."),
        click.option("--lag-max", type=click.IntRange(0), default=Limits().lag_messages_max,
                     show_default=True, help="More messages waiting is an alert."),
        click.option("--batch-max", type=click.IntRange(1), default=BATCH_MESSAGES_MAX,
                     show_default=True, help="Messages of one batch; more of them wait."),
        click.option("--metrics-listen", help="HOST:PORT of Prometheus metrics at /metrics."),
        click.option("--alerts-topic", help="Topic for alerts (not keeping up; anomalies)."),
        click.option("--trigger", default="5s", show_default=True, help="From batch to batch."),
        click.option("--checkpoint", type=click.Path(file_okay=False, path_type=Path),
                     required=True, help="Folder of offsets and state; keep it."),
        click.option("--redis", "redis_url", help="redis://HOST:PORT/0, for --to redis."),
        click.option("--to-topic", help="For --to kafka."),
        click.option("--collection", help="For --to zring; default: TOPIC.JOB."),
        click.option("--to", "targets", multiple=True, type=click.Choice(TARGETS),
                     default=("console",), show_default=True, help="May be repeated."),
        click.option("--watermark", default=f"{WATERMARK_S}s", show_default=True,
                     help="How late a record may be."),
        click.option("--domain", "domain_text",
                     help="west,south,east,north or world; default: the cluster's."),
        click.option("--from-start/--from-now", "from_start", default=True, show_default=True,
                     help="Where a job without a checkpoint begins."),
        click.option("--format", "format_name", type=click.Choice(list(MEDIA_TYPES)),
                     default="json", show_default=True, help="Of the messages."),
        click.option("--topic", "topics", multiple=True, required=True, help="May be repeated."),
        click.option("--brokers", required=True, help="HOST:PORT,… of Kafka."),
    ):  # fmt: skip
        command = option(command)
    return address_options(command)


@job.command()
@job_options
@click.option("--window", "windows", multiple=True, default=("1m", "2m"), show_default=True,
              help="LENGTH, or LENGTH/SLIDE for overlapping ones; may be repeated.")  # fmt: skip
@click.option("--level", type=click.IntRange(0, 16), default=3, show_default=True,
              help="Of the cells that are the areas: 4^LEVEL in the domain.")  # fmt: skip
def windows(windows: tuple[str, ...], level: int, **given: Any) -> None:
    """Metrics of each area and element in windows of time.

    \b
    Examples:
      zring job windows --brokers 127.0.0.1:9092 --topic amedas --checkpoint state --to console
      zring job windows --brokers … --topic amedas --checkpoint state --window 10m/1m --to zring
    """

    def jobs(plan: "_Plan", session: "SparkSession") -> list[Job]:
        made = []
        for text in windows:
            length, _, slide = text.partition("/")
            window = Window(_seconds("window", length), _seconds("window", slide) if slide else 0)

            def build(window: Window = window) -> "DataFrame":
                elements = read_elements(session, plan.source)
                return window_metrics(
                    elements, window, domain=plan.source.domain, level=level,
                    watermark_s=plan.watermark_s,
                )  # fmt: skip

            name = f"windows-{window.name}"
            made.append(Job(name, build, plan.outputs(name)))
        return made

    _run(given, "windows", jobs)


@job.command()
@job_options
@click.option("--gap", default="5m", show_default=True, help="A longer pause ends a session.")
def sessions(gap: str, **given: Any) -> None:
    """How long each sensor reported without a pause, and what.

    \b
    Example:
      zring job sessions --brokers 127.0.0.1:9092 --topic cars --checkpoint state --gap 2m
    """

    def jobs(plan: "_Plan", session: "SparkSession") -> list[Job]:
        window = Window(_seconds("gap", gap), kind="session")

        def build() -> "DataFrame":
            elements = read_elements(session, plan.source)
            return session_metrics(elements, window, watermark_s=plan.watermark_s)

        return [Job("sessions", build, plan.outputs("sessions"))]

    _run(given, "sessions", jobs)


@job.command()
@job_options
@click.option("--limit", type=click.FloatRange(min=0.0, min_open=True), default=6.0,
              show_default=True, help="Deviations from the running mean.")  # fmt: skip
def anomalies(limit: float, **given: Any) -> None:
    """Values that do not fit what their sensor reported before; each is an alert as well.

    \b
    Example:
      zring job anomalies --brokers 127.0.0.1:9092 --topic amedas --checkpoint state \\
          --to zring --alerts-topic alerts
    """

    def jobs(plan: "_Plan", session: "SparkSession") -> list[Job]:
        def build() -> "DataFrame":
            elements = read_elements(session, plan.source)
            return anomalies_of(elements, limit=limit, watermark_s=plan.watermark_s)

        outputs = [*plan.outputs("anomalies"), *plan.alert_outputs()]
        return [Job("anomalies", build, outputs)]

    _run(given, "anomalies", jobs)


@job.command("scores")
@job_options
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              required=True, help="File of `zring train`.")  # fmt: skip
def score_records(model: Path, **given: Any) -> None:
    """A trained model over each record: digits in images.

    \b
    Example:
      zring job scores --brokers 127.0.0.1:9092 --topic images --checkpoint state \\
          --model digits.model --to zring
    """
    content = model.read_bytes()

    def jobs(plan: "_Plan", session: "SparkSession") -> list[Job]:
        value = stream_task(content).columns[0]

        def build() -> "DataFrame":
            return scores(session, read_blobs(session, plan.source, value), content)

        return [Job("scores", build, plan.outputs("scores"))]

    _run(given, "scores", jobs, check=lambda: stream_task(content))


class _Plan:
    """The shared options, read and checked."""

    def __init__(self, given: dict[str, Any], name: str) -> None:
        self._given = given
        check_brokers(given["brokers"])
        self._connection = {
            name: given[name] for name in ("url", "token", "tls_ca", "tls_cert", "tls_key")
        }
        self._collection = given["collection"] or f"{given['topics'][0]}.{name}"
        self.watermark_s = _seconds("watermark", given["watermark"], least=0)
        self.source = KafkaInput(
            brokers=given["brokers"],
            topics=given["topics"],
            format=given["format_name"],
            domain=self._domain(),
            starting="earliest" if given["from_start"] else "latest",
            batch_messages_max=given["batch_max"],
        )
        if "kafka" in given["targets"] and not given["to_topic"]:
            raise BadOption("--to kafka needs --to-topic NAME")
        if "redis" in given["targets"] and not given["redis_url"]:
            raise BadOption("--to redis needs --redis redis://HOST:PORT/0")
        self.settings = RunSettings(
            checkpoint=given["checkpoint"],
            trigger_s=_seconds("trigger", given["trigger"]),
            once=given["once"],
            limits=Limits(lag_messages_max=given["lag_max"]),
        )

    def outputs(self, name: str) -> list[Output]:
        """Where the results of one query go."""
        made: dict[str, Callable[[], Output]] = {
            "zring": lambda: ClusterOutput(self._cluster_options()),
            "kafka": lambda: TopicOutput(self.source.brokers, self._given["to_topic"]),
            "redis": lambda: CacheOutput(self._given["redis_url"], self._collection),
            "console": lambda: ConsoleOutput(name),
        }
        return [made[target]() for target in self._given["targets"]]

    def alert_outputs(self) -> list[Output]:
        """Where results go that are alerts."""
        topic = self._given["alerts_topic"]
        return [TopicOutput(self.source.brokers, topic)] if topic else []

    def _cluster_options(self) -> dict[str, str]:
        return {**connection_to_options(self._connection), "collection": self._collection}

    def _domain(self) -> Domain:
        if self._given["domain_text"]:
            return Domain.parse(self._given["domain_text"])
        url, *rest = self._connection.values()
        return ask_ring(Access((url,), *rest)).view.domain


def _run(
    given: dict[str, Any],
    name: str,
    make: "Callable[[_Plan, SparkSession], Sequence[Job]]",
    *,
    check: Callable[[], object] = bool,
) -> None:
    """Run jobs until the user ends them; `check` comes before Spark is started."""
    stop = threading.Event()
    try:
        check()
        plan = _Plan(given, name)
        jars = sorted(given["connector"].glob("*.jar"))
        session = open_session(
            master=given["master"],
            name=f"zring {name}",
            jars=jars or [given["connector"] / "spark-sql-kafka-0-10_2.13-4.2.0.jar"],
            settings={"spark.sql.shuffle.partitions": "4"},
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        tell: Tell = _say
        if given["alerts_topic"]:
            tell = topic_teller(session, plan.source.brokers, given["alerts_topic"])
        with _shown(given) as show:
            run(session, make(plan, session), plan.settings, stop=stop, show=show, tell=tell)
    except (AnalyticsError, NodeError, ZringError) as error:
        failure = click.ClickException(str(error))
        failure.exit_code = USAGE if isinstance(error, BadOption) else FAILURE  # type: ignore[misc]
        raise failure from None


@contextmanager
def _shown(given: dict[str, Any]) -> Iterator[Show]:
    """Where every batch is shown: a line, and the metrics where they are asked for."""
    line = _show_json if given["as_json"] else _show
    if given["metrics_listen"] is None:
        yield line
        return
    metrics = JobMetrics()
    server = MetricsServer(given["metrics_listen"], metrics.text)
    click.echo(f"metrics on port {server.port}", err=True)

    def show(report: Report) -> None:
        metrics.take(report)
        line(report)

    try:
        yield show
    finally:
        server.close()


def _show(report: Report) -> None:
    health = report.health
    click.echo(
        f"{report.job} {health.batch}: {health.rows:,} rows, {health.input_rate:,.0f}/s arrive, "
        f"{health.processing_rate:,.0f}/s processed, {health.lag_messages:,} messages wait, "
        f"{health.batch_ms:,} ms",
        err=True,
    )


def _show_json(report: Report) -> None:
    line = {name: getattr(report.health, name) for name in Health.__slots__}
    click.echo(orjson.dumps({"job": report.job, **line, "raised": report.raised}).decode())


def _say(alert: dict[str, Any]) -> None:
    click.echo(f"alert: {alert['rule']} {alert['state']}: {alert['text']}", err=True)


def _seconds(name: str, text: str, *, least: int = 1) -> int:
    match = _DURATION.fullmatch(text)
    seconds = -1 if match is None else int(match[1]) * UNITS_S[match[2]]
    if seconds < least:
        raise BadOption(f"--{name} {text} is no time from {least}s on; write 10s, 5m or 1h")
    return seconds
