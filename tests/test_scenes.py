"""Choosing scenes: duplicates, halves, reasons, odd items, and a list that stays as it is."""

import copy
import json
import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import box
from shapely.geometry import mapping

from catalogs.periods import split_season
from catalogs.scenes import SceneList
from catalogs.stac.choosing import STRAYS, choose_scenes
from catalogs.stac.items import baseline_of, epsg_of, tile_of
from catalogs.stac.providers import provider_of
from catalogs.stac.wanted import Wanted

EARTH_SEARCH = provider_of("earth-search", "sentinel-2-l2a")
HERE = box(15.2, 47.2, 15.4, 47.4)
TILE = box(15, 47, 16.45, 48)
"""About as large as a tile."""


def as_read(ground):
    """GeoJSON as it comes from a file."""
    return json.loads(json.dumps(mapping(ground)))


@pytest.fixture
def item():
    return an_item()


def an_item():
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


def choose(*items, region=HERE, max_cloud=80, **how):
    wanted = Wanted("sentinel-2-l2a", region, date(2021, 3, 1), date(2021, 10, 31), max_cloud, **how)
    return choose_scenes(items, EARTH_SEARCH, wanted)


def names(found):
    return {scene.id for scene in found.scenes}


def test_a_reprocessed_scene_counts_once_and_the_newest_baseline_is_kept(item):
    take = item["properties"]["s2:datatake_id"].replace("N05.00", "N05.10")
    newer = changed(item, "b", **{"s2:processing_baseline": "05.10", "s2:datatake_id": take})
    for items in ((item, newer), (newer, item)):
        found = choose(*items)
        assert names(found) == {"b"}
        assert found.left_out == (("a", "was processed again as b"),)


def test_of_one_baseline_the_latest_generation_is_kept(item):
    newer = changed(item, "b", **{"s2:generation_time": "2023-06-01T14:00:00.123Z"})
    newest = changed(item, "A", **{"s2:generation_time": "2023-06-01T14:00:01Z"})
    assert names(choose(newest, item, newer)) == {"A"}


def test_the_planetary_computers_spelling_makes_no_second_observation(item):
    other = changed(item, "b", **{"platform": "Sentinel-2B", "s2:mgrs_tile": "33UXP", "grid:code": None})
    assert len(choose(item, other).scenes) == 1


def test_an_item_that_two_pages_list_is_read_once(item):
    assert choose(item, item).left_out == () and len(choose(item, item).scenes) == 1


def test_both_halves_of_a_split_datatake_are_kept(item):
    west, east = changed(item, "w", box(15, 47, 15.55, 48)), changed(item, "e", box(15.45, 47, 16, 48))
    assert names(choose(west, east, region=box(15.4, 47, 15.6, 48))) == {"w", "e"}


def test_a_whole_product_replaces_the_halves_of_an_older_baseline(item):
    halves = [changed(item, "w", box(15, 47, 15.55, 48)), changed(item, "e", box(15.45, 47, 16, 48))]
    whole = changed(item, "whole", **{"s2:processing_baseline": "05.10"})
    found = choose(*halves, whole, region=box(15.4, 47, 15.6, 48))
    assert names(found) == {"whole"} and {name for name, _ in found.left_out} == {"w", "e"}


def strip(start):
    return f"S2B_OPER_MSI_L2A_DS_2BPS_20210601T140000_S{start}_N05.00"


def test_halves_are_kept_where_both_claim_the_whole_tile(item):
    half = "s2:nodata_pixel_percentage"
    west = changed(item, "w", TILE, **{half: 40, "s2:datastrip_id": strip("20210601T100500")})
    east = changed(item, "e", TILE, **{half: 62, "s2:datastrip_id": strip("20210601T100530")})
    again = changed(west, "w2", **{"s2:processing_baseline": "05.10", "s2:datastrip_id": strip("20210601T100501")})
    assert names(choose(west, east)) == {"w", "e"}
    assert names(choose(west, east, again)) == {"w2", "e"}


def test_a_whole_tile_made_again_is_no_half(item):
    first = changed(item, "a", TILE, **{"s2:nodata_pixel_percentage": 0, "s2:datastrip_id": strip("20210601T100500")})
    again = changed(first, "b", **{"s2:datastrip_id": strip("20210601T100530")})
    assert names(choose(first, again)) == {"b"}


def test_scenes_are_left_out_with_a_reason(item):
    found = choose(
        changed(item, "far", box(3, 3, 4, 4)),
        changed(item, "cloudy", **{"eo:cloud_cover": 93}),
        changed(item, "empty", **{"s2:nodata_pixel_percentage": 100}),
        {**item, "id": "lacking", "assets": {}},
        changed(item, "placeless", **{"proj:epsg": None}),
    )
    reasons = dict(found.left_out)
    assert not found.scenes
    assert reasons["far"] == "misses the region" and reasons["empty"] == "is empty"
    assert "93 %" in reasons["cloudy"] and reasons["lacking"].startswith("lacks blue")
    assert reasons["placeless"] == "names no CRS"


