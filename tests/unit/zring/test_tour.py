"""The tour of the package runs as it is written."""

import doctest
from pathlib import Path


def test_the_examples_of_the_tour() -> None:
    page = Path(__file__).parents[3] / "docs" / "space-and-ring.md"
    failed, attempted = doctest.testfile(str(page), module_relative=False)
    assert attempted > 20 and failed == 0
