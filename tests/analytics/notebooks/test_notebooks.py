"""The notebooks run from the first cell to the last, and are kept as they were written."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ingest.demo.nodes import LocalCluster
from node.client import Client
from tests.analytics.notebooks.running import (
    FOLDER,
    kernel_settings,
    outputs,
    pictures,
    run_notebook,
)
from tests.cluster.material import make_places

NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))
CELL_LINES_MAX = 30
PICTURE_BYTES_MAX = 100_000
COMPLAINT = re.compile(r"\w+Warning:|Traceback")


@pytest.fixture(autouse=True)
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of this checkout, with settings of their own."""
    for name, value in kernel_settings(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ZRING_URL", raising=False)


def run_without_complaint(name: str) -> Any:
    notebook = run_notebook(name)
    said = [
        (cell, output.text) for cell, output in outputs(notebook) if output.output_type == "stream"
    ]
    assert not [text for _, text in said if COMPLAINT.search(text)], said
    return notebook


def table_of(notebook: Any, cell: str) -> list[list[str]]:
    """The words of each line of a frame that a cell shows."""
    texts = [out.data["text/plain"] for at, out in outputs(notebook) if at == cell]
    return [line.split() for line in texts[-1].splitlines()]


def test_explore() -> None:
    notebook = run_without_complaint("explore.ipynb")
    assert set(pictures(notebook)) == {"owners", "series", "latest", "cells", "hours"}
    assert len(table_of(notebook, "spark")) == 6  # a heading and five stations


def test_partition() -> None:
    notebook = run_without_complaint("partition.ipynb")
    assert set(pictures(notebook)) == {"map", "heal"}
    words = table_of(notebook, "words")
    assert words[2:] == [
        ["n1", "local", "local", "local", "local"],
        ["n2", "local", "local", "local", "local"],
        ["n3", "local", "local", "local", "local"],
        ["n4", "partial", "local", "local", "local"],
    ]


@pytest.fixture
def wide_cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """Nodes that run already, as those of a reader of the notebook may."""
    flags = ("--domain", "133.8,31.8,137.8,35.8")
    with LocalCluster(make_places(tmp_path / "nodes"), flags=flags) as started:
        yield started


def test_nowcast_at_nodes_that_run_already(
    wide_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZRING_URL", wide_cluster.urls[1])
    notebook = run_without_complaint("nowcast.ipynb")
    assert set(pictures(notebook)) == {"train", "judge-plot", "station", "place"}
    heading, *rows = table_of(notebook, "judge")
    assert [row[:2] for row in rows] == [["+1", "h"], ["+3", "h"], ["+6", "h"]]
    for row in rows[1:]:
        errors = dict(zip(heading, map(float, row[2:]), strict=True))
        assert errors["nowcast"] < 0.9 * min(errors["persistence"], errors["yesterday"]), errors
    with Client(wide_cluster.urls[0]) as client:
        stored = client.query("notebook.nowcast", require="complete").table
    assert len(stored) and len(stored) % 3 == 0


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_is_what_was_written(name: str) -> None:
    notebook = nbformat.read(FOLDER / name, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    identities = [cell.id for cell in notebook.cells]
    assert len(set(identities)) == len(identities)
    for cell in notebook.cells:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cell.id), f"{cell.id}: give it a name that stays"
        assert not cell.metadata, cell.id
        assert cell.source.count("\n") < CELL_LINES_MAX, f"{cell.id}: cut it in two"
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, f"{cell.id}: clear outputs"


def test_pictures_are_small_and_those_of_notebooks() -> None:
    found = sorted(FOLDER.glob("*.png"))
    assert [path.stem for path in found] == [Path(name).stem for name in NAMES]
    for path in found:
        assert path.stat().st_size < PICTURE_BYTES_MAX, path
