"""Statistics per cell and time step, in columns: at one reader, and joined over several.

A *partial* is an Arrow batch with one row a group: `cell`, `step` (both int64, 0 where the
question has none), `count`, and for each value `=NAME.count`, `.sum`, `.min`, `.max`. Partials
of the same records in any split join to the same result, up to the rounding of sums.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from node.records import Rows
from zring.morton import CODE_BITS, Int64s

Floats = npt.NDArray[np.float64]

DENSE_GROUPS_PER_ROW = 4
"""Group numbers are used as they are while there are at most this many of them for each row;
beyond it they are renumbered by sorting."""


RUN_ROWS_MIN = 4
"""Rows of a run of equal keys, on the average, from which summing up runs first is faster."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Which group each row belongs to.

    Attributes:
        order: the rows sorted by group; None when they are already.
        starts: int[g], first position (after `order`) of each group.
        cell, step: int64[g].
    """

    order: npt.NDArray[np.intp] | None
    starts: npt.NDArray[np.intp]
    cell: Int64s
    step: Int64s

    def sorted(self, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A column in group order."""
        return column if self.order is None else column[self.order]


def group_rows(cell: Int64s, step: Int64s) -> Groups:
    """Group by two keys. Cost: one pass when rows come sorted by them, else a sort of small
    integers."""
    count = len(cell)
    if not count:
        none = np.empty(0, np.int64)
        return Groups(None, np.empty(0, np.intp), none, none)
    changes = (cell[1:] != cell[:-1]) | (step[1:] != step[:-1])
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
    first_cell, first_step = cell[starts], step[starts]
    if _strictly_rises(first_cell, first_step):
        return Groups(None, starts, first_cell, first_step)
    dense_cell, cells = _numbered(cell)
    low, width = int(step.min()), int(step.max() - step.min()) + 1
    if width > DENSE_GROUPS_PER_ROW * count // max(len(cells), 1) + 1:
        dense_step, steps = _numbered(step)
    else:
        dense_step, steps = step - low, np.arange(low, low + width, dtype=np.int64)
    group = dense_cell * len(steps) + dense_step
    total = len(cells) * len(steps)
    # Stable sorts of 16-bit integers are radix sorts: several times faster than the others.
    small = group.astype(np.uint16) if total <= 1 << 16 else group
    order = np.argsort(small, kind="stable")
    in_order = group[order]
    starts = np.concatenate(([0], np.flatnonzero(in_order[1:] != in_order[:-1]) + 1))
    present = in_order[starts]
    return Groups(order, starts, cells[present // len(steps)], steps[present % len(steps)])


def run_rows(cell: Int64s, step: Int64s) -> Groups | None:
    """Runs of rows with equal keys, in the order of the rows; a key may have several.

    None when runs are short, as those of moving sensors may be: then sorting costs less.
    """
    changes = (cell[1:] != cell[:-1]) | (step[1:] != step[:-1])
    starts = np.flatnonzero(np.concatenate(([True], changes)))
    if not len(cell) or len(starts) * RUN_ROWS_MIN > len(cell):
        return None
    return Groups(None, starts, cell[starts], step[starts])


def rows_to_partial(
    rows: Rows, *, level: int | None, step_us: int | None, names: Sequence[str] | None
) -> pa.RecordBatch:
    """Groups of some rows, in any order.

    Rows of blocks come sorted by code, so that a cell is one run in each block: runs are summed
    up first, and only these are brought together.

    Args:
        level: of the cells; None is one cell. step_us: width of a step; None is one step.
        names: values to aggregate; None is every number among them.
    """
    zeros = np.zeros(len(rows), np.int64)
    cell = zeros if level is None else rows.code >> (CODE_BITS - 2 * level)
    step = zeros if step_us is None else rows.time // step_us
    runs = run_rows(cell, step)
    if runs is None:
        return _partial_of(rows, group_rows(cell, step), names)
    partial = _partial_of(rows, runs, names)
    return partial if _strictly_rises(runs.cell, runs.step) else _regrouped(partial)


def _partial_of(rows: Rows, groups: Groups, names: Sequence[str] | None) -> pa.RecordBatch:
    columns: dict[str, pa.Array] = {
        "cell": pa.array(groups.cell),
        "step": pa.array(groups.step),
        "count": pa.array(_counts(groups, len(rows))),
    }
    for name in sorted(rows.values) if names is None else names:
        column = rows.values.get(name)
        if column is not None and column.type in (pa.int64(), pa.float64()):
            columns.update(_value_columns(name, column, groups))
        elif names is not None:
            columns.update(_absent_columns(name, len(groups.starts)))
    return pa.RecordBatch.from_pydict(columns)


def join_partials(partials: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One partial for all of them."""
    if len(partials) == 1:
        return partials[0]
    names = value_names(partials)
    tables = [_with_names(partial, names) for partial in partials]
    table = pa.concat_tables([pa.Table.from_batches([batch]) for batch in tables])
    return _regrouped(table.combine_chunks().to_batches()[0] if len(table) else tables[0])


def _regrouped(partial: pa.RecordBatch) -> pa.RecordBatch:
    """The partial with each group once."""
    column = dict(zip(partial.schema.names, partial.columns, strict=True))
    groups = group_rows(column["cell"].to_numpy(), column["step"].to_numpy())
    joined: dict[str, pa.Array] = {
        "cell": pa.array(groups.cell),
        "step": pa.array(groups.step),
        "count": _reduced(column["count"], groups, np.add),
    }
    for name in value_names([partial]):
        for part, reduce in _REDUCTIONS.items():
            joined[f"={name}.{part}"] = _reduced(column[f"={name}.{part}"], groups, reduce)
    return pa.RecordBatch.from_pydict(joined)


def partial_to_table(
    partial: pa.RecordBatch, *, level: int | None, step_us: int | None
) -> pa.Table:
    """The answer as `node.query.AggregateAnswer` documents it."""
    count = len(partial)
    step = partial.column("step").to_numpy()
    time_type = pa.timestamp("us", tz="UTC")
    columns: dict[str, pa.Array] = {
        "cell": pa.nulls(count, pa.int64()) if level is None else partial.column("cell"),
        "time": pa.nulls(count, time_type)
        if step_us is None
        else pa.array(step * step_us).view(time_type),
        "count": partial.column("count"),
    }
    for name in value_names([partial]):
        counts = partial.column(f"={name}.count")
        has = pc.greater(counts, 0)
        total = partial.column(f"={name}.sum")
        parts = {
            "mean": pc.divide(total, pc.if_else(has, counts, 1).cast(pa.float64())),
            "min": partial.column(f"={name}.min"),
            "max": partial.column(f"={name}.max"),
            "sum": total,
        }
        columns[f"{name}_count"] = counts
        for part, column in parts.items():
            columns[f"{name}_{part}"] = pc.if_else(has, column, pa.scalar(None, pa.float64()))
    return pa.table(columns)


def value_names(partials: Sequence[pa.RecordBatch]) -> list[str]:
    """Names of the values in some partials, sorted."""
    return sorted(
        {
            name[1 : -len(".sum")]
            for partial in partials
            for name in partial.schema.names
            if name.startswith("=") and name.endswith(".sum")
        }
    )


_REDUCTIONS: Mapping[str, Any] = {
    "count": np.add,
    "sum": np.add,
    "min": np.minimum,
    "max": np.maximum,
}


def _strictly_rises(cell: Int64s, step: Int64s) -> bool:
    """Whether runs come in the order of their keys, so that none appears twice."""
    rises = (cell[1:] > cell[:-1]) | ((cell[1:] == cell[:-1]) & (step[1:] > step[:-1]))
    return bool(rises.all())


def _numbered(key: Int64s) -> tuple[Int64s, Int64s]:
    """Each row's place among the distinct keys, and these. Sorted keys need no sort."""
    changes = key[1:] != key[:-1]
    if bool((key[1:] >= key[:-1]).all()):
        starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
        return np.concatenate(([0], np.cumsum(changes, dtype=np.int64))), key[starts]
    distinct, numbers = np.unique(key, return_inverse=True)
    return numbers.astype(np.int64), distinct


def _counts(groups: Groups, rows: int) -> Int64s:
    return np.diff(np.append(groups.starts, rows)).astype(np.int64)


def _value_columns(name: str, column: pa.Array, groups: Groups) -> dict[str, pa.Array]:
    """count, sum, min, max of one value; nulls are left out of all of them."""
    if not len(groups.starts):
        return _absent_columns(name, 0)
    if not column.null_count:
        numbers = groups.sorted(column.to_numpy(zero_copy_only=False)).astype(np.float64)
        counts = _counts(groups, len(column))
        lows = highs = numbers
    else:
        valid = groups.sorted(column.is_valid().to_numpy(zero_copy_only=False))
        filled = column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        numbers = groups.sorted(filled)
        counts = np.add.reduceat(valid.astype(np.int64), groups.starts)
        lows = np.where(valid, numbers, np.inf)
        highs = np.where(valid, numbers, -np.inf)
    return {
        f"={name}.count": pa.array(counts),
        f"={name}.sum": pa.array(np.add.reduceat(numbers, groups.starts)),
        f"={name}.min": pa.array(np.minimum.reduceat(lows, groups.starts)),
        f"={name}.max": pa.array(np.maximum.reduceat(highs, groups.starts)),
    }


def _absent_columns(name: str, groups: int) -> dict[str, pa.Array]:
    return {
        f"={name}.count": pa.array(np.zeros(groups, np.int64)),
        f"={name}.sum": pa.array(np.zeros(groups)),
        f"={name}.min": pa.array(np.full(groups, np.inf)),
        f"={name}.max": pa.array(np.full(groups, -np.inf)),
    }


def _with_names(partial: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    """The partial with all values, in one order; those that it lacks counted zero times."""
    columns = dict(zip(partial.schema.names, partial.columns, strict=True))
    for name in names:
        if f"={name}.sum" not in columns:
            columns.update(_absent_columns(name, len(partial)))
    order = ["cell", "step", "count"]
    order += [f"={name}.{part}" for name in names for part in _REDUCTIONS]
    return pa.RecordBatch.from_pydict({name: columns[name] for name in order})


def _reduced(column: pa.Array, groups: Groups, reduce: Any) -> pa.Array:
    if not len(groups.starts):
        return column
    return pa.array(reduce.reduceat(groups.sorted(column.to_numpy()), groups.starts))
