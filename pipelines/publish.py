"""publish: pictures, a report and, last of all, the STAC item that makes a map visible."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Any

import numpy as np
import pystac
import shapely
from pyproj import CRS
from pystac.extensions.classification import Classification
from shapely.geometry.base import BaseGeometry

from catalogs.crops import LABELS, MAP, PROBABILITY
from catalogs.cube import NAME as CUBE
from catalogs.cube import cube_units
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.root import Root
from catalogs.scenes import SceneList
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE, Taxonomy
from catalogs.versions import COLLECTION, encoded
from cluster.progress import Progress
from pipelines.export import exported
from pipelines.freezing import freeze_version
from pipelines.ingest_records import read_account
from pipelines.pictures import Survey, draw, layers, survey
from pipelines.plan import Plan
from pipelines.pyramid import build_pyramid
from pipelines.report import Evidence, render_report
from pipelines.stored import ITEM, SCORES, check_whole

REPORT = "report/index.html"
SCENES = "scenes.json"
JSON = "application/json"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"

EXTENSIONS = [
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
]

HEADLINES = ("mean_iou", "pixel_accuracy", "mean_class_accuracy", "mean_f1", "kappa")


def publish(plan: Plan, progress: Progress, with_seams: bool = False) -> dict[str, Any]:
    """Describe a whole, scored map; publishing it again gives the same bytes. One with seams only if that is asked."""
    check_whole(plan, MAP, LABELS)
    taxonomy, evidence = plan.taxonomy, gather_evidence(plan)
    evidence = replace(evidence, seams=_seams(plan, progress, with_seams))
    pictures = layers(taxonomy)
    pixels = build_pyramid(plan, progress)
    with progress.stage("publish", len(plan.tiles) + len(pictures) + 2, "steps") as bar:
        seen = survey(plan, taxonomy, bar)
        note = picture_note(plan)
        drawn = [key for key in pictures if seen.pixels[key][:IGNORE].any()]
        for key, layer in pictures.items():
            if key in drawn:
                plan.root.write(f"report/{key}.png", draw(layer, seen, key, plan.project.region.name, note))
            bar.advance()
        hectares = hectares_of(plan, seen, taxonomy)
        plan.root.write(REPORT, render_report(plan, taxonomy, evidence, hectares, drawn))
        bar.advance()
        if plan.checkpoint_root != plan.root:
            plan.root.write(_card_here(plan), plan.checkpoint_root.read(_card(plan)))
        item = make_item(plan, taxonomy, evidence, hectares, pixels).to_dict(include_self_link=False)
        version = freeze_version(plan, item, pixels)
        plan.root.write(ITEM, encoded(item))
        bar.advance()
    collection = Root(plan.project.published).path(COLLECTION)
    return {
        "item": plan.root.path(ITEM),
        "report": plan.root.path(REPORT),
        "version": version,
        "collection": collection,
    }


def _seams(plan: Plan, progress: Progress, accepted: bool) -> dict[str, Any]:
    from pipelines.seam_check import check_seams  # here, because it brings torch and Ray with it

    return check_seams(plan, progress, accepted)


def gather_evidence(plan: Plan) -> Evidence:
    """What earlier verbs wrote down, read back."""
    return Evidence(
        scores=read_scores(plan),
        card=_read(plan, _card(plan), "train", plan.checkpoint_root),
        scenes=_scenes(plan),
        unreadable=_unreadable(plan),
        cube=_identity(plan, CUBE),
        map=_identity(plan, MAP),
    )


def read_scores(plan: Plan) -> dict[str, Any]:
    """The scores of this very map."""
    from pipelines.validate import describe_scores  # here, because it brings torch and Ray with it

    scores = _read(plan, SCORES, "validate")
    if "identity" in scores and scores["identity"] != identity(describe_scores(plan)):
        raise _not_yet(plan, SCORES, "holds the scores of another map or other labels.", "validate")
    return scores


def picture_note(plan: Plan) -> str:
    season, grid = plan.project.season, plan.grid
    return f"{season.start} to {season.end} · {grid.crs}, its north is up · pixels of {grid.resolution} m"


def hectares_of(plan: Plan, seen: Survey, taxonomy: Taxonomy) -> dict[str, float]:
    """Mapped ground by class, and what has no data; pixel counts, so not estimates of area."""
    pixel = plan.grid.resolution**2 / 10_000
    counts = seen.pixels["map"]
    areas = {name: round(float(counts[number]) * pixel, 2) for number, name in enumerate(taxonomy.names)}
    return areas | {"no_data": round(float(counts[IGNORE]) * pixel, 2)}


def make_item(
    plan: Plan, taxonomy: Taxonomy, evidence: Evidence, hectares: dict[str, float], pixels: str
) -> pystac.Item:
    """The map as a STAC 1.1 item; its times are the season's, so that it is the same whenever it is made."""
    season, region = plan.project.season, plan.project.region
    shape = outline(plan)
    item = pystac.Item(
        id=item_id(plan),
        geometry=json.loads(shapely.to_geojson(shape)),
        bbox=list(shape.bounds),
        datetime=None,
        start_datetime=datetime.combine(season.start, time(), UTC),
        end_datetime=datetime.combine(season.end, time(23, 59, 59), UTC),
        properties={
            "title": f"Crop map of {region.name}, {season.start} to {season.end}",
            "description": f"The crop of each pixel of {region.resolution} m, mapped by Furrow from Sentinel-2.",
            "gsd": region.resolution,
            **_projection(plan),
            **_provenance(plan, evidence, hectares),
        },
        stac_extensions=EXTENSIONS,
    )
    for key, asset in _assets(plan, taxonomy, pixels).items():
        item.add_asset(key, asset)
    return item


