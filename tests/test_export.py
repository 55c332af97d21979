"""GeoTIFFs of a map: the pixels, colours and names of the map, cut along the region, whole or absent."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import geometry_mask
from test_publish import LEFT, TOP, lay_plan, write_root

from catalogs import cog_writing
from catalogs.crops import MAP
from catalogs.errors import BadInput
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE, ten_crops
from cluster.progress import LineProgress
from pipelines.export import export
from pipelines.outcomes import Unfinished
from pipelines.plan import Plan

SIDE = 1280


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> Plan:
    chance = np.random.default_rng(2)
    crop = np.kron(chance.integers(0, 11, (SIDE // 16, SIDE // 16)), np.ones((16, 16))).astype(np.uint8)
    crop[chance.random(crop.shape) < 0.1] = 4
    percent = chance.integers(0, 101, crop.shape).astype(np.uint8)
    plan = lay_plan(tmp_path_factory.mktemp("mapped"), tile=256, size=(10 * SIDE, 10 * SIDE), triangle=True)
    return write_root(plan, mapped=crop, confidence=percent)


def write(plan: Plan, out: Path, region: Path | None = None) -> dict[str, str]:
    return export(plan, LineProgress(io.StringIO()), region, out)


@pytest.fixture(scope="module")
def files(mapped, tmp_path_factory) -> dict[str, str]:
    return write(mapped, tmp_path_factory.mktemp("out"))


def outline_file(folder: Path, shape: shapely.Geometry) -> Path:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    feature = {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(shape))}
    path = folder / "part.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    return path


def test_pixels_are_the_maps_and_nothing_beyond_the_region(mapped, files):
    for name, path in files.items():
        with rasterio.open(path) as file:
            inside = geometry_mask([mapped.region], file.shape, file.transform, invert=True)
            expected = np.where(inside, Store(mapped.root, MAP).read(name), IGNORE)
            assert (file.read(1) == expected).all() and IGNORE in expected
            assert file.crs.to_epsg() == 3035 and file.transform == mapped.grid.transform and file.nodata == IGNORE
            assert file.descriptions == (name,)


def test_files_are_cloud_optimised_with_colours_and_names(files):
    with rasterio.open(files["crop"]) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.overviews(1) == [2, 4]
        colours = file.colormap(1)
        assert [colours[n][:3] for n in range(11)] == [tuple(bytes.fromhex(c[1:])) for c in ten_crops().colours]
        assert colours[IGNORE][3] == 0
        assert file.tags()["flag_meanings"].split()[1] == "maize"
    with rasterio.open(files["confidence"]) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and file.colorinterp[0].name == "gray"


def test_overviews_show_a_commonest_class_of_what_they_cover(files):
    with rasterio.open(files["crop"]) as file:
        whole = file.read(1)
    with rasterio.open(files["crop"], overview_level=0) as file:
        thin = file.read(1)
    blocks = whole.reshape(SIDE // 2, 2, SIDE // 2, 2).swapaxes(1, 2).reshape(SIDE // 2, SIDE // 2, 4)
    counts = np.stack([(blocks == number).sum(axis=-1) for number in range(11)])
    known = counts.any(axis=0)
    assert ((thin != IGNORE) == known).all()
    chosen = np.take_along_axis(counts, np.where(known, thin, 0)[None].astype(int), axis=0)[0]
    assert (chosen == counts.max(axis=0)).all()


def test_a_part_is_cut_out_where_it_lies(mapped, tmp_path):
    part = shapely.box(LEFT + 2_005, TOP - 4_000, LEFT + 5_000, TOP - 1_000)
    files = write(mapped, tmp_path / "out", outline_file(tmp_path, part))
    with rasterio.open(files["crop"]) as file:
        assert file.shape == (300, 300) and (file.transform.c, file.transform.f) == (LEFT + 2_000, TOP - 1_000)
        expected = Store(mapped.root, MAP).read("crop", (slice(100, 400), slice(200, 500)))
        assert (file.read(1)[:, 1:] == expected[:, 1:]).all()


def test_a_part_elsewhere_is_refused(mapped, tmp_path):
    with pytest.raises(BadInput, match="shares no ground"):
        write(mapped, tmp_path, outline_file(tmp_path, shapely.box(LEFT - 9_000, TOP, LEFT - 8_000, TOP + 900)))


def test_a_map_with_holes_is_not_exported(tmp_path):
    plan = write_root(lay_plan(tmp_path))
    plan.root.remove("map.zarr/confidence/c/0/0")
    with pytest.raises(Unfinished, match="furrow map"):
        write(plan, tmp_path / "out")


def test_a_file_is_whole_or_absent(mapped, tmp_path, monkeypatch):
    (tmp_path / "crop.tif").write_bytes(b"old")
    with monkeypatch.context() as patched:
        patched.setattr(cog_writing, "copy", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(OSError):
            write(mapped, tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("crop.tif", b"old")]
    (tmp_path / "crop.tif.pixels.partial").write_bytes(b"of a killed writer")
    write(mapped, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confidence.tif", "crop.tif", "observations.tif"]
