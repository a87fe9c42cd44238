"""The digits network in Spark: over stored images, and over a stream of them."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

import zring
from bench.charts import FOLDER, draw_lateness
from bench.finding import Finding
from bench.kafka_broker import KafkaBroker
from bench.real_digits import Bytes, real_digits
from bench.server_process import ServerProcess
from bench.session import Session
from node.client import Client

IMAGES = 500_000
CORES = 2
BATCH = 10_000
"""Images that a page of the source holds, and that the bare loop takes at once."""
LOOP_SHARE_BAR = 0.9
RATE = 2_000
STREAM_S = 90
TRIGGER_S = 5
LATE_TRIGGERS_BAR = 3.0
SETTLE_S = 120.0
LOOK_S = 0.25
JVM = Path(__file__).parents[2] / "deploy" / "jvm"
FIRST_US = 1_700_000_000_000_000


def run_stored(session: Session) -> list[Finding]:
    """All stored images, against the same loop over images in memory."""
    from analytics.models.digits import encode_images
    from analytics.models.inference import Inference
    from analytics.models.spark_inference import infer_on_spark
    from analytics.session import open_session

    images, model = _digits(session)
    cluster = session.fresh_cluster(nodes=4, replicas=0)
    session.say(f"{IMAGES:,} images")
    with zring.connect(cluster.url(), timeout_s=300.0) as client:
        for start in range(0, IMAGES, BATCH):
            pixels = images[np.arange(start, start + BATCH) % len(images)]
            client.write("images", _records(start, encode_images(pixels)))
    cluster.wait_merged()
    spark = open_session(
        master=f"local[{CORES}]", name="bench", settings={"spark.log.level": "ERROR"}
    )
    try:
        asked = Inference("images", None, FIRST_US, FIRST_US + IMAGES)
        options = {"url": cluster.url(), "pageRows": str(BATCH), "tasks": str(4 * CORES)}
        spark.range(1).count()
        started = time.perf_counter()
        counted = infer_on_spark(spark, model, asked, options).count()
        ours = IMAGES / (time.perf_counter() - started)
    finally:
        spark.stop()
    assert counted == IMAGES, f"{counted} results of {IMAGES} images"
    loop = _bare_loop(model)
    return [
        Finding(
            "analytics-digits",
            f"{IMAGES:,} stored images of four nodes through the network in Spark, {CORES} tasks",
            round(ours), "images/s", f"≥ {LOOP_SHARE_BAR:.0%} of the loop without Spark",
            ours >= LOOP_SHARE_BAR * loop, better="higher",
            references={"Chainer loop, 2 processes, images in memory": round(loop)},
            compared="Chainer loop, 2 processes, images in memory",
        )
    ]  # fmt: skip


def run_stream(session: Session) -> list[Finding]:
    """Kafka → Spark → Chainer → stored, at a steady rate."""
    images, model = _digits(session)
    folder = Path(tempfile.mkdtemp(prefix="zring-bench-scores-"))
    (folder / "digits.model").write_bytes(model)
    subprocess.run([str(JVM / "fetch.sh"), "spark-kafka"], check=True)
    try:
        cluster = session.fresh_cluster(nodes=4, replicas=2)
        with KafkaBroker("4.2") as broker:
            broker.create("images", kafka_partitions=CORES)
            broker.fill("images", _messages(images, range(CORES * 100)))
            with _job(folder, broker.address, cluster.url()) as job:
                session.say("the job begins")
                warm = CORES * 100
                with zring.connect(cluster.url(), timeout_s=30.0) as client:
                    job.wait_until(lambda: _results(client) >= warm, timeout_s=SETTLE_S)
                    session.say(f"{RATE} images/s for {STREAM_S} s")
                    late = _paced(broker, images, client, warm)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    p95 = float(np.percentile(late, 95))
    bar_s = LATE_TRIGGERS_BAR * TRIGGER_S
    draw_lateness(late, rate=RATE, bar_s=bar_s, path=FOLDER / "scores-stream.svg")
    return [
        Finding(
            "analytics-stream",
            f"Kafka → Spark → Chainer → stored, {RATE:,} images/s for {STREAM_S} s",
            round(p95, 2), "s from sent to stored, p95",
            f"rate held and ≤ {LATE_TRIGGERS_BAR:g} × the trigger interval of {TRIGGER_S} s",
            p95 <= bar_s,
            details={"p50 s": round(float(np.median(late)), 2), "images": len(late)},
        )
    ]  # fmt: skip


def _digits(session: Session) -> tuple[Bytes, bytes]:
    """5,000 real digits, and a model that has seen them twice."""
    from analytics.models.committee import Schedule
    from analytics.models.digits import train_digits

    session.say("a digits model")
    pixels, labels = real_digits()
    saved = train_digits(pixels, labels, schedule=Schedule(epochs=2, batch=128, step=2e-3))
    return pixels, saved.to_bytes()


def _records(start: int, column: pa.Array) -> pa.Table:
    numbers = np.arange(start, start + len(column))
    return pa.table(
        {
            "sensor": pa.array([f"camera-{number}" for number in (numbers % 100).tolist()]),
            "time": pa.array(FIRST_US + numbers).view(pa.timestamp("us", tz="UTC")),
            "lon": pa.array(135.01 + 1.58 * (numbers % 100) / 100),
            "lat": pa.array(33.01 + 1.58 * (numbers * 37 % 100) / 100),
            "image": column,
        }
    )


def _bare_loop(model: bytes) -> float:
    """Images a second of two processes that only run the network."""
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
        list(pool.map(_loop, [model] * CORES, [BATCH] * CORES))  # both are up and warm
        started = time.perf_counter()
        list(pool.map(_loop, [model] * CORES, [IMAGES // CORES] * CORES))
        return IMAGES / (time.perf_counter() - started)


def _loop(model: bytes, count: int) -> None:
    from analytics.models.digits import PIXELS, Digits
    from analytics.models.spark_inference import loaded_once

    task = loaded_once("bench", model)
    assert isinstance(task, Digits)
    pixels = np.random.default_rng(1).integers(0, 256, (BATCH, PIXELS), np.uint8)
    for _ in range(0, count, BATCH):
        task.read(pixels)


def _messages(images: Bytes, numbers: range) -> Iterator[bytes]:
    from base64 import b64encode

    for number in numbers:
        yield orjson.dumps(
            {
                "sensor": f"camera-{number % 100}",
                "time": np.datetime_as_string(np.datetime64(FIRST_US + number, "us")) + "Z",
                "lon": 135.01 + 1.58 * (number % 100) / 100,
                "lat": 33.01 + 1.58 * (number * 37 % 100) / 100,
                "values": {"image;base64": b64encode(images[number % len(images)]).decode()},
            }
        )


def _job(folder: Path, brokers: str, url: str) -> ServerProcess:
    command = [
        str(Path(sys.executable).with_name("zring")), "job", "scores", "--brokers", brokers,
        "--topic", "images", "--checkpoint", str(folder / "state"), "--url", url, "--to", "zring",
        "--model", str(folder / "digits.model"), "--trigger", f"{TRIGGER_S}s",
        "--master", f"local[{CORES}]",
    ]  # fmt: skip
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    return ServerProcess(command, log=folder / "log", environment=environment)


def _results(client: Client) -> int:
    """Results that can be asked for."""
    counts = {entry["id"]: entry["records"] for entry in client.collections()}
    return int(counts.get("images.scores", 0))


def _paced(
    broker: KafkaBroker, images: Bytes, client: Client, warm: int
) -> npt.NDArray[np.float64]:
    """Send at RATE; seconds from sent to stored for each image, in order.

    Sends and looks some times a second: what measures takes from the two cores as well.
    """
    sent_s: list[float] = []
    seen: list[tuple[float, int]] = []
    total = RATE * STREAM_S
    started = time.monotonic()
    while not seen or seen[-1][1] < total:
        now = time.monotonic()
        due = min(int((now - started) * RATE), total)
        if due > len(sent_s):
            broker.fill("images", _messages(images, range(warm + len(sent_s), warm + due)))
            sent_s += [time.monotonic()] * (due - len(sent_s))
        seen.append((time.monotonic(), _results(client) - warm))
        if now - started > STREAM_S + SETTLE_S:
            raise TimeoutError(f"{seen[-1][1]:,} of {total:,} results after a long time")
        time.sleep(LOOK_S)
    times, counts = np.array([at for at, _ in seen]), np.array([count for _, count in seen])
    stored_s = times[np.searchsorted(counts, np.arange(1, total + 1))]
    return stored_s - np.array(sent_s)
