"""The table of providers against what the real catalogues answered: bands, CRS, offsets, and one scene counted once."""

import copy
import re
from datetime import date

import pytest
from recorded import (
    COLLECTION_1,
    COPERNICUS,
    COPERNICUS_2020,
    FLAGGED,
    PLANETARY,
    STACTOOLS_0212,
    STACTOOLS_0400,
    V0,
    needs_real,
    recorded,
)  # fmt: skip
from shapely import box

from catalogs.bands import BANDS
from catalogs.errors import BadInput
from catalogs.stac.choosing import STRAYS, choose_scenes, scene_of
from catalogs.stac.items import Unusable
from catalogs.stac.links import check_href
from catalogs.stac.observations import candidate_of, one_of_each
from catalogs.stac.providers import PROVIDERS, provider_of
from catalogs.stac.radiometry import offset_by_assets, offset_by_baseline, offset_by_flag
from catalogs.stac.wanted import Wanted

WORLD = box(-180, -90, 180, 90)
EVER = date(2015, 1, 1), date(2030, 1, 1)
FLAG = "earthsearch:boa_offset_applied"
LISTED_HERE = "raster:offset -0.1 of its assets"


def chosen(name, provider, collection):
    return choose_scenes(recorded(name), provider_of(provider, collection), Wanted(collection, WORLD, *EVER))


@needs_real
@pytest.mark.parametrize(
    ("name", "provider", "collection", "epsg", "tile", "baseline", "offset", "reason"),
    [
        (FLAGGED, "earth-search", "sentinel-2-l2a", 32720, "20EPT", "05.11", 0, f"{FLAG} is true"),
        (COLLECTION_1, "earth-search", "sentinel-2-c1-l2a", 32720, "20EPT", "05.11", 1000, LISTED_HERE),
        (V0, "earth-search", "sentinel-s2-l2a-cogs", 32720, "20EPT", "05.11", 0, "sentinel:boa_offset_applied is true"),
        (PLANETARY, "planetary-computer", "sentinel-2-l2a", 32660, "60VUK", "02.12", 0, "baseline 02.12, before 04.00"),
        (COPERNICUS, "cdse", "sentinel-2-l2a", 32632, "32TNT", "05.00", 1000, LISTED_HERE),
        (COPERNICUS_2020, "cdse", "sentinel-2-l2a", 32636, "36NYH", "05.00", 1000, LISTED_HERE),
        (STACTOOLS_0212, "local", "sentinel-2-l2a", 32707, "07HFE", "02.12", 0, "baseline 02.12, before 04.00"),
        (STACTOOLS_0400, "local", "sentinel-2-l2a", 32633, "33XWJ", "04.00", 1000, "baseline 04.00, from 04.00 on"),
        (STACTOOLS_0212, "local", "sentinel-2-c1-l2a", 32707, "07HFE", "02.12", 0, "raster:offset 0 of its assets"),
    ],
)  # fmt: skip
def test_recorded_items_are_understood(name, provider, collection, epsg, tile, baseline, offset, reason):
    scene = next(scene for scene in chosen(name, provider, collection).scenes if scene.tile == tile)
    assert (scene.epsg, scene.baseline, scene.offset, scene.offset_reason) == (epsg, baseline, offset, reason)
    assert (
        re.fullmatch("sentinel-2[ab]", scene.platform) and scene.moment.endswith("+00:00") and 0 <= scene.cloud <= 100
    )


@needs_real
@pytest.mark.parametrize(
    ("name", "provider", "collection"),
    [
        (FLAGGED, "earth-search", "sentinel-2-l2a"),
        (COLLECTION_1, "earth-search", "sentinel-2-c1-l2a"),
        (PLANETARY, "planetary-computer", "sentinel-2-l2a"),
        (COPERNICUS, "cdse", "sentinel-2-l2a"),
        (STACTOOLS_0400, "local", "sentinel-2-l2a"),
    ],
)
def test_each_band_is_read_from_its_own_file_at_its_native_resolution(name, provider, collection):
    row, items = provider_of(provider, collection), recorded(name)
    for scene in chosen(name, provider, collection).scenes:
        item = next(item for item in items if item["id"] == scene.id)
        for band, asset in row.assets.items():
            fields = item["assets"][asset]
            named = {part["name"] for part in fields.get("eo:bands") or fields.get("bands") or [{"name": "SCL"}]}
            size = 10980 if band in ("B02", "B03", "B04", "B08") else 5490
            assert band in named and fields["proj:shape"] == [size, size], asset
            assert re.search(rf"{band}(_[12]0m)?\.(tif|jp2)$", scene.hrefs[band])
            if row.url:
                assert check_href(row, scene.hrefs[band])


@needs_real
def test_the_same_scene_of_three_collections_counts_once():
    rows = {V0: "sentinel-s2-l2a-cogs", FLAGGED: "sentinel-2-l2a", COLLECTION_1: "sentinel-2-c1-l2a"}
    items = [(recorded(name)[0], provider_of("earth-search", collection)) for name, collection in rows.items()]
    candidates = [candidate_of(scene_of(item, row), item) for item, row in items]
    assert len({candidate.observation for candidate in candidates}) == 1
    kept, repeated = one_of_each(candidates)
    assert len(kept) == 1 and [reason for _, reason in repeated] == [f"was processed again as {kept[0].id}"] * 2


@needs_real
def test_overlapping_tiles_and_two_zones_are_all_kept():
    assert {scene.tile for scene in chosen(COPERNICUS, "cdse", "sentinel-2-l2a").scenes} == {"32TNT", "32TMT"}
    found = chosen(PLANETARY, "planetary-computer", "sentinel-2-l2a").scenes
    assert {scene.epsg for scene in found} == {32659, 32660} and len(found) == 4


