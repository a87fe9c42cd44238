"""Feature ids: the identity of a record (sensor, time, code) as one text that is safe in a URL.

`<sensor>.<time µs>.<code>`, where a name of other characters than `A-Za-z0-9_-` is written as
`~` and its base64url. Clients must not take them apart; nodes do, to find the record with one
small query.
"""

import base64
import binascii
import re

import pyarrow as pa
import pyarrow.compute as pc

from node.codec.json_columns import per_distinct
from node.errors import NotFound
from node.records import SENSOR_NAME_BYTES_MAX, Rows
from zring.morton import CODE_STOP

_SAFE = r"\A[A-Za-z0-9_-]+\z"
_ID = re.compile(r"(~?)([A-Za-z0-9_-]{1,400})\.(-?[0-9]{1,18})\.([0-9]{1,19})")


def rows_to_ids(rows: Rows) -> pa.StringArray:
    """utf8[n] ids."""
    names = per_distinct(rows.sensor, _safe_names)
    time = per_distinct(pa.array(rows.time), lambda times: times.cast(pa.string()))
    code = per_distinct(pa.array(rows.code), lambda codes: codes.cast(pa.string()))
    return pc.binary_join_element_wise(names, time, code, ".")


def id_to_identity(feature_id: str) -> tuple[str, int, int]:
    """Sensor, time (µs) and code of an id.

    Raises:
        NotFound: the text is no id that a node made.
    """
    match = _ID.fullmatch(feature_id)
    if match is not None:
        tilde, name, time, code = match.groups()
        sensor = _unsafe_name(name) if tilde else name
        if sensor and int(code) < CODE_STOP and len(sensor.encode()) <= SENSOR_NAME_BYTES_MAX:
            return sensor, int(time), int(code)
    raise NotFound(f"no record has the id {feature_id[:80]!r}; take ids from the items of a page")


def _safe_names(names: pa.StringArray) -> pa.StringArray:
    if pc.all(pc.match_substring_regex(names, _SAFE)).as_py() is not False:
        return names
    return pa.array(map(_safe_name, names.to_pylist()), pa.string())


def _safe_name(name: str) -> str:
    if re.fullmatch("[A-Za-z0-9_-]+", name):
        return name
    return "~" + base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _unsafe_name(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
