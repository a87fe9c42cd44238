"""Cells of JMA's data.csv as value columns: flags, display marks, wind points, moments."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.formats.flags import FLAG_SUFFIX, NO_FLAG, Judged, element_arrays, judge
from ingest.formats.numbers import as_floats, read_numbers
from ingest.formats.obsdl_header import Group, Measured
from ingest.formats.obsdl_names import DIRECTION_CODES
from ingest.formats.times import JST, read_times
from node.codec.times import times_to_texts
from zring.morton import Int64s

Floats = npt.NDArray[np.float64]
Texts = Sequence[str]

MARK_FLAGS: Mapping[str, int] = {"": 8, ")": 5, "]": 4, "#": 2, "×": 1, "///": 1}
"""Marks of the display format as 品質情報."""
_MARKED = re.compile(r"(.*?)\s*(\)|\]|#|×|///)\s*")
_NONE = "--"
_TRACE_SUFFIX, _HOMOGENEITY_SUFFIX, _TIME_SUFFIX = "_trace", "_homogeneity", "Time"
_TEXT_LABELS = ("天気", "天気概況")


def group_columns(
    group: Group,
    key: str,
    cells: Sequence[Texts],
    *,
    has_roles: bool,
    keep_incomplete: bool,
) -> tuple[dict[str, pa.Array], Counter[str]]:
    """The columns of one element of one station.

    Args:
        cells: all columns of the file, each of n cells.
    Returns:
        `key`, and where there are any `key_flag`, `key_trace` (true: some, but less than the
        unit), `key_homogeneity` (from 2 on: the site or instrument has changed), `keyDirection`,
        `keyTime`; and the values that were left out, by reason.
    """
    columns: dict[str, pa.Array] = {}
    left_out: Counter[str] = Counter()
    for measured in group.measured:
        texts, flags = _texts_and_flags(measured, cells, has_roles=has_roles)
        if measured.kind == "moment":
            columns.update(_moments(key + _TIME_SUFFIX, texts))
            continue
        if measured.kind == "direction":
            name, values = key + "Direction", _directions(texts)
        elif group.label.startswith(_TEXT_LABELS):
            columns.update(_plain_texts(key, texts, flags, left_out))
            continue
        else:
            name, values = key, as_floats(read_numbers(pa.array(texts, pa.string()))[0])
        judged = judge("quality", np.isfinite(values), flags, keep_incomplete=keep_incomplete)
        left_out.update(judged.left_out)
        columns.update(element_arrays(name, values, judged))
        columns.update(_attributes(name, measured, cells, values, judged))
    return columns, left_out


def _texts_and_flags(
    measured: Measured, cells: Sequence[Texts], *, has_roles: bool
) -> tuple[Texts, Int64s]:
    texts = [text.strip() for text in cells[measured.column]]
    if measured.quality is not None:
        return texts, _codes(cells[measured.quality])
    if has_roles:  # an option of the download leaves the flags of this element out
        return texts, np.where([bool(text) for text in texts], 8, NO_FLAG)
    values, flags = [], []
    for text in texts:
        match = _MARKED.fullmatch(text)
        value, mark = (match[1], match[2]) if match else (text, "")
        values.append("0" if value == _NONE else value)
        flags.append(MARK_FLAGS[mark] if value or mark else NO_FLAG)
    return values, np.array(flags, np.int64)


def _codes(texts: Texts) -> Int64s:
    known = {code: int(code) for code in "0123456789"} | {"": NO_FLAG}
    return np.array([known.get(text.strip(), 99) for text in texts], np.int64)


def _directions(texts: Texts) -> Floats:
    codes = [DIRECTION_CODES.get(text, np.nan) for text in texts]
    return np.array(codes, np.float64)


def _moments(name: str, texts: Texts) -> dict[str, pa.Array]:
    """When a day's extreme occurred: Japanese time in the file, UTC in the record."""
    times, bad = read_times(pa.array(texts, pa.string()), zone=JST)
    if bad.all():
        return {}
    moments = times_to_texts(np.where(bad, 0, times))
    return {name: pc.if_else(pa.array(~bad), moments, None)}


def _plain_texts(
    key: str, texts: Texts, flags: Int64s, left_out: Counter[str]
) -> dict[str, pa.Array]:
    present = np.array([bool(text) for text in texts])
    judged = judge("quality", present, flags)
    left_out.update(judged.left_out)
    kept = [text if keep else None for text, keep in zip(texts, judged.keep, strict=True)]
    columns = {key: pa.array(kept, pa.string())}
    flagged = judged.keep & (judged.flag != 0)
    if flagged.any():
        columns[key + FLAG_SUFFIX] = pa.array(judged.flag, mask=~flagged)
    return columns if judged.keep.any() else {}


def _attributes(
    name: str, measured: Measured, cells: Sequence[Texts], values: Floats, judged: Judged
) -> dict[str, pa.Array]:
    columns = {}
    if measured.no_phenomenon is not None:
        some = np.array([text.strip() == "0" for text in cells[measured.no_phenomenon]])
        trace = judged.keep & some & (values == 0.0)
        if trace.any():
            columns[name + _TRACE_SUFFIX] = pa.array(trace, mask=~trace)
    if measured.homogeneity is not None:
        numbers = _codes(cells[measured.homogeneity])
        changed = judged.keep & (numbers > 1) & (numbers < 99)
        if changed.any():
            columns[name + _HOMOGENEITY_SUFFIX] = pa.array(numbers, mask=~changed)
    return columns
