"""A model file is believed only where it is checked, and nothing in it runs."""

import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from analytics.models.errors import ModelUnreadable, ModelUnsuited
from analytics.models.saved import SavedModel, model_digest, model_of_bytes, read_model
from analytics.models.tasks import load_task, task_of


def repacked(file: bytes, change: Callable[[dict[str, bytes]], None], packing: int = 0) -> bytes:
    """The file with other members."""
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return written.getvalue()


def with_document(file: bytes, **fields: object) -> bytes:
    def change(members: dict[str, bytes]) -> None:
        members["model.json"] = orjson.dumps({**orjson.loads(members["model.json"]), **fields})

    return repacked(file, change)


def test_a_model_comes_back_as_it_was(nowcast_file: SavedModel, tmp_path: Path) -> None:
    path = tmp_path / "nowcast.zmodel"
    nowcast_file.save(path)
    again, digest = read_model(path)
    assert digest == model_digest(nowcast_file.to_bytes())
    assert again.to_bytes() == nowcast_file.to_bytes()
    for name, array in nowcast_file.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])
    rng = np.random.default_rng(0)
    inputs = rng.normal(0, 1, (50, *again.architecture.inputs)).astype(np.float32)
    first, second = (task_of(one, "") for one in (nowcast_file, again))
    np.testing.assert_array_equal(first.changes(inputs), second.changes(inputs))  # type: ignore[attr-defined]


class Trap:
    """Runs something where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path(self.path),))  # type: ignore[return-value]

    def __init__(self, path: Path) -> None:
        self.path = str(path)


def test_a_pickle_in_it_is_refused_and_not_run(nowcast_file: SavedModel, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    name = next(iter(nowcast_file.arrays)) + ".npy"

    def pickled(members: dict[str, bytes]) -> None:
        members[name] = pickle.dumps(Trap(touched))

    def objects(members: dict[str, bytes]) -> None:
        kept = io.BytesIO()
        np.save(kept, np.array([Trap(touched)], object), allow_pickle=True)
        members[name] = kept.getvalue()

    for change in (pickled, objects):
        with pytest.raises(ModelUnreadable, match="array"):
            model_of_bytes(repacked(nowcast_file.to_bytes(), change))
    assert not touched.exists()


def test_damaged_and_foreign_files_are_one_clear_error(
    nowcast_file: SavedModel, tmp_path: Path
) -> None:
    file = nowcast_file.to_bytes()
    large = {**nowcast_file.arrays, "outputs/spread": np.full(3, np.inf, np.float32)}
    cases: list[tuple[bytes, type[Exception], str]] = [
        (b"", ModelUnreadable, "no saved model"),
        (b"not a model", ModelUnreadable, "no saved model"),
        (file[: len(file) // 2], ModelUnreadable, "no saved model"),
        (with_document(file, format=2), ModelUnsuited, "format 2"),
        (with_document(file, code="import os"), ModelUnreadable, "code"),
        (with_document(file, task=7), ModelUnreadable, "task is 7"),
        (with_document(file, shapes={"../../x": [3]}), ModelUnreadable, "other files"),
        (with_document(file, shapes={"a": [-1]}), ModelUnreadable, "no shape"),
        (repacked(file, lambda members: members.pop("model.json")), ModelUnreadable, "missing"),
        (repacked(file, lambda _: None, zipfile.ZIP_DEFLATED), ModelUnreadable, "packed"),
        (replace(nowcast_file, arrays=large).to_bytes(), ModelUnreadable, "not finite"),
    ]
    for content, error, text in cases:
        with pytest.raises(error, match=text):
            model_of_bytes(content)
    rng = np.random.default_rng(3)
    for _ in range(200):
        place = int(rng.integers(0, len(file)))
        damaged = file[:place] + bytes([file[place] ^ 0xFF]) + file[place + 1 :]
        try:
            model_of_bytes(damaged)
        except (ModelUnreadable, ModelUnsuited):
            continue
    with pytest.raises(ModelUnreadable, match="cannot be read"):
        read_model(tmp_path / "nowhere")


def test_a_model_for_something_else_is_refused(nowcast_file: SavedModel, tmp_path: Path) -> None:
    arrays = dict(nowcast_file.arrays)
    first = next(name for name in arrays if name.startswith("member-0"))
    cases = {
        "task 'taxes'": replace(nowcast_file, task="taxes"),
        "version 99": replace(nowcast_file, task_version=99),
        "framework 'abacus'": replace(nowcast_file, framework="abacus"),
        "shape": replace(nowcast_file, arrays={**arrays, first: np.ones((2, 2), np.float32)}),
        "missing or in excess": replace(
            nowcast_file, arrays={name: one for name, one in arrays.items() if name != first}
        ),
        "no network": replace(
            nowcast_file,
            arrays={name: one for name, one in arrays.items() if not name.startswith("member")},
        ),
        "settings": replace(nowcast_file, settings={"leads_h": [1]}),
        "are not": replace(
            nowcast_file, architecture=replace(nowcast_file.architecture, inputs=(7,))
        ),
    }
    for text, saved in cases.items():
        path = tmp_path / "model"
        saved.save(path)
        with pytest.raises(ModelUnsuited, match=text):
            load_task(path)
