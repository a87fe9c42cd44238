"""Filters on values: CQL2 text in, a mask over columns out.

The text is parsed by the cql2 library into CQL2 JSON; what is evaluated here is the part of
CQL2 that makes sense for sensor records: comparisons, `and`, `or`, `not`, `between`, `in`,
`like`, `is null` and arithmetic, over values and the fixed names `sensor`, `time`, `lon`, `lat`.

Rules: a name that a record does not have is null; a comparison with null is neither true nor
false (three-valued logic), and a row is kept only where the whole filter is true. Values of
different kinds (a text and a number) compare as null, because types may change from record to
record and one odd record must not fail a query.
"""

from collections.abc import Callable, Mapping
from typing import Any

import cql2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from node.errors import BadRequest
from node.records import JSON, Rows
from zring.domain import E7_PER_DEGREE

Bools = npt.NDArray[np.bool_]

FILTER_BYTES_MAX = 10_000
"""Text of one filter; longer ones are lists that belong into `sensor=`."""
FILTER_DEPTH_MAX = 50
"""Nested operators; keeps evaluation far from the recursion limit."""

_TIME = pa.timestamp("us", tz="UTC")


def parse_filter(text: str) -> Mapping[str, Any]:
    """Read CQL2 text and check that it can be evaluated.

    Returns:
        CQL2 JSON, which nodes hand to each other.
    Raises:
        BadRequest: it is no CQL2, or uses what this program does not evaluate.
    """
    if len(text.encode()) > FILTER_BYTES_MAX:
        raise BadRequest(
            f"filter of {len(text.encode())} bytes is longer than {FILTER_BYTES_MAX}; shorten it",
            field="filter",
        )
    if text.count("(") > 4 * FILTER_DEPTH_MAX:
        raise BadRequest("filter has too many parentheses; shorten it", field="filter")
    try:
        expression = cql2.parse_text(text).to_json()
    except (cql2.ParseError, cql2.ValidationError, ValueError) as error:
        words = str(error).strip().splitlines()
        raise BadRequest(
            f"filter is no CQL2 text: {' '.join(words)[:300] or 'it is empty'}", field="filter"
        ) from None
    check_filter(expression)
    return expression


def check_filter(expression: Any) -> None:
    """Refuse CQL2 JSON that `filter_mask` does not evaluate.

    Raises:
        BadRequest: names the operator.
    """
    if not isinstance(expression, dict) or "op" not in expression:
        raise BadRequest(
            "filter is no condition; write for example temp > 30 AND sensor = 'A'", field="filter"
        )
    _check(expression, 0)


def filter_names(expression: Any) -> frozenset[str]:
    """Names of values and fixed fields that a filter looks at."""
    if isinstance(expression, Mapping):
        if "property" in expression:
            return frozenset((expression["property"],))
        return filter_names(list(expression.values()))
    if isinstance(expression, list):
        return frozenset[str]().union(*(filter_names(part) for part in expression))
    return frozenset()


def filter_mask(rows: Rows, expression: Mapping[str, Any]) -> Bools:
    """bool[n]: rows for which a checked filter is true. Cost: one pass a condition."""
    mask = _evaluate(expression, rows)
    if isinstance(mask, pa.Scalar):
        return np.full(len(rows), mask.as_py() is True)
    if not pa.types.is_boolean(mask.type):
        return np.zeros(len(rows), np.bool_)
    result: Bools = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return result


def _check(part: Any, depth: int) -> None:
    if depth > FILTER_DEPTH_MAX:
        raise BadRequest(
            f"filter nests more than {FILTER_DEPTH_MAX} operators; simplify it", field="filter"
        )
    if isinstance(part, list):
        for element in part:
            _check(element, depth + 1)
    elif isinstance(part, dict) and "op" in part:
        operator, arguments = part["op"], part.get("args")
        if operator not in _OPERATORS or not isinstance(arguments, list):
            raise BadRequest(
                f"filter uses {operator!r}; what can be used is {', '.join(sorted(_OPERATORS))}",
                field="filter",
            )
        least, most = _OPERATORS[operator][0]
        if not least <= len(arguments) <= most:
            raise BadRequest(f"filter gives {operator!r} too few or many arguments", field="filter")
        if operator == "in" and not isinstance(arguments[1], list):
            raise BadRequest("filter has `in` without a list in parentheses", field="filter")
        if operator == "like" and not isinstance(arguments[1], str):
            raise BadRequest("filter has `like` without a text pattern", field="filter")
        _check(arguments, depth + 1)
    elif isinstance(part, dict):
        _check_leaf(part)
    elif not isinstance(part, str | int | float | bool | None):
        raise BadRequest(f"filter holds {part!r}, which is no value", field="filter")


def _check_leaf(part: dict[str, Any]) -> None:
    for kind in ("timestamp", "date"):
        if kind in part:
            try:
                _timestamp(part[kind])
            except (pa.ArrowException, TypeError):
                raise BadRequest(
                    f"filter has {kind} {part[kind]!r}; write 2023-07-13T05:00:00Z", field="filter"
                ) from None
            return
    if not isinstance(part.get("property"), str):
        raise BadRequest(f"filter holds {part!r}, which is no value or name", field="filter")


def _timestamp(text: str) -> pa.Scalar:
    written = text if "T" in text or " " in text else f"{text}T00:00:00Z"
    return pa.scalar(written, pa.string()).cast(_TIME)