def outline(plan: Plan) -> BaseGeometry:
    """The region in degrees, true to a pixel (1e-4 degrees are 11 m) and without digits that say nothing."""
    simple = plan.region_lonlat.simplify(1e-4)
    rounded: BaseGeometry = shapely.transform(simple, lambda degrees: np.round(degrees, 6))
    return rounded


def item_id(plan: Plan) -> str:
    """Letters, digits and hyphens only: ids become file names and parts of addresses."""
    season, name = plan.project.season, plan.project.region.name.lower()
    return "-".join(["crops", *re.findall(r"[a-z0-9]+", name), f"{season.start:%Y%m%d}", f"{season.end:%Y%m%d}"])


def _projection(plan: Plan) -> dict[str, Any]:
    grid = plan.grid
    left, top, step = grid.transform.c, grid.transform.f, grid.resolution
    height, width = grid.shape
    return {
        "proj:code": CRS.from_user_input(grid.crs).to_string(),
        "proj:bbox": [left, top - height * step, left + width * step, top],
        "proj:shape": [height, width],
        "proj:transform": list(grid.transform)[:6],
    }


def _provenance(plan: Plan, evidence: Evidence, hectares: dict[str, float]) -> dict[str, Any]:
    season = evidence.scores.get("season") or {}
    found = {
        "furrow:checkpoint": plan.project.checkpoint,
        "furrow:weights_sha256": evidence.card.get("weights_sha256"),
        "furrow:training": evidence.card.get("training_identity"),
        "furrow:cube": evidence.cube,
        "furrow:map": evidence.map,
        "furrow:scenes": evidence.scenes.identity,
        "furrow:scores": {name: season[name] for name in HEADLINES if season.get(name) is not None},
        "furrow:hectares": hectares,
        "furrow:made_up": plan.root.exists("catalog/catalog.json"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _assets(plan: Plan, taxonomy: Taxonomy, pixels: str) -> dict[str, pystac.Asset]:
    crop = _band("crop", plan) | {"classification:classes": _classes(taxonomy)}
    confidence = _band("confidence", plan) | {"unit": "%"}
    observations = _band("observations", plan)
    bands = [crop, confidence, observations]
    if plan.project.map.probabilities:
        bands.append(_band(PROBABILITY, plan) | {"unit": "%"})
    zarr = "application/vnd.zarr; version=3"
    return {
        "map": pystac.Asset(f"./{MAP}", "Crop map", None, zarr, ["data"], {"bands": bands}),
        "overview": pystac.Asset("./report/map.png", "Crop map with its legend", None, "image/png", ["overview"]),
        "report": pystac.Asset(
            f"./{REPORT}", "How good the map is, and how it was made", None, "text/html", ["metadata"]
        ),
        "scores": pystac.Asset(f"./{SCORES}", "Scores on held-out blocks", None, JSON, ["metadata"]),
        "card": pystac.Asset(f"./{_card_here(plan)}", "The network that mapped", None, JSON, ["metadata"]),
        "scenes": pystac.Asset(f"./{SCENES}", "The scenes that were used or left out", None, JSON, ["metadata"]),
        **_files(plan, pixels, {"crop": crop, "confidence": confidence, "observations": observations}),
    }


def _files(plan: Plan, pixels: str, bands: dict[str, dict[str, Any]]) -> dict[str, pystac.Asset]:
    """The GeoTIFFs of the map, where `export` has made them."""
    return {
        f"{name}-cog": pystac.Asset(f"./{key}", f"The map's {name}", None, COG, ["data"], {"bands": [bands[name]]})
        for name, key in exported(plan, pixels).items()
    }


def _card(plan: Plan) -> str:
    return f"checkpoints/{plan.project.checkpoint}/card.json"


def _card_here(plan: Plan) -> str:
    """Where the root has the card: a map leads to files of its own root, and a version is made of them."""
    return _card(plan) if plan.checkpoint_root == plan.root else "report/card.json"


def _band(name: str, plan: Plan) -> dict[str, Any]:
    return {
        "name": name,
        "data_type": "uint8",
        "nodata": IGNORE,
        "raster:spatial_resolution": plan.grid.resolution,
        "raster:sampling": "area",
    }


def _classes(taxonomy: Taxonomy) -> list[dict[str, Any]]:
    rows = zip(taxonomy.names, taxonomy.titles, taxonomy.colours, strict=True)
    known = [
        Classification.create(value=number, name=name, title=title, color_hint=colour[1:].upper())
        for number, (name, title, colour) in enumerate(rows)
    ]
    nothing = Classification.create(value=IGNORE, name="no_data", title="No data", nodata=True)
    return [entry.to_dict() for entry in (*known, nothing)]


def _read(plan: Plan, key: str, verb: str, root: Root | None = None) -> dict[str, Any]:
    root = root or plan.root
    if not root.exists(key):
        raise _not_yet(plan, key, "is not there.", verb)
    try:
        found: dict[str, Any] = json.loads(root.read(key))
    except ValueError as error:
        raise _not_yet(plan, key, f"is not whole JSON ({error}).", verb) from error
    return found


def _scenes(plan: Plan) -> SceneList:
    _read(plan, SCENES, "ingest")
    return SceneList.decode(plan.root.read(SCENES))[0]


def _unreadable(plan: Plan) -> dict[str, int]:
    """Scene -> in how many periods of tiles it could not be read."""
    account = read_account(Store(plan.root, CUBE), cube_units(plan.tiles, plan.periods), len(plan.periods))
    return account.lost


def _identity(plan: Plan, store: str) -> str | None:
    description = Store(plan.root, store).description()
    return identity(description) if description is not None else None


def _not_yet(plan: Plan, key: str, why: str, verb: str) -> BadInput:
    return BadInput(plan.root.path(key), why, f"Run `furrow {verb} {plan.project.path.name}` first.")