def test_what_a_server_was_not_asked_for_is_told_in_one_line(item):
    late, early = (
        changed(item, "l", datetime="2021-11-01T00:00:00Z"),
        changed(item, "e", datetime="2021-02-28T23:59:59Z"),
    )
    far, other = changed(item, "f", box(3, 3, 4, 4)), item | {"id": "o", "collection": "sentinel-2-l1c"}
    found = choose(item, late, early, far, other, of_server=True)
    assert names(found) == {"a"}
    ((name, reason),) = found.left_out
    assert name == STRAYS and "2 outside the season" in reason
    assert "1 of other collections" in reason and "1 outside the region's box" in reason


def test_the_last_moment_of_the_season_belongs_to_it(item):
    assert names(choose(changed(item, "l", datetime="2021-10-31T23:59:59.9Z"))) == {"l"}


ODD = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(
    where=st.sampled_from(["id", "properties", "assets", "geometry", "collection"])
    | st.sampled_from(["datetime", "platform", "proj:epsg", "proj:code", "grid:code", "eo:cloud_cover", "statistics",
                       "s2:processing_baseline", "s2:datatake_id", "s2:generation_time", "s2:nodata_pixel_percentage"]),
    value=ODD,
)  # fmt: skip
def test_one_odd_item_never_costs_the_others(where, value):
    good = an_item()
    odd = changed(good, "odd")
    (odd if where in odd else odd["properties"])[where] = value
    assert "a" in names(choose(good | {"properties": good["properties"] | {"grid:code": "MGRS-33UWP"}}, odd))


def test_the_list_survives_writing_and_its_identity_ignores_links(item):
    unknown = changed(item, "b", **{"s2:datatake_id": "other_N05.00", "eo:cloud_cover": None, "grid:code": None})
    found = choose(item, unknown)
    again, search = SceneList.decode(found.encode({"what": 1}))
    assert again == found and search == {"what": 1}
    assert [math.isnan(scene.cloud) for scene in again.scenes] == [False, True]
    moved = copy.deepcopy(item)
    moved["assets"]["red"]["href"] = "https://elsewhere/red.tif"
    assert choose(moved).identity == choose(item).identity != found.identity


@pytest.mark.parametrize(
    ("whole", "asset"),
    [
        ({"proj:epsg": 32633}, {}),
        ({"proj:code": "EPSG:32633"}, {}),
        ({}, {"proj:code": "EPSG:32633"}),
        ({}, {"proj:epsg": 32633}),
        ({"proj:epsg": None, "proj:code": None}, {"proj:code": "epsg:32633"}),
        ({"proj:code": "http://www.opengis.net/def/crs/EPSG/0/32633"}, {}),
        ({"proj:code": "urn:ogc:def:crs:EPSG::32633"}, {}),
        ({"proj:code": "EPSG:4326"}, {"proj:code": "EPSG:32633"}),
    ],
)
def test_all_projection_fields_are_understood(whole, asset):
    assert epsg_of({"properties": whole, "assets": {"a": asset, "b": asset}}, "ab") == 32633


@pytest.mark.parametrize(
    ("told", "tile"),
    [({"grid:code": "MGRS-7HFE"}, "07HFE"), ({"s2:mgrs_tile": "33UXP"}, "33UXP"), ({}, ""),
     ({"mgrs:utm_zone": 7, "mgrs:latitude_band": "H", "mgrs:grid_square": "FE"}, "07HFE")],
)  # fmt: skip
def test_tiles_are_written_in_one_way(told, tile):
    assert tile_of({"id": "x", "properties": told}) == tile


def test_baselines_are_numbers():
    assert baseline_of({"properties": {"s2:processing_baseline": "05.10"}}) == (5, 10)
    assert baseline_of({"properties": {"processing:version": "05.09"}}) < (5, 10)
    assert baseline_of({"properties": {}}) == ()


def test_periods_partition_the_season():
    for rule in ("month", "dekad", 1, 7, 30):
        periods = split_season(date(2021, 3, 5), date(2021, 10, 31), rule)
        assert periods[0].start == date(2021, 3, 5) and periods[-1].end == date(2021, 11, 1)
        assert all(a.end == b.start for a, b in zip(periods, periods[1:], strict=False))
    assert len(split_season(date(2021, 3, 1), date(2021, 10, 31), "month")) == 8
    assert len(split_season(date(2021, 3, 1), date(2021, 3, 31), "dekad")) == 3
    assert len(split_season(date(2021, 3, 1), date(2021, 10, 31), 7)) == 7
