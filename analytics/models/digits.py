"""Digits in images of 28 × 28 grey pixels, which are records: 784 bytes in one value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analytics.models.committee import Committee, Scaling, Schedule, Told, committee_of, train
from analytics.models.errors import DataUnsuited, ModelUnsuited
from analytics.models.network import Architecture, Float32s, framework_named
from analytics.models.saved import SavedModel

NAME = "digits"
VERSION = 2
SIDE = 28
PIXELS = SIDE * SIDE
CLASSES = 10
WIDTHS = (16, 32, 128)
SCHEDULE = Schedule(epochs=16, batch=128, step=2e-3)
CONFIDENCE_DECIMALS = 3
_FIXED = (
    ("sensor", pa.string()),
    ("time", pa.timestamp("us", tz="UTC")),
    ("lon", pa.float64()),
    ("lat", pa.float64()),
)

Bytes = npt.NDArray[np.uint8]


def decode_images(column: pa.ChunkedArray | pa.Array) -> Bytes:
    """uint8[n, 784]: a look at Arrow's own buffer where the column is one piece without nulls.

    Raises:
        DataUnsuited: a value is null, or not of 784 bytes.
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    if pa.types.is_large_binary(whole.type):
        whole = whole.cast(pa.binary())
    if not pa.types.is_binary(whole.type) or whole.null_count:
        raise DataUnsuited(
            f"images are bytes, one of {PIXELS} in every record, not {whole.type} with "
            f"{whole.null_count} nulls"
        )
    if not len(whole):
        return np.empty((0, PIXELS), np.uint8)
    offsets = np.frombuffer(whole.buffers()[1], np.int32)[whole.offset :][: len(whole) + 1]
    lengths = np.diff(offsets)
    if (lengths != PIXELS).any():
        odd = int(np.flatnonzero(lengths != PIXELS)[0])
        raise DataUnsuited(f"image {odd} has {int(lengths[odd])} bytes, not {PIXELS}")
    pixels = np.frombuffer(whole.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
    return pixels.reshape(-1, PIXELS)


def encode_images(images: Bytes) -> pa.Array:
    """uint8[n, 784] as Arrow's binary, without copying a pixel."""
    pixels = np.ascontiguousarray(images, np.uint8).reshape(len(images), PIXELS)
    offsets = np.arange(0, pixels.size + 1, PIXELS, np.int32)
    return pa.BinaryArray.from_buffers(
        pa.binary(), len(pixels), [None, pa.py_buffer(offsets), pa.py_buffer(pixels)]
    )


@dataclass(frozen=True, slots=True)
class Digits:
    """A trained reader of digits; fulfils `tasks.Task`."""

    image: str
    committee: Committee
    digest: str

    history_us = 0
    step_us = 1
    margin_km = 0.0
    into = "digits"

    @classmethod
    def of(cls, saved: SavedModel, digest: str) -> "Digits":
        """The reader in a saved model.

        Raises:
            ModelUnsuited: it is not of this version or form.
        """
        image = saved.settings.get("image")
        if type(image) is not str or len(saved.settings) != 1:
            raise ModelUnsuited(f"settings {dict(saved.settings)!r} are none of a {NAME} model")
        shapes = (saved.architecture.inputs, saved.architecture.outputs)
        if shapes != ((1, SIDE, SIDE), (CLASSES,)):
            raise ModelUnsuited(f"inputs and outputs {shapes} are not those of digits")
        return cls(image, committee_of(saved), digest)

    @property
    def columns(self) -> tuple[str, ...]:
        """Values that are read."""
        return (self.image,)

    def read(self, images: Bytes) -> tuple[npt.NDArray[np.int64], Float32s]:
        """The digit of each image of uint8[n, 784], and how sure the network is: 0 to 1."""
        scores = self.committee.predict(_inputs(images))
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        digit = scores.argmax(axis=1)
        return digit.astype(np.int64), np.take_along_axis(scores, digit[:, None], axis=1)[:, 0]

    def result_schema(self) -> pa.Schema:
        """Columns of results."""
        values = [("digit", pa.int64()), ("confidence", pa.float64()), ("model", pa.string())]
        return pa.schema([*_FIXED, *values])

    def infer(self, records: pa.Table, *, start_us: int, stop_us: int) -> pa.Table:
        """The digit of every record with an image, with its sensor, time and place."""
        if self.image not in records.column_names:
            raise DataUnsuited(f"the records have no value {self.image}")
        with_image = records.filter(records[self.image].is_valid())
        digit, confidence = self.read(decode_images(with_image[self.image]))
        sure = np.round(confidence.astype(np.float64), CONFIDENCE_DECIMALS)
        columns = [
            *(with_image[name].cast(kind) for name, kind in _FIXED),
            pa.array(digit),
            pa.array(sure),
            pa.repeat(self.digest, len(digit)),
        ]
        return pa.table(columns, schema=self.result_schema())


def train_digits(
    images: Bytes,
    labels: npt.NDArray[np.integer[Any]],
    *,
    image: str = "image",
    schedule: Schedule = SCHEDULE,
    widths: tuple[int, ...] = WIDTHS,
    framework: str = "chainer",
    told: Told | None = None,
) -> SavedModel:
    """A reader that has learned uint8[n, 784] and their digits.

    Raises:
        DataUnsuited: a label is no digit, or there are no images.
    """
    if not len(images) or len(images) != len(labels) or labels.min() < 0 or labels.max() > 9:
        raise DataUnsuited(f"{len(images)} images with {len(labels)} labels from 0 to 9 are needed")
    loaded = framework_named(framework)
    architecture = Architecture("convolution", (1, SIDE, SIDE), (CLASSES,), widths, "classes")
    scaling = Scaling(np.zeros(1, np.float32), np.full(1, 255, np.float32))
    committee = train(
        loaded, architecture, _inputs(images), labels.astype(np.int32),
        schedule=schedule, scaling=scaling, told=told,
    )  # fmt: skip
    return SavedModel(
        task=NAME,
        task_version=VERSION,
        framework=framework,
        framework_version=loaded.version(),
        architecture=architecture,
        settings={"image": image},
        data={"images": len(images)},
        figures={},
        arrays=committee.arrays(),
    )


def accuracy(
    model: Digits, images: Bytes, labels: npt.NDArray[np.integer[Any]]
) -> Mapping[str, Any]:
    """Share of the images whose digit is read."""
    return {
        "images": len(images),
        "accuracy": round(float((model.read(images)[0] == labels).mean()), 4),
    }


def _inputs(images: Bytes) -> Float32s:
    return images.reshape(-1, 1, SIDE, SIDE).astype(np.float32)
