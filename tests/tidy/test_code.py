"""House style that ruff does not know: sizes, names, sleeps, broad handlers, docstrings."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.tidy.tree import PACKAGES, assert_none, package_trees, texts, trees

LINES_MAX = 500
STATEMENT_LINES_MAX = 70
"""Lines of one function of the packages, behind its docstring."""
MATERIAL_LINES_MAX = 80
"""The same in tests and benchmarks, where a function may be one long table of material."""
ESSAY_WORDS_MIN = 25
NAMES_FORBIDDEN = frozenset(("utils", "util", "helpers", "helper", "common", "misc", "manager"))
MAY_SLEEP = (
    *("tests/cluster/", "tests/recovery/", "tests/streams/waiting.py"),
    *("tests/sim/", "tests/unit/node/service/"),
)
"""Real processes take real time; on the virtual loop of the other two sleeping takes none."""
FOR_EVER_S = 3_600
"""A sleep that long stands for a peer that never answers; no sleep at all only yields."""
MAY_CATCH_EVERYTHING = {
    "node/api/edge.py": 1,  # the outermost loop of the client door: every request gets an answer
    "node/peer/http.py": 1,  # the same of the peer door: a hostile message stops nothing
    "bench/__main__.py": 1,  # one broken figure must not cost the others
    "bench/fleet.py": 1,  # a process that reports to its parent, which raises it again
    "tests/cluster/test_random_queries.py": 1,  # a thread that reports to its test
}
NOT_RUN = frozenset(("skip", "skipif", "xfail", "importorskip"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """All functions and methods of a file."""
    for entry in ast.walk(tree):
        if isinstance(entry, Function):
            yield entry


def test_no_file_is_long() -> None:
    lengths = {path: text.count("\n") for path, text in texts().items() if path in trees()}
    assert_none(f"{path}: {length}" for path, length in lengths.items() if length > LINES_MAX)


def test_no_function_is_long() -> None:
    long = []
    for path, tree in trees().items():
        in_package = path.split("/")[0] in PACKAGES
        lines_max = STATEMENT_LINES_MAX if in_package else MATERIAL_LINES_MAX
        for function in functions(tree):
            body = function.body[1:] if ast.get_docstring(function) else function.body
            if not body:
                continue
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
            if lines > lines_max:
                long.append(f"{path}:{function.lineno} {function.name}: {lines}")
    assert_none(long)


def test_modules_are_named_by_what_they_hold() -> None:
    parts = {part for path in trees() for part in PurePosixPath(path).with_suffix("").parts}
    assert_none(parts & NAMES_FORBIDDEN)


def test_every_test_runs() -> None:
    found = [
        f"{path}:{entry.lineno}"
        for path, tree in trees().items()
        if path.startswith("tests/")
        for entry in ast.walk(tree)
        if isinstance(entry, ast.Attribute) and entry.attr in NOT_RUN
    ]
    assert_none(found, "install what a test needs in deploy/local instead")


def test_tests_wait_for_conditions_and_never_for_time() -> None:
    found = [
        f"{path}:{entry.lineno}"
        for path, tree in trees().items()
        if path.startswith("tests/") and not path.startswith(MAY_SLEEP)
        for entry in ast.walk(tree)
        if isinstance(entry, ast.Call)
        and isinstance(entry.func, ast.Attribute)
        and entry.func.attr == "sleep"
        and isinstance(entry.func.value, ast.Name)
        and entry.func.value.id in ("time", "asyncio")
        and not (isinstance(entry.args[0], ast.Constant) and entry.args[0].value in (0, FOR_EVER_S))
    ]
    assert_none(found)


def test_only_the_outermost_loops_catch_everything() -> None:
    counts: dict[str, int] = {}
    for path, tree in trees().items():
        for entry in ast.walk(tree):
            if isinstance(entry, ast.ExceptHandler) and _catches_everything(entry):
                counts[path] = counts.get(path, 0) + 1
    assert_none((p, n) for p, n in counts.items() if n > MAY_CATCH_EVERYTHING.get(p, 0))


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    if any(isinstance(entry, ast.Raise) and entry.exc is None for entry in ast.walk(handler)):
        return False  # tidies up and passes it on
    if handler.type is None:
        return True
    names = {entry.id for entry in ast.walk(handler.type) if isinstance(entry, ast.Name)}
    return bool(names & {"Exception", "BaseException"})


def test_pure_layers_never_use_the_builtin_hash() -> None:
    """Its result differs from process to process."""
    found = [
        f"{path}:{entry.lineno}"
        for path, tree in package_trees()
        if path.startswith(("zring/", "node/protocol/"))
        for entry in ast.walk(tree)
        if isinstance(entry, ast.Call)
        and isinstance(entry.func, ast.Name)
        and entry.func.id == "hash"
    ]
    assert_none(found)


def test_every_package_begins_with_an_essay() -> None:
    short = []
    for path, tree in package_trees():
        if path.endswith("/__init__.py"):
            words = len((ast.get_docstring(tree) or "").split())
            if words < ESSAY_WORDS_MIN:
                short.append(f"{path}: {words} words")
    assert_none(short)


def test_every_module_says_what_it_is() -> None:
    assert_none(path for path, tree in trees().items() if not ast.get_docstring(tree))


def test_everything_public_is_documented() -> None:
    """A method may leave it to its base class, or to the Protocol that it fulfils."""
    documented = {
        function.name
        for _, tree in package_trees()
        for function in functions(tree)
        if ast.get_docstring(function)
    }
    missing = [
        f"{path}:{entry.lineno} {entry.name}"
        for path, tree in package_trees()
        for entry, owner in _public(tree)
        if not ast.get_docstring(entry)
        and not (owner is not None and (owner.bases or entry.name in documented))
    ]
    assert_none(missing)


def _public(tree: ast.Module) -> Iterator[tuple[Function | ast.ClassDef, ast.ClassDef | None]]:
    for entry in tree.body:
        if not isinstance(entry, Function | ast.ClassDef) or entry.name.startswith("_"):
            continue
        if isinstance(entry, ast.ClassDef):
            yield entry, None
            for method in entry.body:
                if isinstance(method, Function) and not method.name.startswith("_"):
                    yield method, entry
        elif not any(_name(mark) == "overload" for mark in entry.decorator_list):
            yield entry, None


def _name(mark: ast.expr) -> str:
    return mark.id if isinstance(mark, ast.Name) else ""


def test_nothing_is_left_unfinished() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "X" * 3, "place" + "holder", "for" + " now")
    pattern = re.compile(
        "|".join((*(rf"\b{word}\b" for word in words), r"\bNotImplemented" + "Error"))
    )
    found = [
        f"{path}: {match.group()}"
        for path, text in texts().items()
        if path.endswith((".py", ".md", ".sh", ".js"))
        for match in pattern.finditer(text)
    ]
    assert_none(found)


def test_packages_are_what_is_installed() -> None:
    tops = {path.split("/")[0] for path, _ in package_trees()}
    assert tops == set(PACKAGES)
