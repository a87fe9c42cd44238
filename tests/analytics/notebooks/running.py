"""Runs a notebook in a kernel of this interpreter, as whoever opens it does."""

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.tidy.tree import ROOT

FOLDER = ROOT / "docs" / "notebooks"
CELL_TIMEOUT_S = 400
"""Of one cell: nodes, Spark and a partition take their time on a busy machine."""


def kernel_settings(folder: Path) -> Mapping[str, str]:
    """Variables by which a kernel finds this checkout, and nothing of whoever runs it."""
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "JUPYTER_PLATFORM_DIRS": "1",
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
    }


def run_notebook(name: str) -> Any:
    """The notebook with its outputs; a cell that raises is an error."""
    notebook = nbformat.read(FOLDER / name, as_version=4)
    where = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=CELL_TIMEOUT_S, resources=where).execute()
    return notebook


def outputs(notebook: Any) -> Iterator[tuple[str, Any]]:
    """Id of its cell, and the output."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            yield cell.id, output


def pictures(notebook: Any) -> Mapping[str, bytes]:
    """Id of the cell → PNG."""
    return {
        cell: base64.b64decode(output.data["image/png"])
        for cell, output in outputs(notebook)
        if "image/png" in output.get("data", ())
    }
