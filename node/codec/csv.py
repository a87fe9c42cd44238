"""CSV with a header row: `sensor,time,lon,lat,version` and the values by name, in any order.

Value columns are typed by their content: whole numbers, numbers, true/false, else text. A number
with a leading zero ("007") stays text. An empty cell is missing, `""` is the empty text. Bytes
are base64 under `name;base64`, nested values JSON under `name;json`.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from node.codec.columns import POSITION_NAMES, parts_to_rows
from node.codec.decoded import Decoded, Rejecter, shown
from node.codec.json_columns import column_to_json
from node.codec.json_records import BYTES_SUFFIX, texts_to_bytes
from node.codec.times import times_to_texts
from node.errors import BadRequest, TooLarge
from node.records import JSON, VALUE_NAMES_MAX, Rows
from zring.domain import E7_PER_DEGREE, Domain

JSON_SUFFIX = ";json"
"""Behind the name of a value whose cells are JSON texts."""


def csv_to_rows(body: bytes, *, domain: Domain, records_max: int) -> Decoded:
    """Read CSV; a row with too few or too many cells refuses that record alone.

    Raises:
        BadRequest: not UTF-8, no header row, a name twice.
        TooLarge: more rows than `records_max`, more columns than a batch may have.
    """
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    broken: list[tuple[int, str]] = []
    table = _read(body, broken)
    if any(field.type != pa.string() for field in table.schema):
        raise BadRequest("the header row spans several lines; write each name on one line")
    count = table.num_rows + len(broken)
    if count > records_max:
        raise TooLarge(f"{count} records are more than {records_max}; send smaller batches")
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    columns, rejecter = _with_broken_rows(columns, count, broken)
    fixed = {}
    for name in POSITION_NAMES:
        if name in columns:
            cells = columns.pop(name)
            fixed[name] = cells if name in ("sensor", "time") else _numbers(name, cells, rejecter)
    values = {}
    for name, cells in columns.items():
        typed_name, typed = _typed(name, cells, rejecter)
        if typed_name in values:
            raise BadRequest(f"column {shown(typed_name)} appears twice in the header row")
        values[typed_name] = typed
    return parts_to_rows(fixed, values, domain=domain, rejecter=rejecter)


def _read(body: bytes, broken: list[tuple[int, str]]) -> pa.Table:
    def note(row: csv.InvalidRow) -> str:
        broken.append((row.number, f"{row.actual_columns} cells for {row.expected_columns} names"))
        return "skip"

    header = _header(body)
    try:
        return csv.read_csv(
            pa.BufferReader(body),
            read_options=csv.ReadOptions(use_threads=False, block_size=max(len(body), 1 << 16)),
            parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError) as error:
        raise BadRequest(f"the body is no CSV with a header row in UTF-8: {error}") from None


def _header(body: bytes) -> list[str]:
    line = body[: 1 << 20]
    try:
        first = csv.read_csv(
            pa.BufferReader(line[: line.find(b"\n") + 1] or line),
            read_options=csv.ReadOptions(use_threads=False, autogenerate_column_names=True),
            convert_options=csv.ConvertOptions(strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise BadRequest(f"the body has no CSV header row in UTF-8: {error}") from None
    names = [str(column[0].as_py()) if len(column) else "" for column in first.columns]
    if len(names) > VALUE_NAMES_MAX + len(POSITION_NAMES):
        raise TooLarge(f"{len(names)} columns are more than {VALUE_NAMES_MAX}")
    for name in names:
        if names.count(name) > 1:
            raise BadRequest(f"column {shown(name)} appears twice in the header row", field=name)
    return names


def _with_broken_rows(
    columns: dict[str, pa.Array], count: int, broken: list[tuple[int, str]]
) -> tuple[dict[str, pa.Array], Rejecter]:
    """Put rows of nulls where rows were skipped, so that every index is that of the request."""
    rejecter = Rejecter(count)
    if not broken:
        return columns, rejecter
    is_broken = np.zeros(count, np.bool_)
    for number, message in broken:
        row = number - 2  # rows are counted from 1 and the header is the first
        is_broken[row] = True
        rejecter.reject_row(row, "bad-row", None, f"row {row + 1} has {message}")
    source = pa.array(np.cumsum(~is_broken) - 1, mask=is_broken)
    return {name: cells.take(source) for name, cells in columns.items()}, rejecter


def _numbers(name: str, cells: pa.StringArray, rejecter: Rejecter) -> pa.Array:
    kind = pa.int64() if name == "version" else pa.float64()
    try:
        return pc.utf8_trim_whitespace(cells).cast(kind)
    except pa.ArrowInvalid:
        pass
    numbers: list[float | None] = []
    for row, text in enumerate(cells.to_pylist()):
        numbers.append(None)
        if text is None:
            continue
        try:
            numbers[-1] = pa.scalar(text.strip()).cast(kind).as_py()
        except pa.ArrowInvalid:
            message = f"{name}={shown(text)} is no number"
            rejecter.reject_row(row, f"bad-{name}", name, message)
    return pa.array(numbers, kind)


def _typed(name: str, cells: pa.StringArray, rejecter: Rejecter) -> tuple[str, pa.Array]:
    """A value column under its own name, typed by what it holds."""
    if name.endswith(BYTES_SUFFIX):
        data = texts_to_bytes(name, cells.to_pylist(), rejecter)
        return name.removesuffix(BYTES_SUFFIX), pa.array(data, pa.binary())
    if name.endswith(JSON_SUFFIX):
        return name.removesuffix(JSON_SUFFIX), pa.ExtensionArray.from_storage(JSON, cells)
    if pc.any(pc.match_substring_regex(cells, "^[+-]?0[0-9]|[^0-9A-Za-z.+-]")).as_py():
        return name, cells
    for kind in (pa.int64(), pa.float64()):
        try:
            return name, cells.cast(kind)
        except pa.ArrowInvalid:
            continue
    is_flag = pc.is_in(cells, pa.array(["true", "false"]), skip_nulls=True)
    if pc.all(pc.or_(is_flag, cells.is_null())).as_py():
        return name, pc.equal(cells, "true")
    return name, cells


def rows_to_csv(rows: Rows, *, header: bool = True) -> bytes:
    """CSV with the columns of the contract; nulls are empty cells, the empty text is `""`.

    Args:
        header: whether the first line names the columns (only the first part of a stream).
    """
    columns = {
        "sensor": rows.sensor,
        "time": times_to_texts(rows.time),
        "lon": pa.array(rows.lon / E7_PER_DEGREE),
        "lat": pa.array(rows.lat / E7_PER_DEGREE),
        "version": pa.array(rows.version),
    }
    for name, column in rows.values.items():
        if column.type == JSON:
            columns[name + JSON_SUFFIX] = column.storage
        elif column.type == pa.binary():
            columns[name + BYTES_SUFFIX] = pc.replace_substring(column_to_json(column), '"', "")
        else:
            columns[name] = column
    sink = pa.BufferOutputStream()
    options = csv.WriteOptions(include_header=header, quoting_style="needed")
    csv.write_csv(pa.table(columns), sink, options)
    return sink.getvalue().to_pybytes()