def _evaluate(part: Any, rows: Rows) -> Any:
    """An Arrow array or scalar; a null scalar where kinds do not fit."""
    if isinstance(part, Mapping):
        if "op" in part:
            _, evaluate = _OPERATORS[part["op"]]
            return evaluate(part["args"], rows)
        if "property" in part:
            return _column(part["property"], rows)
        return _timestamp(part["timestamp"] if "timestamp" in part else part["date"])
    return pa.scalar(part)


def _column(name: str, rows: Rows) -> Any:
    if name == "sensor":
        return rows.sensor
    if name == "time":
        return pa.array(rows.time).view(_TIME)
    if name in ("lon", "lat"):
        return pa.array(getattr(rows, name) / E7_PER_DEGREE)
    column = rows.values.get(name)
    if column is None:
        return pa.scalar(None, pa.null())
    return column.storage if column.type == JSON else column


def _kind(value: Any) -> str:
    kind = value.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    return "text" if pa.types.is_string(kind) else str(kind)


_UNKNOWN = pa.scalar(None, pa.bool_())


def _compared(compute: Callable[[Any, Any], Any]) -> Callable[[list[Any], Rows], Any]:
    def evaluate(arguments: list[Any], rows: Rows) -> Any:
        left, right = (_evaluate(argument, rows) for argument in arguments)
        return compute(left, right) if _kind(left) == _kind(right) else _UNKNOWN

    return evaluate


def _arithmetic(compute: Callable[[Any, Any], Any]) -> Callable[[list[Any], Rows], Any]:
    def evaluate(arguments: list[Any], rows: Rows) -> Any:
        left, right = (_evaluate(argument, rows) for argument in arguments)
        if not _kind(left) == _kind(right) == "number":
            return pa.scalar(None, pa.float64())
        return compute(pc.cast(left, pa.float64()), pc.cast(right, pa.float64()))

    return evaluate


def _logical(combine: Callable[[Any, Any], Any]) -> Callable[[list[Any], Rows], Any]:
    def evaluate(arguments: list[Any], rows: Rows) -> Any:
        result = _boolean(_evaluate(arguments[0], rows))
        for argument in arguments[1:]:
            result = combine(result, _boolean(_evaluate(argument, rows)))
        return result

    return evaluate


def _boolean(value: Any) -> Any:
    return value if pa.types.is_boolean(value.type) else _UNKNOWN


def _not(arguments: list[Any], rows: Rows) -> Any:
    return pc.invert(_boolean(_evaluate(arguments[0], rows)))


def _between(arguments: list[Any], rows: Rows) -> Any:
    value, low, high = arguments
    return pc.and_kleene(
        _OPERATORS[">="][1]([value, low], rows), _OPERATORS["<="][1]([value, high], rows)
    )


def _in(arguments: list[Any], rows: Rows) -> Any:
    value = _evaluate(arguments[0], rows)
    choices = [_evaluate(choice, rows) for choice in arguments[1]]
    fitting = [choice for choice in choices if _kind(choice) == _kind(value)]
    if not fitting or isinstance(value, pa.Scalar):
        result = pa.scalar(False) if value.type != pa.null() else _UNKNOWN
        for choice in fitting:
            result = pc.or_kleene(result, pc.equal(value, choice))
        return result
    if any(isinstance(choice, pa.Array | pa.ChunkedArray) for choice in fitting):
        result = pc.equal(value, fitting[0])
        for choice in fitting[1:]:
            result = pc.or_kleene(result, pc.equal(value, choice))
        return result
    # Numbers are compared as floats: 27 and 27.0 are the same, and 2.5 is in no integer column.
    kind = pa.float64() if _kind(value) == "number" else value.type
    found = pc.is_in(
        pc.cast(value, kind), value_set=pa.array([choice.as_py() for choice in fitting], kind)
    )
    return pc.if_else(pc.is_valid(value), found, _UNKNOWN)


def _like(arguments: list[Any], rows: Rows) -> Any:
    value = _evaluate(arguments[0], rows)
    return pc.match_like(value, arguments[1]) if _kind(value) == "text" else _UNKNOWN


def _is_null(arguments: list[Any], rows: Rows) -> Any:
    return pc.is_null(_evaluate(arguments[0], rows))


_Evaluate = Callable[[list[Any], Rows], Any]
_OPERATORS: Mapping[str, tuple[tuple[int, int], _Evaluate]] = {
    "=": ((2, 2), _compared(pc.equal)),
    "<>": ((2, 2), _compared(pc.not_equal)),
    "<": ((2, 2), _compared(pc.less)),
    "<=": ((2, 2), _compared(pc.less_equal)),
    ">": ((2, 2), _compared(pc.greater)),
    ">=": ((2, 2), _compared(pc.greater_equal)),
    "and": ((1, 1_000), _logical(pc.and_kleene)),
    "or": ((1, 1_000), _logical(pc.or_kleene)),
    "not": ((1, 1), _not),
    "between": ((3, 3), _between),
    "in": ((2, 2), _in),
    "like": ((2, 2), _like),
    "isNull": ((1, 1), _is_null),
    "+": ((2, 2), _arithmetic(pc.add)),
    "-": ((2, 2), _arithmetic(pc.subtract)),
    "*": ((2, 2), _arithmetic(pc.multiply)),
    "/": ((2, 2), _arithmetic(pc.divide)),
}
"""Operator → (least and most arguments, evaluation)."""
