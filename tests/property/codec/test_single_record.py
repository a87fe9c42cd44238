"""A record that comes alone is decoded by a short way; it gives what the way of columns gives."""

from hypothesis import given, settings
from hypothesis import strategies as st

from node.codec.decoded import Decoded, Rejecter
from node.codec.json_records import records_to_rows
from node.codec.single_record import record_to_rows
from node.records import Rows
from zring.domain import Domain

WORLD = Domain.parse("world")
SQUARE = Domain.from_degrees(west=135.0, south=33.0, east=136.6, north=34.6)

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(1 << 70), 1 << 70)
edges = st.sampled_from((135.0, 136.6, 33.0, 34.6, 136.60000004, 134.99999996, 180, -90, 1_000.5))
odd = st.none() | st.booleans() | st.text(max_size=3) | st.lists(st.integers(0, 9), max_size=2)
degrees = st.floats(-181.0, 181.0) | edges | st.integers(-181, 181) | numbers | odd
times = (
    st.datetimes().map(lambda time: time.replace(microsecond=0).isoformat() + "Z")
    | st.sampled_from(
        (
            "2023-07-13T05:00:00Z",
            "2023-02-30T05:00:00Z",
            "2023-07-13T24:00:00Z",
            "2023-07-13T05:00:60Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2023-07-13T05:00:00+09:00",
            "2023-07-13t05:00:00.5z",
            "2023-07-13T05:00:00",
            "2023-07-13T05:00:00Z\n",
            "٢٠٢٣-07-13T05:00:00Z",
        )
    )
    | odd
)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=140)
names = st.sampled_from(("temp", "rain", "time", "image;base64", ";base64", "x" * 129)) | texts
cells = st.dictionaries(names, numbers | odd, max_size=3) | odd
records = st.fixed_dictionaries(
    {"sensor": texts | odd, "time": times, "lon": degrees, "lat": degrees, "values": cells},
    optional={"version": st.integers(-1, 3), "more": odd},
)


@settings(max_examples=400, deadline=None)
@given(record=records, domain=st.sampled_from((WORLD, SQUARE)))
def test_the_short_way_gives_what_the_way_of_columns_gives(
    record: dict[str, object], domain: Domain
) -> None:
    short = record_to_rows(record, domain=domain)
    long = records_to_rows([record], domain=domain, rejecter=Rejecter(1))
    if short is not None:
        assert _plain(short) == _plain(long)


@settings(deadline=None)
@given(
    sensor=texts.filter(lambda text: 1 <= len(text.encode()) <= 256),
    lon=st.floats(135.0, 136.6),
    lat=st.floats(33.0, 34.6),
    cell=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(1 << 63), (1 << 63) - 1),
)
def test_a_usual_record_takes_the_short_way(
    sensor: str, lon: float, lat: float, cell: float
) -> None:
    record = {
        "sensor": sensor,
        "time": "2023-07-13T05:00:00Z",
        "lon": lon,
        "lat": lat,
        "values": {"temp": cell},
    }
    short = record_to_rows(record, domain=SQUARE)
    assert short is not None
    assert _plain(short) == _plain(records_to_rows([record], domain=SQUARE, rejecter=Rejecter(1)))


def _plain(decoded: Decoded) -> tuple[object, ...]:
    return (
        _columns(decoded.rows),
        decoded.rejections,
        decoded.received,
        dict(decoded.rejected_by_reason),
        decoded.indices.tolist(),
        decoded.indices.dtype,
    )


def _columns(rows: Rows) -> tuple[object, ...]:
    """Every column with its type; floats by their bits, so that -0.0 is not 0.0."""
    arrays = (rows.time, rows.lon, rows.lat, rows.code, rows.version, rows.deleted)
    fixed = [(array.dtype, array.tobytes()) for array in (*arrays, rows.sensor_hash)]
    values = {
        name: (str(array.type), repr(array.to_pylist())) for name, array in rows.values.items()
    }
    return (*fixed, rows.sensor.type, rows.sensor.to_pylist(), list(values.items()))
