"""A trained model as one file: numbers and JSON, nothing that could run.

Layout, version 1: a zip archive without compression and with fixed times (`.npz` as NumPy reads
it), so that the same model is the same bytes.

1. `model.json`: UTF-8, at most `DOCUMENT_BYTES_MAX`; the fields of `SavedModel` without arrays,
   the format's version, and the shape of every array.
2. `NAME.npy` for each name in `shapes`, in sorted order: float32, little-endian, C order.

Reading believes nothing: sizes are compared with limits before anything is read, arrays are read
without pickle, shapes are compared with the document, and every number must be finite.
"""

import hashlib
import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from analytics.models.errors import ModelUnreadable, ModelUnsuited
from analytics.models.network import Architecture, Float32s

FORMAT_VERSION = 1
DOCUMENT = "model.json"
FILE_BYTES_MAX = 64 << 20
"""A hundred times the models here; a model travels to every worker of a cluster."""
DOCUMENT_BYTES_MAX = 1 << 20
ARRAYS_MAX = 500
ARRAY_HEADER_BYTES_MAX = 256
"""NumPy writes 128 bytes in front of an array of few dimensions."""
DIMENSIONS_MAX = 8
_ARRAY_MAGIC = b"\x93NUMPY"
_TIME = (1980, 1, 1, 0, 0, 0)
_FIELDS = frozenset(
    ("format", "task", "task_version", "framework", "framework_version", "architecture",
     "settings", "data", "figures", "shapes")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SavedModel:
    """Everything that a trained model is.

    Attributes:
        task: what it does (`nowcast`, `anomaly`, `digits`), and in `task_version` the version of
            the features that it was trained on.
        framework, framework_version: what trained it.
        settings: of the task, as JSON values.
        data: what it was trained on: digest, records, times, credit.
        figures: what was measured when it was trained.
        arrays: weights, and what scales inputs and outputs.
    """

    task: str
    task_version: int
    framework: str
    framework_version: str
    architecture: Architecture
    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    figures: Mapping[str, Any]
    arrays: Mapping[str, Float32s] = field(repr=False)

    def to_bytes(self) -> bytes:
        """The file; the same model gives the same bytes."""
        document = {
            "format": FORMAT_VERSION,
            "task": self.task,
            "task_version": self.task_version,
            "framework": self.framework,
            "framework_version": self.framework_version,
            "architecture": self.architecture,
            "settings": self.settings,
            "data": self.data,
            "figures": self.figures,
            "shapes": {name: array.shape for name, array in self.arrays.items()},
        }
        text = orjson.dumps(document, None, orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(DOCUMENT, _TIME), text)
            for name in sorted(self.arrays):
                member = io.BytesIO()
                np.save(member, np.ascontiguousarray(self.arrays[name], "<f4"), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy", _TIME), member.getvalue())
        return file.getvalue()

    def save(self, path: Path) -> None:
        """Write the file; a reader sees the old one or the new one, never half of it."""
        part = path.with_name(path.name + ".part")
        part.write_bytes(self.to_bytes())
        part.replace(path)

    def weights(self, prefix: str) -> dict[str, Float32s]:
        """The arrays below a prefix, by the rest of their names."""
        return {
            name.removeprefix(prefix): array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }


def model_digest(file: bytes) -> str:
    """What tells one trained model from another: the first 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(file).hexdigest()[:16]


def read_model(path: Path) -> tuple[SavedModel, str]:
    """A model and its digest, from a file.

    Raises:
        ModelUnreadable: there is no such file, it is too large, or it is no model.
        ModelUnsuited: its format or architecture is not known here.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ModelUnreadable(f"{path} is larger than {FILE_BYTES_MAX >> 20} MiB")
        file = path.read_bytes()
    except OSError as error:
        raise ModelUnreadable(f"{path} cannot be read: {error.strerror}") from None
    try:
        return model_of_bytes(file), model_digest(file)
    except (ModelUnreadable, ModelUnsuited) as error:
        raise type(error)(f"{path}: {error}") from None


def model_of_bytes(file: bytes) -> SavedModel:
    """The model in the bytes of a file; raises as `read_model`."""
    if len(file) > FILE_BYTES_MAX:
        raise ModelUnreadable(f"{len(file)} bytes are more than {FILE_BYTES_MAX}")
    try:
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            document = _document(archive)
            arrays = {
                name: _array(archive, name, shape)
                for name, shape in sorted(_shapes(document, archive).items())
            }
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise ModelUnreadable(f"no saved model: {error}") from None
    return SavedModel(
        task=_typed(document, "task", str),
        task_version=_typed(document, "task_version", int),
        framework=_typed(document, "framework", str),
        framework_version=_typed(document, "framework_version", str),
        architecture=_architecture(_typed(document, "architecture", dict)),
        settings=_typed(document, "settings", dict),
        data=_typed(document, "data", dict),
        figures=_typed(document, "figures", dict),
        arrays=arrays,
    )


def _document(archive: zipfile.ZipFile) -> dict[str, Any]:
    content = _member(archive, DOCUMENT, DOCUMENT_BYTES_MAX)
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ModelUnreadable(f"{DOCUMENT} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ModelUnreadable(f"{DOCUMENT} holds no object")
    if document.get("format") != FORMAT_VERSION:
        raise ModelUnsuited(
            f"format {document.get('format')!r} is not {FORMAT_VERSION}; "
            "use the version of zring that wrote it, or train anew"
        )
    odd = sorted(document.keys() ^ _FIELDS)
    if odd:
        raise ModelUnreadable(f"{DOCUMENT}: fields missing or in excess: {', '.join(odd)}")
    return document


def _shapes(document: dict[str, Any], archive: zipfile.ZipFile) -> dict[str, tuple[int, ...]]:
    shapes = _typed(document, "shapes", dict)
    if len(shapes) > ARRAYS_MAX:
        raise ModelUnreadable(f"{len(shapes)} arrays are more than {ARRAYS_MAX}")
    for name, shape in shapes.items():
        sides = shape if isinstance(shape, list) else [None]
        if len(sides) > DIMENSIONS_MAX or not all(type(side) is int and side > 0 for side in sides):
            raise ModelUnreadable(f"array {name} has no shape: {shape!r}")
    members = sorted(info.filename for info in archive.infolist())
    if members != sorted([DOCUMENT, *(f"{name}.npy" for name in shapes)]):
        raise ModelUnreadable(f"the archive holds other files than {DOCUMENT} names")
    return {name: tuple(shape) for name, shape in shapes.items()}


def _array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> Float32s:
    content = _member(archive, f"{name}.npy", 4 * math.prod(shape) + ARRAY_HEADER_BYTES_MAX)
    if not content.startswith(_ARRAY_MAGIC):
        raise ModelUnreadable(f"array {name} is no NumPy file")
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, SyntaxError, TypeError, OverflowError, EOFError, OSError) as error:
        raise ModelUnreadable(f"array {name}: {error}") from None
    if array.dtype != np.dtype("<f4") or array.shape != shape:
        raise ModelUnreadable(f"array {name} is {array.dtype} {array.shape}, not float32 {shape}")
    if not np.isfinite(array).all():
        raise ModelUnreadable(f"array {name} holds numbers that are not finite")
    return np.ascontiguousarray(array)


def _member(archive: zipfile.ZipFile, name: str, bytes_max: int) -> bytes:
    """A file of the archive; never more bytes than its limit are unpacked."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ModelUnreadable(f"no saved model: {name} is missing") from None
    if info.file_size > bytes_max or info.compress_type != zipfile.ZIP_STORED:
        raise ModelUnreadable(f"{name} is packed, or larger than {bytes_max} bytes")
    return archive.read(info)


def _typed(document: Mapping[str, Any], name: str, kind: type) -> Any:
    value = document.get(name)
    if type(value) is not kind:
        raise ModelUnreadable(f"{name} is {value!r}, not of type {kind.__name__}")
    return value


def _architecture(fields: Mapping[str, Any]) -> Architecture:
    if fields.keys() != set(Architecture.__slots__):
        raise ModelUnreadable(f"architecture has fields {', '.join(sorted(fields))}")

    def sides(name: str) -> tuple[int, ...]:
        listed = _typed(fields, name, list)
        if not all(type(side) is int for side in listed):
            raise ModelUnreadable(f"architecture: {name} is {listed!r}, not integers")
        return tuple(listed)

    return Architecture(
        kind=_typed(fields, "kind", str),
        inputs=sides("inputs"),
        outputs=sides("outputs"),
        widths=sides("widths"),
        loss=_typed(fields, "loss", str),
    )
