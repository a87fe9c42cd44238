"""Formats of answers: which one a client wants, and how rows become its bytes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from node.codec.arrow import rows_to_stream
from node.codec.csv import rows_to_csv
from node.codec.ndjson import rows_to_ndjson
from node.codec.parquet import rows_to_parquet
from node.errors import BadRequest
from node.query import ROWS_PER_PAGE_MAX
from node.records import Rows

JSON_ROWS_DEFAULT = 1_000
"""Records of a GeoJSON page where no limit is given: what a map draws at once."""

GEOJSON_TYPE = "application/geo+json"
ARROW_TYPE = "application/vnd.apache.arrow.stream"


class NotAcceptable(BadRequest):
    """Raised when Accept names no format of this answer; the message lists them."""

    status = 406
    reason = "not-acceptable"


@dataclass(frozen=True, slots=True)
class Format:
    """One format of rows.

    Attributes:
        encode: rows to a body; None for GeoJSON, whose head depends on the request.
        limit_default: rows of a page where no limit is given.
        streams: whether `limit=all` can be sent in it.
    """

    name: str
    media_type: str
    encode: Callable[[Rows], bytes] | None
    limit_default: int = ROWS_PER_PAGE_MAX
    streams: bool = False


def _parquet(rows: Rows) -> bytes:
    return rows_to_parquet(rows).to_pybytes()


GEOJSON = Format("geojson", GEOJSON_TYPE, None, JSON_ROWS_DEFAULT)
ARROW = Format("arrow", ARROW_TYPE, rows_to_stream, streams=True)
NDJSON = Format("ndjson", "application/x-ndjson", rows_to_ndjson, streams=True)
CSV = Format("csv", "text/csv", rows_to_csv, streams=True)
PARQUET = Format("parquet", "application/vnd.apache.parquet", _parquet)

BY_NAME: Mapping[str, Format] = {
    "json": GEOJSON,
    "geojson": GEOJSON,
    "ndjson": NDJSON,
    "csv": CSV,
    "arrow": ARROW,
    "parquet": PARQUET,
}
BY_MEDIA_TYPE: Mapping[str, Format] = {
    GEOJSON_TYPE: GEOJSON,
    "application/json": GEOJSON,
    ARROW_TYPE: ARROW,
    "application/x-ndjson": NDJSON,
    "application/ndjson": NDJSON,
    "text/csv": CSV,
    "application/vnd.apache.parquet": PARQUET,
    "*/*": GEOJSON,
    "application/*": GEOJSON,
    "text/*": CSV,
}


def choose_format(f: str | None, accept: str | None) -> Format:
    """The format of an answer with rows; `f` counts more than Accept.

    Raises:
        NotAcceptable: Accept names only what there is not.
    """
    if f is not None:
        return BY_NAME[f]
    if accept is None or accept == "*/*":
        return GEOJSON
    for media_type in accepted_types(accept):
        if media_type in BY_MEDIA_TYPE:
            return BY_MEDIA_TYPE[media_type]
    raise NotAcceptable(
        f"Accept={accept[:100]} names no format of this answer; there are "
        + ", ".join(name for name in BY_MEDIA_TYPE if "*" not in name),
        field="Accept",
    )


def accepted_types(accept: str) -> list[str]:
    """The media types of an Accept header, best first; what has q=0 is left out."""
    weighted = []
    for position, part in enumerate(accept.split(",")[:32]):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if weight > 0:
            weighted.append((-weight, position, media_type))
    return [media_type for _, _, media_type in sorted(weighted)]


def prefers_html(request: web.Request) -> bool:
    """Whether a browser asks: it names text/html before any JSON."""
    accept = request.headers.get("Accept", "")
    if "text/html" not in accept:
        return False
    types = accepted_types(accept)
    first = next((name for name in types if name in ("text/html", "application/json")), "")
    return first == "text/html"
