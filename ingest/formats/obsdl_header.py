"""The header of JMA's data.csv: which column is what, for which station.

The number of header rows varies with the options of the download, so the first data row is found
by the look of its first cell, and every other row by what it holds:

    ダウンロードした時刻：2021/07/08 17:16:38
    (empty)
    [prefectures]                 only with that option
    stations                      集計開始,集計終了 stand here for periods of several days
    labels                        年月日時, 年月日, 年,月,日,時, or nothing in the display format
    [風向, 時分]                   only when such an element exists
    [品質情報, 均質番号, 現象なし情報]  only without the display format
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ingest.errors import UnreadableFile

FIRST_DATA_CELL = re.compile(r"\d{4}([/年].*)?")
HEADER_ROWS_MAX = 12
QUALITY, HOMOGENEITY, NO_PHENOMENON = "品質情報", "均質番号", "現象なし情報"
_ROLES = frozenset((QUALITY, HOMOGENEITY, NO_PHENOMENON))
_TIME_LABELS = frozenset(("年月日時", "年月日時分", "年月日", "年月", "年", "月", "日", "時", "分"))
_SPLIT_LABELS = ("年", "月", "日", "時", "分")
DIRECTION, MOMENT = "風向", "時分"


@dataclass(slots=True)
class Measured:
    """One measured thing: the column of its cells and those of its flags.

    Attributes:
        kind: `value`, `direction` (text of 16 points) or `moment` (when the value occurred).
    """

    kind: str
    column: int
    quality: int | None = None
    no_phenomenon: int | None = None
    homogeneity: int | None = None


@dataclass(slots=True)
class Group:
    """Neighbouring columns of one element of one station.

    Attributes:
        station: index of the station in the file, from 0, in the order of the columns.
        label: the element's label without its unit.
        unit: what stood in parentheses, or nothing.
    """

    station: int
    label: str
    unit: str
    measured: list[Measured] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Header:
    """What the rows above the data say.

    Attributes:
        data_start: index of the first data row.
        time_columns: how many columns at the left are the time.
        split: the time is 年,月,日[,時] in columns of their own.
        period: two dates, first and last day of the period.
        stations: names in the order of the columns; a name may stand for several stations.
        groups: the elements of all stations.
        has_roles: the file has flag columns; without them cells carry marks (`12.3 )`).
    """

    data_start: int
    time_columns: int
    split: bool
    period: bool
    stations: tuple[str, ...]
    groups: tuple[Group, ...]
    has_roles: bool


def parse_header(rows: Sequence[Sequence[str]]) -> Header:
    """Read the header of a file that is split into rows and cells.

    Raises:
        UnreadableFile: no data row, no row of labels, no row of stations.
    """
    start = next((at for at, row in enumerate(rows) if row and _begins_data(row)), None)
    head = [row for row in rows[:start] if row and not row[0].startswith("ダウンロード")]
    labels_at = _labels_at(head)
    if start is None:
        raise UnreadableFile("no row begins with a date; the file holds no data")
    if labels_at is None or labels_at == 0 or len(head) > HEADER_ROWS_MAX:
        raise UnreadableFile("the rows of stations and of element labels were not found")
    width = max(len(row) for row in head[labels_at - 1 : labels_at + 1])
    names, labels = (_padded(row, width) for row in head[labels_at - 1 : labels_at + 1])
    subs, roles = [""] * width, [""] * width
    has_roles = False
    for row in head[labels_at + 1 :]:
        if _ROLES & set(row):
            roles, has_roles = _padded(row, width), True
        elif any(cell.strip() for cell in row):
            subs = _padded(row, width)
    time_columns = _time_columns(labels)
    stations, groups = _groups(names, labels, subs, roles, time_columns)
    if not groups:
        raise UnreadableFile("no column holds a measured value")
    return Header(
        data_start=start,
        time_columns=time_columns,
        split=labels[0] == "年",
        period=labels[:2] == ["年月日", "年月日"],
        stations=stations,
        groups=groups,
        has_roles=has_roles,
    )


def _begins_data(row: Sequence[str]) -> bool:
    return FIRST_DATA_CELL.fullmatch(row[0].strip()) is not None


def _labels_at(head: Sequence[Sequence[str]]) -> int | None:
    for at, row in enumerate(head):
        if row[0].strip() in _TIME_LABELS:
            return at
    # The display format leaves the cell above the times empty: labels are what has units.
    for at, row in enumerate(head):
        if any(cell.rstrip().endswith((")", "）")) for cell in row):
            return at
    return None


def _padded(row: Sequence[str], width: int) -> list[str]:
    cells = [cell.strip() for cell in row[:width]]
    return cells + [""] * (width - len(cells))


def _time_columns(labels: Sequence[str]) -> int:
    if labels[0] == "年":
        count = 0
        while count < len(labels) and count < len(_SPLIT_LABELS):
            if labels[count] != _SPLIT_LABELS[count]:
                break
            count += 1
        return count
    return 2 if list(labels[:2]) == ["年月日", "年月日"] else 1


def _groups(
    names: Sequence[str],
    labels: Sequence[str],
    subs: Sequence[str],
    roles: Sequence[str],
    start: int,
) -> tuple[tuple[str, ...], tuple[Group, ...]]:
    stations: list[str] = []
    groups: list[Group] = []
    seen: set[str] = set()
    before: tuple[str, str] | None = None
    for column in range(start, len(labels)):
        name, label = names[column], labels[column]
        if not label:
            continue
        starts_value = not roles[column] and not subs[column]
        if (name, label) != before or (starts_value and groups[-1].measured):
            # The same name with an element that it has already had is the next station.
            if not stations or stations[-1] != name or label in seen:
                stations.append(name)
                seen = set()
            seen.add(label)
            text, unit = split_unit(label)
            groups.append(Group(len(stations) - 1, text, unit))
            before = (name, label)
        _add_column(groups[-1], column, subs[column], roles[column])
    return tuple(stations), tuple(group for group in groups if group.measured)


def _add_column(group: Group, column: int, sub: str, role: str) -> None:
    if not role:
        kind = {DIRECTION: "direction", MOMENT: "moment"}.get(sub, "value")
        group.measured.append(Measured(kind, column))
        return
    if not group.measured:
        return
    last = group.measured[-1]
    if role == QUALITY:
        last.quality = column
    elif role == NO_PHENOMENON:
        last.no_phenomenon = column
    elif role == HOMOGENEITY:
        # Comes once for the group, behind its last part; it is about the value.
        group.measured[0].homogeneity = column


def split_unit(label: str) -> tuple[str, str]:
    """`気温(℃)` → (`気温`, `℃`); `天気概況(昼：06時～18時)` has no unit."""
    match = re.fullmatch(r"(.*?)\s*[（(]([^（()）：:]*)[)）]", label)
    return (match[1], match[2]) if match and match[1] else (label, "")
