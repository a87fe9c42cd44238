"""Runs the notebooks and renews the pictures of docs/notebooks/README.md."""

import os
import tempfile
from pathlib import Path

from tests.analytics.notebooks.running import FOLDER, kernel_settings, pictures, run_notebook

SHOWN = {"explore": "latest", "nowcast": "station", "partition": "heal"}
"""Notebook → id of the cell whose picture is shown."""


def main() -> None:
    """Write one picture for each notebook."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= kernel_settings(Path(folder))
        for name, cell in SHOWN.items():
            picture = pictures(run_notebook(f"{name}.ipynb"))[cell]
            (FOLDER / f"{name}.png").write_bytes(picture)
            print(f"{name}.png: {len(picture):,} bytes")


main()
