"""STAC items of the made-up scenes, worded like Earth Search's `sentinel-2-l2a`, and their signs of completion."""

import json
import os
from dataclasses import asdict
from typing import Any

import numpy as np
from shapely.geometry import Polygon, mapping
from shapely.geometry.polygon import orient

from catalogs.bands import CENTRE_WAVELENGTH, NATIVE_RESOLUTION
from catalogs.synthetic.frames import ZONES, Frame, frame_of
from catalogs.synthetic.passes import SceneJob, footprint
from catalogs.synthetic.projections import LONLAT, project, utm
from catalogs.synthetic.settings import CountrySettings

COLLECTION = "sentinel-2-l2a"
ASSETS = {
    "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2", "B07": "rededge3",
    "B08": "nir", "B8A": "nir08", "B11": "swir16", "B12": "swir22", "SCL": "scl",
}  # fmt: skip
COMMON_NAMES = {"B05": "rededge", "B06": "rededge", "B07": "rededge"} | {
    band: ASSETS[band] for band in ("B02", "B03", "B04", "B08", "B8A", "B11", "B12")
}
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
SCL_PROPERTIES = {
    1: "saturated_defective_pixel", 3: "cloud_shadow", 4: "vegetation", 5: "not_vegetated", 6: "water",
    7: "unclassified", 8: "medium_proba_clouds", 9: "high_proba_clouds", 10: "thin_cirrus", 11: "snow_ice",
}  # fmt: skip
EXTENSIONS = [
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in (
        "grid/v1.1.0", "mgrs/v1.0.0", "processing/v1.1.0", "projection/v1.1.0", "sentinel-2/v1.0.0",
        "raster/v1.1.0", "view/v1.0.0", "eo/v1.1.0",
    )
]  # fmt: skip


def write_json(path: str, content: dict[str, Any]) -> None:
    """Whole or absent."""
    partial = f"{path}.part"
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
    os.replace(partial, path)


def item_path(folder: str, scene_id: str) -> str:
    return os.path.join(folder, f"{scene_id}.json")


def is_written(settings: CountrySettings, job: SceneJob, folder: str) -> bool:
    """Whether this scene of this very country lies there complete."""
    try:
        with open(item_path(folder, job.scene_id), encoding="utf-8") as file:
            return bool(json.load(file)["properties"]["furrow:country"] == asdict(settings))
    except (OSError, ValueError, KeyError):
        return False


def write_item(settings: CountrySettings, job: SceneJob, scl: np.ndarray, folder: str) -> None:
    write_json(item_path(folder, job.scene_id), describe_scene(settings, job, scl))


def describe_scene(settings: CountrySettings, job: SceneJob, scl: np.ndarray) -> dict[str, Any]:
    seen = footprint_lonlat(settings, job)
    links = {"root": "../../catalog.json", "parent": "../collection.json", "collection": "../collection.json"}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": EXTENSIONS,
        "id": job.scene_id,
        "geometry": mapping(seen),
        "bbox": [round(value, 6) for value in seen.bounds],
        "properties": _properties(settings, job) | _shares(scl),
        "links": [{"rel": rel, "href": href, "type": "application/json"} for rel, href in links.items()],
        "assets": {name: _asset(band, frame_of(settings, job.zone)) for band, name in ASSETS.items()},
        "collection": COLLECTION,
    }


def footprint_lonlat(settings: CountrySettings, job: SceneJob) -> Polygon:
    return orient(project(footprint(settings, job), utm(job.zone), LONLAT))


def _properties(settings: CountrySettings, job: SceneJob) -> dict[str, Any]:
    grid, baseline = ZONES[job.zone], job.processing.baseline
    number = "N" + baseline.replace(".", "")
    satellite = f"S{job.platform[-2:].upper()}"
    start, made = (f"{moment:%Y%m%dT%H%M%S}" for moment in (job.datatake_start, job.generated))
    return {
        "created": _utc(job.generated),
        "updated": _utc(job.generated),
        "datetime": _utc(job.sensed),
        "platform": job.platform,
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "gsd": 10,
        "proj:epsg": frame_of(settings, job.zone).epsg,
        "mgrs:utm_zone": job.zone,
        "mgrs:latitude_band": grid[2],
        "mgrs:grid_square": grid[3:],
        "grid:code": f"MGRS-{grid}",
        "view:sun_azimuth": job.sun_azimuth,
        "view:sun_elevation": round(job.sun_elevation, 6),
        "s2:product_type": "S2MSI2A",
        "s2:processing_baseline": baseline,
        "s2:product_uri": f"{satellite}_MSIL2A_{start}_{number}_R{job.orbit:03d}_T{grid}_{made}.SAFE",
        "s2:generation_time": _utc(job.generated),
        "s2:datatake_id": f"{job.datatake}_N{baseline}",
        "s2:datatake_type": "INS-NOBS",
        "s2:sequence": str(job.sequence),
        "earthsearch:boa_offset_applied": job.processing.boa_offset_applied,
        "furrow:country": asdict(settings),
    }


def _shares(scl: np.ndarray) -> dict[str, float]:
    """Per cent of the valid pixels; no data per cent of all."""
    counts = np.bincount(scl.ravel(), minlength=12)
    valid = max(int(counts[1:].sum()), 1)
    shares = {f"s2:{name}_percentage": _percent(counts[code], valid) for code, name in SCL_PROPERTIES.items()}
    shares["eo:cloud_cover"] = _percent(counts[8:11].sum(), valid)
    shares["s2:nodata_pixel_percentage"] = _percent(counts[0], scl.size)
    return shares


def _percent(part: int, whole: int) -> float:
    return round(100 * float(part) / whole, 6)


def _asset(band: str, frame: Frame) -> dict[str, Any]:
    """The scale and offset are listed whether or not the pixels still hold the offset, as Earth Search does."""
    step = NATIVE_RESOLUTION[band]
    raster: dict[str, Any] = {"nodata": 0, "data_type": "uint8", "spatial_resolution": step}
    about: dict[str, Any] = {"title": "Scene classification map (SCL)", "roles": ["data"]}
    if band != "SCL":
        raster |= {"data_type": "uint16", "scale": 0.0001, "offset": -0.1}
        about = {"title": f"{band} - {step}m", "roles": ["data", "reflectance"], "eo:bands": [_band(band)]}
    return {
        "href": f"./{ASSETS[band]}.tif",
        "type": COG,
        **about,
        "gsd": step,
        "proj:shape": list(frame.shape(step)),
        "proj:transform": [step, 0, frame.left, 0, -step, frame.top],
        "raster:bands": [raster],
    }


def _band(band: str) -> dict[str, Any]:
    wavelength = round(CENTRE_WAVELENGTH[band] / 1000, 4)  # micrometres
    return {"name": band, "common_name": COMMON_NAMES[band], "center_wavelength": wavelength}


def _utc(moment: Any) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.000Z}"
