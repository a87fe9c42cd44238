"""RFC 3339 times in columns: texts with zone to microseconds and back."""

import re
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from node.records import Bools
from zring.morton import Int64s

TIME_TYPE = pa.timestamp("us", tz="UTC")
YEAR_1_US = -62_135_596_800_000_000
YEAR_10000_US = 253_402_300_800_000_000
"""Half-open: the years that RFC 3339 can write."""

_ZONED = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(\.[0-9]{1,18})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)
_WITHOUT_ZONE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]*)?)?)?$"
_PLAIN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
_CASTABLE = _PLAIN.replace("Z$", r"(\.[0-9]{1,6})?Z$")
"""What Arrow's own parser reads to the microsecond."""
_PLAIN_TEXT = re.compile(_PLAIN.replace("$", r"\Z"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FEW_TEXTS = 16
"""Up to this many texts Python's own parser is cheaper than starting three kernels."""


def texts_to_times(texts: pa.StringArray) -> tuple[Int64s, Bools]:
    """Read RFC 3339 texts with zone; digits below a microsecond are cut off.

    Args:
        texts: utf8[n]; nulls count as wrong.
    Returns:
        int64[n] microseconds since the epoch, and bool[n] true for what is no such time.
    Cost: some 10 M/s in UTC, to the microsecond; 2 M/s for the rest.
    """
    if len(texts) <= FEW_TEXTS:
        few = _few_to_times(texts.to_pylist())
        if few is not None:
            return few, np.zeros(len(few), np.bool_)
    plain = pc.match_substring_regex(texts, _CASTABLE)
    if not texts.null_count and pc.all(plain).as_py() is not False:
        try:
            times = texts.cast(TIME_TYPE).view(pa.int64()).to_numpy()
        except pa.ArrowInvalid:
            pass  # a 30th of February or a 25th hour: find out which
        else:
            return times, (times < YEAR_1_US) | (times >= YEAR_10000_US)
    return _fields_to_times(texts)


def _few_to_times(texts: list[str | None]) -> Int64s | None:
    """Whole seconds in UTC without Arrow's kernels, whose calls cost more than a few cells do;
    None where one is written in another way or is no time."""
    times = []
    for text in texts:
        time = None if text is None else plain_text_to_time(text)
        if time is None:
            return None
        times.append(time)
    return np.array(times, np.int64)


def plain_text_to_time(text: str) -> int | None:
    """Microseconds of a time in whole seconds and UTC; None where it is written in another way
    or is no time."""
    if _PLAIN_TEXT.match(text) is None:
        return None
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except ValueError:
        return None
    return (since.days * 86_400 + since.seconds) * 1_000_000


def lack_zone(texts: pa.StringArray) -> Bools:
    """bool[n]: true for a date or time that would be right with a zone behind it."""
    return _as_mask(pc.match_substring_regex(texts, _WITHOUT_ZONE))


def times_to_texts(times: Int64s) -> pa.StringArray:
    """RFC 3339 in UTC with `Z`: whole seconds, or six digits in the records that need them.

    Args:
        times: int64[n] microseconds, within the years 1 to 9999.
    """
    distinct = pa.array(times).dictionary_encode()
    if 2 * len(distinct.dictionary) <= len(times):
        return _formatted(distinct.dictionary.to_numpy()).take(distinct.indices)
    return _formatted(times)


def _formatted(times: Int64s) -> pa.StringArray:
    # Without a zone: Arrow looks a zone up again for every cell.
    seconds, micros = np.divmod(times, 1_000_000)
    texts = pa.array(seconds).view(pa.timestamp("s")).cast(pa.string())
    if micros.any():
        exact = pa.array(times).view(pa.timestamp("us")).cast(pa.string())
        texts = pc.if_else(pa.array(micros == 0), texts, exact)
    texts = pc.replace_substring(texts, " ", "T", max_replacements=1)
    return pc.binary_join_element_wise(texts, "Z", "")


def _as_mask(flags: pa.BooleanArray) -> Bools:
    mask: Bools = flags.fill_null(False).to_numpy(zero_copy_only=False)
    return mask


def _fields_to_times(texts: pa.StringArray) -> tuple[Int64s, Bools]:
    bad = ~_as_mask(pc.match_substring_regex(texts, _ZONED))
    if bad.any():
        texts = pc.if_else(pa.array(bad), "1970-01-01T00:00:00Z", texts)

    def field(start: int, stop: int | None) -> Int64s:
        digits = pc.utf8_slice_codeunits(texts, start, stop)
        return digits.cast(pa.int64()).to_numpy()

    months = (field(0, 4) - 1970) * 12 + field(5, 7) - 1
    day, hour, minute, second = field(8, 10), field(11, 13), field(14, 16), field(17, 19)
    month_start = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    month_stop = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    bad |= (field(5, 7) < 1) | (field(5, 7) > 12) | (day < 1) | (day > month_stop - month_start)
    bad |= (hour > 23) | (minute > 59) | (second > 59)
    fraction = pc.replace_substring_regex(texts, r"^.{19}(?:\.([0-9]+))?.*$", r"\1")
    micros = pc.utf8_slice_codeunits(pc.utf8_rpad(fraction, 6, "0"), 0, 6).cast(pa.int64())
    offset_us, offset_bad = _offsets(texts)
    seconds = (((month_start + day - 1) * 24 + hour) * 60 + minute) * 60 + second
    times = seconds * 1_000_000 + micros.to_numpy() - offset_us
    bad |= offset_bad | (times < YEAR_1_US) | (times >= YEAR_10000_US)
    return times, bad


def _offsets(texts: pa.StringArray) -> tuple[Int64s, Bools]:
    """Microseconds that local time is ahead of UTC, and which offsets do not exist."""
    zone = pc.replace_substring_regex(texts, r"^.*[Zz]$", "+00:00")
    zone = pc.utf8_slice_codeunits(zone, -6, None)
    sign = np.where(_as_mask(pc.starts_with(zone, "-")), -1, 1)
    hours = pc.utf8_slice_codeunits(zone, 1, 3).cast(pa.int64()).to_numpy()
    minutes = pc.utf8_slice_codeunits(zone, 4, 6).cast(pa.int64()).to_numpy()
    return sign * (hours * 60 + minutes) * 60_000_000, (hours > 23) | (minutes > 59)
