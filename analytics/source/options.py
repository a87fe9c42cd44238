"""Options of the data source, read from texts and checked; names are free in case, as Spark's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from analytics.errors import BadOption
from analytics.source.selection import time_to_text
from node.api.parsing import parse_bbox, parse_datetime, parse_duration, parse_time
from node.errors import BadRequest
from node.query import COVERAGE_ORDER, ROWS_PER_PAGE_MAX, TIME_MAX, TIME_MIN, CoverageState
from node.query import WriteLevel as WriteLevel
from zring.area import Box

ReadFrom = Literal["owner", "nearest", "archive"]
OnRejected = Literal["fail", "drop"]

TASKS_MAX = 10_000
"""Tasks of one read: a scheduler's table, not a plan, grows beyond."""
TIMEOUT_S = 60.0
SHARED = ("url", "collection", "path", "token", "tlsca", "tlscert", "tlskey", "timeout")
READ = (
    "bbox", "datetime", "from", "to", "sensor", "filter", "columns", "readfrom", "require",
    "timeslice", "tasks", "pagerows", "pushdown",
)  # fmt: skip
WRITE = ("w", "replace", "rejected")
OF_SPARK = ("checkpointlocation", "queryname", "paths")
"""Spark hands its own options over as well."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the cluster is and how to be let in.

    Attributes:
        urls: addresses of nodes; the first that answers is asked for the ring.
        timeout_s: how long one page or batch may take, all nodes tried.
    """

    urls: tuple[str, ...]
    token: str | None = field(default=None, repr=False)
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    timeout_s: float = TIMEOUT_S

    def credentials(self) -> dict[str, Any]:
        """What a client of `node.client` takes besides its address."""
        return {
            "token": self.token,
            "tls_ca": self.tls_ca,
            "tls_cert": self.tls_cert,
            "tls_key": self.tls_key,
        }


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a read was asked for by options.

    Attributes:
        time_start, time_stop: half-open, microseconds.
        columns: exactly these, in this order; None is all.
        require: worst coverage that does not fail the read.
        slice_us: length of a task's slice of time; None: as `tasks` or the number of records says.
        tasks: at least so many, where there is time to cut; None: by the number of records.
        page_rows: records of one page and so of one Arrow batch.
        pushdown: take over conditions of the query; the frame must be loaded for each anew.
    """

    access: Access
    collection: str
    bbox: Box | None = None
    time_start: int = TIME_MIN
    time_stop: int = TIME_MAX
    sensors: frozenset[str] | None = None
    filter: str | None = None
    columns: tuple[str, ...] | None = None
    read_from: ReadFrom = "owner"
    require: CoverageState = "settling"
    slice_us: int | None = None
    tasks: int | None = None
    page_rows: int = ROWS_PER_PAGE_MAX
    pushdown: bool = False


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a write was asked for by options.

    Attributes:
        w: on how many nodes records are durable when their task ends.
        replace: the records correct stored ones.
        rejected: whether records that break a rule fail the job or are dropped.
    """

    access: Access
    collection: str
    w: WriteLevel = "one"
    replace: bool = False
    rejected: OnRejected = "fail"


def read_options(options: Mapping[str, str]) -> ReadOptions:
    """Options of `spark.read`.

    Raises:
        BadOption: names the option, its value and what it may be.
    """
    given = _given(options, (*SHARED, *READ))
    try:
        start, stop = _times(given)
        return ReadOptions(
            access=_access(given),
            collection=_collection(given),
            bbox=parse_bbox("bbox", given["bbox"]) if "bbox" in given else None,
            time_start=start,
            time_stop=stop,
            sensors=frozenset(_names(given, "sensor")) if "sensor" in given else None,
            filter=given.get("filter"),
            columns=_names(given, "columns") if "columns" in given else None,
            read_from=_choice(given, "readfrom", get_args(ReadFrom)),
            require=_choice(given, "require", COVERAGE_ORDER, default="settling"),
            slice_us=parse_duration("timeSlice", given["timeslice"])
            if "timeslice" in given
            else None,
            tasks=_number(given, "tasks", most=TASKS_MAX) if "tasks" in given else None,
            page_rows=_number(given, "pagerows", most=ROWS_PER_PAGE_MAX)
            if "pagerows" in given
            else ROWS_PER_PAGE_MAX,
            pushdown=_choice(given, "pushdown", ("false", "true")) == "true",
        )
    except BadRequest as error:
        raise BadOption(f"option {error}") from None


