"""Scenes from real catalogue items: offsets, duplicates, halves, and links that are not to be trusted."""

import copy
import json
from datetime import date
from pathlib import Path

import pytest
from shapely import box
from shapely.geometry import mapping, shape

from catalogs.errors import BadInput
from catalogs.periods import split_season
from catalogs.providers import PROVIDERS, check_href
from catalogs.radiometry import earth_search_offset
from catalogs.scenes import SceneList, choose_scenes, epsg_of

REAL = Path(__file__).parents[2] / "shared" / "data" / "stac"
ITEM = REAL / "earthsearch_v1_item_sentinel-2-l2a_S2B_20EPT_20250731_0_L2A.json"
EARTH_SEARCH = PROVIDERS["earth-search"]
HERE = box(15.2, 47.2, 15.4, 47.4)

needs_real = pytest.mark.skipif(not ITEM.exists(), reason=f"the recorded item {ITEM.name} is not here")


def as_read(ground):
    """GeoJSON as it comes from a file."""
    return json.loads(json.dumps(mapping(ground)))


@pytest.fixture
def item():
    properties = {
        "datetime": "2021-06-01T10:00:00Z",
        "platform": "sentinel-2b",
        "proj:epsg": 32633,
        "grid:code": "MGRS-33UXP",
        "eo:cloud_cover": 12.0,
        "s2:processing_baseline": "05.00",
        "s2:datatake_id": "GS2B_20210601T100000_022000_N05.00",
        "s2:generation_time": "2021-06-01T14:00:00Z",
        "earthsearch:boa_offset_applied": True,
    }
    assets = {name: {"href": f"https://{EARTH_SEARCH.hosts[0]}/{name}.tif"} for name in EARTH_SEARCH.assets.values()}
    ground = box(15, 47, 16, 48)
    return {"id": "a", "properties": properties, "assets": assets, "geometry": as_read(ground), "bbox": ground.bounds}


def changed(item, name, ground=None, **properties):
    other = copy.deepcopy(item) | {"id": name}
    other["properties"].update(properties)
    return other | ({"geometry": as_read(ground)} if ground else {})


def choose(*items, region=HERE, max_cloud=80):
    return choose_scenes(items, EARTH_SEARCH, region, max_cloud)


@needs_real
def test_the_real_items_offset_is_decided_by_its_flag_not_by_its_listed_offset():
    real = json.loads(ITEM.read_text())
    assert real["assets"]["red"]["raster:bands"][0]["offset"] == -0.1
    assert earth_search_offset(real["properties"]) == 0
    assert earth_search_offset(real["properties"] | {"earthsearch:boa_offset_applied": False}) == 1000
    found = choose_scenes([real], EARTH_SEARCH, shape(real["geometry"]), 100)
    assert found.scenes[0].epsg == 32720
    assert found.scenes[0].hrefs["B08"].endswith("B08.tif") and found.scenes[0].hrefs["B8A"].endswith("B8A.tif")
    assert all(check_href(EARTH_SEARCH, href) for href in found.scenes[0].hrefs.values())


@pytest.mark.parametrize(
    ("flag", "baseline", "offset"),
    [(True, "05.11", 0), (False, "05.11", 1000), (False, "04.00", 1000), (False, "02.14", 0), (False, "03.01", 0)],
)
def test_offset_rule(flag, baseline, offset):
    listed = {"earthsearch:boa_offset_applied": flag, "s2:processing_baseline": baseline}
    assert earth_search_offset(listed) == offset


def test_a_reprocessed_scene_counts_once_and_the_newest_baseline_is_kept(item):
    take = item["properties"]["s2:datatake_id"].replace("N05.00", "N05.10")
    newer = changed(item, "b", **{"s2:processing_baseline": "05.10", "s2:datatake_id": take})
    found = choose(item, newer)
    assert [scene.id for scene in found.scenes] == ["b"]
    assert found.left_out == (("a", "was processed again as b"),)


def test_both_halves_of_a_split_datatake_are_kept(item):
    west, east = changed(item, "w", box(15, 47, 15.55, 48)), changed(item, "e", box(15.45, 47, 16, 48))
    assert {scene.id for scene in choose(west, east, region=box(15.4, 47, 15.6, 48)).scenes} == {"w", "e"}


def test_scenes_are_left_out_with_a_reason(item):
    found = choose(
        changed(item, "far", box(3, 3, 4, 4)),
        changed(item, "cloudy", **{"eo:cloud_cover": 93}),
        changed(item, "empty", **{"s2:nodata_pixel_percentage": 100}),
        {**item, "id": "lacking", "assets": {}},
    )
    reasons = dict(found.left_out)
    assert not found.scenes
    assert reasons["far"] == "misses the region" and reasons["empty"] == "is empty"
    assert "93 %" in reasons["cloudy"] and reasons["lacking"].startswith("lacks blue")


def test_the_list_survives_writing_and_its_identity_ignores_links(item):
    found = choose(item, changed(item, "b", **{"s2:datatake_id": "other_N05.00"}))
    again, search = SceneList.decode(found.encode({"what": 1}))
    assert again == found and search == {"what": 1}
    moved = copy.deepcopy(item)
    moved["assets"]["red"]["href"] = "https://elsewhere/red.tif"
    assert choose(moved).identity == choose(item).identity != found.identity


def test_both_projection_fields_are_understood():
    assert epsg_of({"proj:epsg": 32633}) == epsg_of({"proj:code": "EPSG:32633"}) == 32633


@pytest.mark.parametrize(
    "href",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "/vsicurl/https://sentinel-cogs.s3.us-west-2.amazonaws.com/x.tif",
        "http://169.254.169.254/latest/meta-data",
        "https://sentinel-cogs.s3.us-west-2.amazonaws.com.evil.example/x.tif",
        "https://evil.example/?sentinel-cogs.s3.us-west-2.amazonaws.com",
        "s3://sentinel-cogs/x.tif",
    ],
)
def test_links_to_anywhere_else_are_refused(href):
    with pytest.raises(BadInput, match="does not point to"):
        check_href(EARTH_SEARCH, href)


def test_periods_partition_the_season():
    for rule in ("month", "dekad", 1, 7, 30):
        periods = split_season(date(2021, 3, 5), date(2021, 10, 31), rule)
        assert periods[0].start == date(2021, 3, 5) and periods[-1].end == date(2021, 11, 1)
        assert all(a.end == b.start for a, b in zip(periods, periods[1:], strict=False))
    assert len(split_season(date(2021, 3, 1), date(2021, 10, 31), "month")) == 8
    assert len(split_season(date(2021, 3, 1), date(2021, 3, 31), "dekad")) == 3
    assert len(split_season(date(2021, 3, 1), date(2021, 10, 31), 7)) == 7