@needs_real
def test_what_was_never_asked_for_is_told_once():
    found = chosen("earthsearch_v1_search_page1.json", "earth-search", "sentinel-2-l2a")
    assert [scene.id for scene in found.scenes] == ["S2B_24MUV_20250731_0_L2A", "S2B_20EPT_20250731_0_L2A"]
    assert found.left_out == ((STRAYS, "were in the answer: 8 of other collections; the catalogue ignores filters"),)


@needs_real
def test_a_product_that_the_copernicus_data_space_made_again_counts_once():
    old = recorded(COPERNICUS_2020)[0]
    new = copy.deepcopy(old) | {"id": old["id"].replace("N0500", "N0510").replace("20230612T214223", "20240612T214223")}
    properties = {"processing:version": "05.10", "processing:datetime": "2024-06-12T21:42:23Z"}
    new["properties"] |= properties | {
        "eopf:datatake_id": old["properties"]["eopf:datatake_id"].replace("05.00", "05.10")
    }
    found = choose_scenes([old, new], provider_of("cdse", "sentinel-2-l2a"), Wanted("sentinel-2-l2a", WORLD, *EVER))
    assert [scene.id for scene in found.scenes] == [new["id"]]
    assert found.left_out == ((old["id"], f"was processed again as {new['id']}"),)


def item(assets=None, **properties):
    return {"id": "x", "properties": properties, "assets": {"a": assets or {}, "b": assets or {}}}


LISTED = {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}


@pytest.mark.parametrize(
    ("flag", "baseline", "counts"),
    [(True, "05.11", 0), (False, "05.11", 1000), (False, "04.00", 1000), (False, "02.14", 0), (False, "03.01", 0),
     ("true", "05.11", 0), (None, "05.11", 1000), (None, "02.14", 0)],
)  # fmt: skip
def test_earth_searchs_flag_decides_and_its_listed_offset_does_not(flag, baseline, counts):
    found = offset_by_flag(item(LISTED, **{FLAG: flag, "s2:processing_baseline": baseline}), "ab")
    assert found.counts == counts
    assert (FLAG in found.reason) == (flag is not None)


@pytest.mark.parametrize(
    ("asset", "counts"),
    [
        (LISTED, 1000),
        ({"raster:bands": [{"scale": 0.0001, "offset": 0}]}, 0),
        ({"raster:scale": 0.0001, "raster:offset": -0.1}, 1000),
        ({"bands": [{"name": "B04", "raster:scale": 0.0001, "raster:offset": -0.1}]}, 1000),
        ({"bands": [{"name": "B04"}], "raster:offset": -0.1}, 1000),
        ({"bands": [{"name": "B04"}]}, 1000),
        ({}, 1000),
    ],
)
def test_listed_offsets_of_all_versions_of_the_raster_extension(asset, counts):
    assert offset_by_assets(item(asset, **{"processing:version": "05.10"}), "ab").counts == counts


def test_collection_1_holds_the_offset_whatever_a_flag_says():
    for flag in (True, False):
        assert offset_by_assets(item(LISTED, **{FLAG: flag, "s2:processing_baseline": "05.00"}), "ab").counts == 1000


@pytest.mark.parametrize(
    ("assets", "reason"),
    [
        ({"a": {"raster:scale": 0.001, "raster:offset": -0.1}, "b": {}}, "counts of another size"),
        ({"a": {"raster:scale": 0.0001, "raster:offset": -0.1}, "b": {"raster:offset": 0}}, "different offsets"),
        ({"a": {"raster:offset": 0.1}, "b": {"raster:offset": 0.1}}, "cannot be"),
        ({"a": {}, "b": {}}, "no processing baseline"),
    ],
)
def test_a_scene_whose_offset_cannot_be_known_is_left_out(assets, reason):
    with pytest.raises(Unusable, match=reason):
        offset_by_assets(item() | {"assets": assets}, "ab")


@pytest.mark.parametrize(
    ("told", "counts"),
    [
        ({"s2:processing_baseline": "02.12"}, 0),
        ({"s2:processing_baseline": "03.01"}, 0),
        ({"s2:processing_baseline": "04.00"}, 1000),
        ({"s2:processing_baseline": "05.11"}, 1000),
        ({"s2:product_uri": "S2A_MSIL2A_20250302T100031_N0511_R122_T33UXP_20250302T153310.SAFE"}, 1000),
        ({"s2:datatake_id": "GS2A_20190101T000001_018417_N02.12"}, 0),
    ],
)
def test_the_planetary_computers_baseline_decides(told, counts):
    assert offset_by_baseline(item(**told), "ab").counts == counts


def test_every_row_has_all_bands_and_a_place_for_its_pixels():
    for row in PROVIDERS:
        assert set(row.assets) == {*BANDS, "SCL"} and len(set(row.assets.values())) == 11
        assert row.url is None or (row.url.startswith("https://") and row.hosts + row.buckets)
        assert provider_of(row.name, row.collection) is row


@pytest.mark.parametrize(
    ("name", "collection", "words"),
    [("earthsearch", "sentinel-2-l2a", "planetary-computer, cdse, local"),
     ("earth-search", "sentinel-2-l1c", "sentinel-2-l2a, sentinel-2-c1-l2a"), ("cdse", "landsat", "sentinel-2-l2a")],
)  # fmt: skip
def test_wrong_names_are_told_the_right_ones(name, collection, words):
    with pytest.raises(BadInput, match=words):
        provider_of(name, collection)
