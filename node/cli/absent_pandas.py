"""Pandas kept out of the process of a node.

pyarrow imports pandas, where it is installed, with the first array that it makes: 0.5 s and
40 MB that a node, which never makes a data frame, would pay at every start.
"""

import sys
from collections.abc import Sequence
from types import ModuleType

NAME = "pandas"


class AbsentModule:
    """A finder for `sys.meta_path` by which one module counts as not installed.

    `sys.modules["pandas"] = None` would say the same, but pyarrow takes what it finds there for
    the module and fails.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Asked before all other finders; None leaves the module to them.

        Raises:
            ModuleNotFoundError: it is the absent module.
        """
        if fullname == self._name:
            raise ModuleNotFoundError(f"{fullname} is not for this process", name=fullname)


def without_pandas() -> None:
    """Let `import pandas` fail from now on, in this process; for the start of a node."""
    sys.meta_path.insert(0, AbsentModule(NAME))
