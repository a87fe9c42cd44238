"""`pytest tests/golden --rewrite-golden` writes the scripts anew; review the difference."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-golden", action="store_true", help="write what the rules say into the scripts"
    )
