"""GDAL's OAPIF driver reads a node as it reads any OGC API: list, filter, page."""

import json
import shutil
import subprocess
from pathlib import Path

import pyarrow.compute as pc
import pytest

from .conftest import Served

PROGRAMS = ("ogrinfo", "ogr2ogr")


def run(*command: str) -> str:
    """A GDAL program's output; it must end well and without a warning."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr and "ERROR" not in done.stdout, done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    for program in PROGRAMS:
        assert shutil.which(program), f"{program} is missing: apt-get install gdal-bin"


def test_collections_are_layers(node: Served) -> None:
    listed = run("ogrinfo", "-ro", f"OAPIF:{node.url}/")
    assert "amedas" in listed and "Point" in listed


def test_a_layer_has_its_fields_and_extent(node: Served) -> None:
    text = run("ogrinfo", "-ro", "-so", f"OAPIF:{node.url}/", "amedas")
    assert "sensor: String" in text and "time: DateTime" in text and "temp: Real" in text
    assert "WGS 84" in text


def export(node: Served, folder: Path, *options: str) -> list[dict[str, object]]:
    target = folder / "out.geojson"
    source = f"OAPIF:{node.url}/"
    run("ogr2ogr", "-f", "GeoJSON", str(target), source, "amedas", *options)
    return [feature["properties"] for feature in json.loads(target.read_text())["features"]]


@pytest.mark.parametrize("page_size", ["7", "500"])
def test_all_pages_give_every_record_once(node: Served, tmp_path: Path, page_size: str) -> None:
    found = export(node, tmp_path, "-oo", f"PAGE_SIZE={page_size}")
    names = [(record["sensor"], record["time"]) for record in found]
    assert len(names) == len(set(names)) == node.table.num_rows


def test_a_spatial_filter_becomes_a_bbox(node: Served, tmp_path: Path) -> None:
    found = export(node, tmp_path, "-spat", "135.2", "33.2", "135.9", "34.0")
    inside = node.table.filter(
        (pc.field("lon") >= 135.2)
        & (pc.field("lon") <= 135.9)
        & (pc.field("lat") >= 33.2)
        & (pc.field("lat") <= 34.0)
    )
    assert 0 < inside.num_rows < node.table.num_rows
    assert len(found) == inside.num_rows
    assert {record["sensor"] for record in found} == set(inside.column("sensor").to_pylist())


def test_an_attribute_filter(node: Served, tmp_path: Path) -> None:
    found = export(node, tmp_path, "-where", "temp > 27.5")
    warm = node.table.filter(pc.field("temp") > 27.5)
    assert len(found) == warm.num_rows > 0
