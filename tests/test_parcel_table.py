"""The parcel table: what is written is what is read, by box or whole, wherever it lies; and any reader opens it."""

import os

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogs.errors import BadInput
from catalogs.parcels import footers
from catalogs.parcels.footers import SIDES
from catalogs.parcels.table import (
    GROUP,
    SCHEMA,
    Rows,
    part_key,
    part_numbers,
    read_columns,
    read_parcels,
    write_part,
)
from catalogs.root import Root

CRS = "EPSG:3035"
SIDE = 10_000


def rows(shapes: np.ndarray, first: int = 1, crs: str = CRS) -> Rows:
    count = len(shapes)
    ids = np.arange(first, first + count, dtype=np.uint32)
    text = np.array([None if i % 7 == 0 else f"code {i % 5}" for i in ids.tolist()], dtype=object)
    return Rows(
        crs=crs, parcel=ids, crop=(ids % 11).astype(np.uint8), status=(ids % 4).astype(np.uint8), code=text,
        name=text, hcat=text, year=np.full(count, 2021, np.int16), hectares=shapely.area(shapes) / 1e4,
        declared=np.where(ids % 3 == 0, np.nan, 1.5), repaired=ids % 2 == 0, narrow=ids % 2 == 1, inside=ids > 0,
        outline=ids.astype(np.uint64) + 2**63, geometry=shapes,
    )  # fmt: skip


def squares(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    left, bottom = rng.uniform(0, SIDE, (2, count))
    size = rng.uniform(10, 300, count)
    return np.asarray(shapely.box(left, bottom, left + size, bottom + size), dtype=object)


EVERYTHING = squares(9000)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    root = Root(str(tmp_path_factory.mktemp("table")))
    for number, first in enumerate((0, 4000, 8000)):
        write_part(root, number, rows(EVERYTHING[first : first + 4000], first + 1))
    return root


def test_geopandas_opens_it(root):
    frame = gpd.read_parquet(root.path("parcels")).sort_values("parcel")
    assert frame.crs == CRS and len(frame) == 9000
    assert shapely.equals_exact(frame.geometry.to_numpy(), EVERYTHING, 0).all()
    assert list(frame.columns) == SCHEMA.names
    expected = rows(EVERYTHING)
    for name in ("crop", "status", "hectares", "declared", "repaired", "narrow", "inside", "outline", "year"):
        np.testing.assert_array_equal(frame[name], getattr(expected, name))
    assert frame.code.isna().sum() == sum(code is None for code in expected.code)
    np.testing.assert_array_equal(frame[list(SIDES)], shapely.bounds(EVERYTHING))


def test_columns_come_a_part_at_a_time(root):
    tables = list(read_columns(root, ["parcel", "crop"]))
    assert [len(table) for table in tables] == [4000, 4000, 1000]
    assert sorted(tables[1]["parcel"].to_pylist()) == list(range(4001, 8001))
    assert part_numbers(root) == [0, 1, 2]


EDGES = st.floats(-500, SIDE + 500)


@settings(max_examples=25, deadline=None)
@given(EDGES, EDGES, st.floats(0, 3000))
def test_a_box_gives_all_that_meet_it_in_the_order_of_their_numbers(root, left, bottom, size):
    bounds = (left, bottom, left + size, bottom + size)
    found = read_parcels(root, bounds, CRS)
    meets = np.flatnonzero(shapely.intersects(EVERYTHING, shapely.box(*bounds)))
    assert found.ids.tolist() == (meets + 1).tolist()
    assert found.classes.tolist() == ((meets + 1) % 11).tolist()
    assert shapely.equals_exact(found.geometries, EVERYTHING[meets], 0).all()
    assert found.tree.query(shapely.box(*bounds)).size == len(found)


def test_a_small_box_reads_few_of_the_row_groups(root, monkeypatch):
    read = []
    plain = pq.ParquetFile.read_row_groups

    def watched(self, groups, **how):
        read.extend(groups)
        return plain(self, groups, **how)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", watched)
    found = read_parcels(root, (2000, 2000, 2100, 2100), CRS)
    groups = 2 * -(-4000 // GROUP) + 1
    assert len(found) and 1 <= len(read) <= groups // 2


def test_the_same_rows_give_the_same_bytes_and_a_part_that_is_written_anew_is_read_anew(tmp_path):
    root = Root(str(tmp_path))
    write_part(root, 0, rows(squares(50)))
    first = root.read(part_key(0))
    write_part(root, 0, rows(squares(50)))
    assert root.read(part_key(0)) == first
    assert len(read_parcels(root, (0, 0, SIDE, SIDE), CRS)) == 50
    write_part(root, 0, rows(squares(20, seed=1)))
    assert len(read_parcels(root, (0, 0, SIDE, SIDE), CRS)) == 20


def test_footers_are_read_once(root, monkeypatch):
    read_parcels(root, (0, 0, 10, 10), CRS)
    monkeypatch.setattr(footers.pq, "read_metadata", lambda file: pytest.fail("a footer was read again"))
    assert len(read_parcels(root, (0, 0, SIDE, SIDE), CRS)) > 8000


def test_nothing_there_and_nothing_in_it(tmp_path):
    root = Root(str(tmp_path))
    assert len(read_parcels(root, (0, 0, 1, 1), CRS)) == 0 and part_numbers(root) == []
    write_part(root, 0, rows(squares(0)))
    found = read_parcels(root, (0, 0, SIDE, SIDE), CRS)
    assert len(found) == 0 and (found.ids.dtype, found.classes.dtype) == (np.uint32, np.uint8)
    assert len(gpd.read_parquet(root.path(part_key(0)))) == 0
    (tmp_path / "parcels" / "part-00001.parquet.5e.partial").write_bytes(b"cut off")
    (tmp_path / "parcels" / "_plan.json").write_text("{}")
    assert part_numbers(root) == [0]


def test_another_crs_is_refused(root):
    with pytest.raises(BadInput, match="EPSG:3857"):
        read_parcels(root, (0, 0, 1, 1), "EPSG:3857")


def test_a_table_in_a_bucket_reads_alike(tmp_path, root):
    """fsspec's memory file system stands where S3 does in test_real_s3.py: no local paths, no memory map."""
    bucket = Root(f"memory://table-{os.getpid()}")
    for number in part_numbers(root):
        bucket.write(part_key(number), root.read(part_key(number)))
    bounds = (1000, 1000, 2500, 2500)
    here, there = read_parcels(root, bounds, CRS), read_parcels(bucket, bounds, CRS)
    assert len(here) > 50 and here.ids.tolist() == there.ids.tolist()
    assert shapely.equals_exact(here.geometries, there.geometries, 0).all()
    assert part_numbers(bucket) == [0, 1, 2]
