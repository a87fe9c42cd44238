"""A node's process has no pandas; every other process keeps it."""

import subprocess
import sys

NODE = """
import sys
import node.cli.serve
from node.cli.absent_pandas import without_pandas
assert "pyarrow" not in sys.modules, "pyarrow was there before"
without_pandas()
import node.cli.node_process
import pyarrow as pa
import pyarrow.compute as pc
assert pa.array([1, 2]).to_numpy().tolist() == [1, 2]
assert pc.max(pa.array([1, None])).as_py() == 1
assert "pandas" not in sys.modules
try:
    import pandas
except ModuleNotFoundError as error:
    assert error.name == "pandas"
else:
    raise AssertionError("pandas was imported")
"""

OTHERS = """
import sys
from node.cli.main import main
import node.cli.serve, node.cli.query, zring
assert not [one for one in sys.meta_path if type(one).__name__ == "AbsentModule"]
"""


def _run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_node_uses_pyarrow_without_pandas() -> None:
    _run(NODE)


def test_other_commands_and_the_client_keep_pandas() -> None:
    _run(OTHERS)
