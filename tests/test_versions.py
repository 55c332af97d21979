"""Published versions: frozen whatever becomes of the root, listed with the current one, found again by day."""

import io
import json
from datetime import UTC, date, datetime

import numpy as np
import pystac
import pytest
import xarray as xr
from jsonschema import Draft7Validator
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource
from test_publish import item_schema, lay_plan, write_root

from catalogs import versions as shelf
from catalogs.errors import BadInput
from catalogs.root import Root
from catalogs.version_list import write_collection
from catalogs.versions import Version, version_on, versions
from cluster.progress import LineProgress
from pipelines import freezing
from pipelines.export import export
from pipelines.plan import Plan
from pipelines.publish import publish
from pipelines.versions import list_versions


def published(plan: Plan, monkeypatch, day: str) -> str:
    """Publish as if today were another day."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromisoformat(f"{day}T12:00:00+00:00").astimezone(tz or UTC)

    monkeypatch.setattr(freezing, "datetime", Clock)
    return publish(plan, LineProgress(io.StringIO()))["version"]


def shelf_of(plan: Plan) -> Root:
    return Root(plan.project.published)


def everything(root: Root) -> dict[str, bytes]:
    return {key: root.read(key) for key in root.keys("")}


def remade(plan: Plan, number: int) -> Plan:
    """The root after somebody removed the map and mapped anew."""
    plan.root.remove("map.zarr")
    return write_root(plan, mapped=np.full(plan.grid.shape, number, np.uint8))


def crop_of(version: Version) -> np.ndarray:
    return xr.open_zarr(version.place).crop.values


@pytest.fixture
def plan(tmp_path) -> Plan:
    return write_root(lay_plan(tmp_path))


def test_a_version_stays_when_the_root_is_mapped_anew(plan, monkeypatch):
    first = published(plan, monkeypatch, "2026-03-01")
    frozen = everything(shelf_of(plan))
    before = crop_of(versions(shelf_of(plan))[0])
    second = published(remade(plan, 7), monkeypatch, "2026-06-01")
    now = everything(shelf_of(plan))
    assert {key: now[key] for key in frozen if key != "collection.json"} == {
        key: data for key, data in frozen.items() if key != "collection.json"
    }
    old, new = versions(shelf_of(plan))
    assert (old.name, new.name) == (first, second) and first.startswith("2026-03-01-")
    assert (crop_of(old) == before).all() and (crop_of(new) == 7).all() and not (before == 7).all()


def test_the_same_map_is_the_same_version(plan, monkeypatch):
    first = published(plan, monkeypatch, "2026-03-01")
    frozen = everything(shelf_of(plan))
    assert published(plan, monkeypatch, "2026-06-01") == first
    assert everything(shelf_of(plan)) == frozen


def test_other_scores_are_another_version(plan, monkeypatch):
    first = published(plan, monkeypatch, "2026-03-01")
    scores = json.loads(plan.root.read("report/scores.json"))
    scores["season"]["mean_iou"] = 0.5
    plan.root.write("report/scores.json", json.dumps(scores).encode())
    assert published(plan, monkeypatch, "2026-06-01") != first
    href = versions(shelf_of(plan))[0].item["assets"]["scores"]["href"]
    assert json.loads(shelf_of(plan).read(href.removeprefix("../")))["season"]["mean_iou"] == 1


def test_a_version_is_found_by_its_day(plan, monkeypatch):
    first = published(plan, monkeypatch, "2026-03-01")
    second = published(remade(plan, 7), monkeypatch, "2026-06-01")
    on = [
        version_on(shelf_of(plan), date.fromisoformat(day)).name for day in ("2026-03-01", "2026-05-31", "2026-06-01")
    ]
    assert on == [first, first, second]
    with pytest.raises(BadInput, match="none had been published"):
        version_on(shelf_of(plan), date(2026, 2, 28))
    said = list_versions(plan, LineProgress(io.StringIO()), date(2026, 4, 1))["versions"]
    assert [one["version"] for one in said] == [first]
    assert len(list_versions(plan, LineProgress(io.StringIO()))["versions"]) == 2


def test_collection_and_items_are_stac_and_lead_to_everything(plan, monkeypatch):
    published(plan, monkeypatch, "2026-03-01")
    second = published(remade(plan, 7), monkeypatch, "2026-06-01")
    root = shelf_of(plan)
    told = json.loads(root.read("collection.json"))
    assert not list(collection_schema().iter_errors(told)) and told["version"] == second
    collection = pystac.Collection.from_dict(told, href=root.path("collection.json"))
    latest = [link for link in collection.links if link.rel == "latest-version"]
    assert len(latest) == 1 and second in latest[0].href and len(collection.get_item_links()) == 2
    for version in versions(root):
        assert not list(item_schema().iter_errors(version.item))
        item = pystac.Item.from_dict(dict(version.item), href=root.path(f"items/{version.name}.json"))
        for asset in item.assets.values():
            assert Root("/").exists(asset.get_absolute_href()), asset.href


def collection_schema() -> Draft7Validator:
    schemas = get_local_schema_cache()
    registry = Registry().with_resources((uri, Resource.from_contents(schema)) for uri, schema in schemas.items())
    return Draft7Validator(next(v for k, v in schemas.items() if k.endswith("/collection.json")), registry=registry)


def test_an_interrupted_version_is_not_listed_and_goes_on(plan, monkeypatch):
    keep, left = shelf._keep, iter(range(5))
    monkeypatch.setattr(shelf, "_keep", lambda *given: (next(left), keep(*given)))
    with pytest.raises(RuntimeError):  # the five are used up: as if the machine had gone
        published(plan, monkeypatch, "2026-03-01")
    assert not versions(shelf_of(plan)) and not shelf_of(plan).exists("collection.json")
    monkeypatch.setattr(shelf, "_keep", keep)
    published(plan, monkeypatch, "2026-03-02")
    (version,) = versions(shelf_of(plan))
    assert (crop_of(version) == xr.open_zarr(plan.root.path("map.zarr")).crop.values).all()


def test_a_lost_collection_is_made_again_and_several_projects_share_one(tmp_path, monkeypatch):
    plans = []
    for name, number in (("a", 3), ("b", 5)):
        (tmp_path / name).mkdir()
        plan = lay_plan(tmp_path / name)
        plan.project.store.__dict__["published"] = str(tmp_path / "maps")
        plans.append(write_root(plan, mapped=np.full(plan.grid.shape, number, np.uint8)))
    days = ["2026-03-01", "2026-06-01"]
    names = [published(plan, monkeypatch, day) for plan, day in zip(plans, days, strict=True)]
    root = Root(str(tmp_path / "maps"))
    assert [version.name for version in versions(root)] == names
    told = root.read("collection.json")
    root.remove("collection.json")
    write_collection(root)
    assert root.read("collection.json") == told


def test_exported_files_of_the_whole_map_are_assets(plan, monkeypatch):
    export(plan, LineProgress(io.StringIO()))
    published(plan, monkeypatch, "2026-03-01")
    assets = json.loads(plan.root.read("map.json"))["assets"]
    assert assets["crop-cog"]["href"] == "./cog/crop.tif" and "profile=cloud-optimized" in assets["crop-cog"]["type"]
    (version,) = versions(shelf_of(plan))
    assert shelf_of(plan).exists(version.item["assets"]["confidence-cog"]["href"].removeprefix("../"))
    published(remade(plan, 7), monkeypatch, "2026-06-01")
    assert "crop-cog" not in json.loads(plan.root.read("map.json"))["assets"]  # they are of the map before
