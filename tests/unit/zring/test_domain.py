"""The domain: golden Z values of the published experiment, edges, cells, errors."""

import numpy as np
import pytest

from zring.domain import DEMO_DOMAIN, WORLD, Domain, degrees_to_e7, z_value
from zring.errors import InvalidArea, OutsideDomain
from zring.morton import AXIS_BITS, CODE_BITS, CODE_STOP


def code_at(lon: float, lat: float) -> int:
    return DEMO_DOMAIN.position_to_code(lon=degrees_to_e7(lon), lat=degrees_to_e7(lat))


def test_published_corners() -> None:
    assert z_value(code_at(135.0, 33.0)) == 0
    assert 0.99999 < z_value(code_at(136.6, 34.6)) < 1
    assert code_at(136.6, 34.6) == CODE_STOP - 1


@pytest.mark.parametrize(
    ("lon", "lat", "quarter"),
    [(135.1, 33.1, 0), (135.1, 34.5, 1), (136.5, 33.1, 2), (136.5, 34.5, 3), (135.8, 33.8, 3)],
)
def test_quarters(lon: float, lat: float, quarter: int) -> None:
    assert code_at(lon, lat) >> (CODE_BITS - 2) == quarter


@pytest.mark.parametrize("domain", [DEMO_DOMAIN, WORLD, Domain(-7, -3, 11, 90)])
def test_arrays_equal_scalars(domain: Domain) -> None:
    rng = np.random.default_rng(2)
    lon = np.append(rng.integers(domain.west, domain.east + 1, 300), [domain.west, domain.east])
    lat = np.append(rng.integers(domain.south, domain.north + 1, 300), [domain.south, domain.north])
    codes = domain.positions_to_codes(lon=lon.astype(np.int32), lat=lat.astype(np.int32))
    expected = [
        domain.position_to_code(lon=int(a), lat=int(b)) for a, b in zip(lon, lat, strict=True)
    ]
    assert codes.tolist() == expected


@pytest.mark.parametrize("level", [0, 1, 5, 8, 20, 31])
def test_a_position_lies_in_the_bounds_of_its_cell(level: int) -> None:
    rng = np.random.default_rng(level)
    domain = DEMO_DOMAIN
    for _ in range(100):
        lon = int(rng.integers(domain.west, domain.east))
        lat = int(rng.integers(domain.south, domain.north))
        index = domain.position_to_code(lon=lon, lat=lat) >> (CODE_BITS - 2 * level)
        west, south, east, north = domain.cell_bounds(level=level, index=index)
        assert west <= lon < east and south <= lat < north


def test_neighbouring_cells_share_an_edge() -> None:
    quarters = [DEMO_DOMAIN.cell_bounds(level=1, index=index) for index in range(4)]
    southwest, northwest, southeast, northeast = quarters
    assert southwest[2] == southeast[0] and southwest[3] == northwest[1]
    assert northeast[2:] == (DEMO_DOMAIN.east, DEMO_DOMAIN.north)


def test_outside_is_refused_with_both_names() -> None:
    with pytest.raises(OutsideDomain, match=r"lon=33.5, lat=135.5.*\(135, 33\)-\(136.6, 34.6\)"):
        code_at(33.5, 135.5)
    inside = DEMO_DOMAIN.contains(
        lon=np.array([1350000000, 1349999999]), lat=np.array([330000000, 330000000])
    )
    assert inside.tolist() == [True, False]


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "2,0,1,1", "0,0,200,1", "nan,0,1,1", "a,b,c,d", "0,0,0,1", "inf,0,1,1"]
)
def test_no_domains(text: str) -> None:
    with pytest.raises(InvalidArea):
        Domain.parse(text)


def test_grain_level_is_about_a_kilometre() -> None:
    assert DEMO_DOMAIN.grain_level_for() == 8
    assert WORLD.grain_level_for() == 16
    assert DEMO_DOMAIN.grain_level_for(grain_m=1e9) == 1
    assert Domain.parse("135, 33, 136.6, 34.6") == DEMO_DOMAIN
    assert AXIS_BITS == 31