def connection_to_options(connection: Mapping[str, Any]) -> dict[str, str]:
    """What a client was given (`tls_ca`, `timeout_s` …), as options of the source."""
    names = {"tls_ca": "tlsCa", "tls_cert": "tlsCert", "tls_key": "tlsKey", "timeout_s": "timeout"}
    return {
        names.get(name, name): str(value) for name, value in connection.items() if value is not None
    }


def times_to_options(start_us: int, stop_us: int) -> dict[str, str]:
    """A half-open time as options of the source; an open end is none."""
    ends = {"from": time_to_text(start_us), "to": time_to_text(stop_us)}
    return {name: text for name, text in ends.items() if text is not None}


def write_options(options: Mapping[str, str]) -> WriteOptions:
    """Options of `df.write` and `df.writeStream`.

    Raises:
        BadOption: names the option, its value and what it may be.
    """
    given = _given(options, (*SHARED, *WRITE))
    return WriteOptions(
        access=_access(given),
        collection=_collection(given),
        w=_choice(given, "w", get_args(WriteLevel)),
        replace=_choice(given, "replace", ("false", "true")) == "true",
        rejected=_choice(given, "rejected", get_args(OnRejected)),
    )


def _given(options: Mapping[str, str], known: tuple[str, ...]) -> dict[str, str]:
    given = {name.lower(): options[name] for name in options}
    unknown = sorted(given.keys() - {*known, *OF_SPARK})
    if unknown:
        raise BadOption(f"option {unknown[0]} is unknown here; there are {', '.join(known)}")
    return {name: text for name, text in given.items() if name not in OF_SPARK}


def _access(given: Mapping[str, str]) -> Access:
    urls = tuple(part.strip().rstrip("/") for part in given.get("url", "").split(",") if part)
    if not urls:
        raise BadOption("option url is missing; give the address of a node, http://HOST:PORT")
    text = given.get("timeout", str(TIMEOUT_S))
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = 0.0
    if not 0.0 < timeout_s <= 3_600.0:
        raise BadOption(f"option timeout={text} is not above 0 and at most 3600; give seconds")
    return Access(
        urls=tuple(url if "://" in url else f"http://{url}" for url in urls),
        token=given.get("token"),
        tls_ca=given.get("tlsca"),
        tls_cert=given.get("tlscert"),
        tls_key=given.get("tlskey"),
        timeout_s=timeout_s,
    )


def _collection(given: Mapping[str, str]) -> str:
    name = given.get("collection") or given.get("path")
    if not name:
        raise BadOption("option collection is missing; give it, or its name to load() or save()")
    return name


def _times(given: Mapping[str, str]) -> tuple[int, int]:
    if "datetime" in given:
        if "from" in given or "to" in given:
            raise BadOption("options datetime and from/to exclude each other; give one")
        return parse_datetime("datetime", given["datetime"])
    start = parse_time("from", given["from"]) if "from" in given else TIME_MIN
    stop = parse_time("to", given["to"]) if "to" in given else TIME_MAX
    if start >= stop:
        raise BadOption("option from is not before to; `from` is included, `to` is not")
    return start, stop


def _names(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in given[name].split(",") if part.strip()))
    if not names:
        raise BadOption(f"option {name} is empty; give names with commas between them")
    return names


def _choice(
    given: Mapping[str, str], name: str, choices: tuple[str, ...], default: str = ""
) -> Any:
    text = given.get(name, default or choices[0]).lower()
    if text not in choices:
        raise BadOption(f"option {name}={text} is unknown; choose one of {', '.join(choices)}")
    return text


def _number(given: Mapping[str, str], name: str, *, most: int) -> int:
    text = given[name]
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise BadOption(f"option {name}={text} is no whole number from 1 to {most}")
    return int(text)
