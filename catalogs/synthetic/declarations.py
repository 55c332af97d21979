"""The parcels of the made-up country as EuroCrops would deliver them, with the usual broken rows, and its boundary."""

import os

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from shapely.geometry import Polygon

from catalogs.synthetic.chance import Array, stream
from catalogs.synthetic.country import Country, plan_country
from catalogs.synthetic.covers import INDEX, TABLE
from catalogs.synthetic.projections import NATIONAL_CRS
from catalogs.synthetic.settings import CountrySettings

NUTS3 = "AT999"
BROKEN = {
    "bow tie": 0.002,
    "null code": 0.002,
    "duplicate": 0.002,
    "sliver": 0.002,
    "declared twice": 0.001,
    "unknown crop": 0.002,
    "empty": 0.0005,
}
"""share of the parcels that are spoilt or added in each way; at least one of each"""
UNKNOWN = {"EC_trans_n": "OTHER", "EC_hcat_n": "not_known_and_other", "EC_hcat_c": "3399000000"}
SLIVER = 3.0
"""metres wide: less than half a pixel"""


def write_declarations(settings: CountrySettings, folder: str) -> None:
    country = plan_country(settings)
    os.makedirs(folder, exist_ok=True)
    _write(declare(country), os.path.join(folder, "parcels.gpkg"), "parcels")
    boundary = gpd.GeoDataFrame({"name": ["made-up country"]}, geometry=[country.boundary], crs=NATIONAL_CRS)
    _write(boundary, os.path.join(folder, "boundary.gpkg"), "boundary")


def declare(country: Country) -> gpd.GeoDataFrame:
    """All rows of the declaration file: one a parcel, then what went wrong."""
    parcels = sound_rows(country)
    rng = stream(country.settings.seed, "broken rows")
    counts = {fault: max(round(share * len(parcels)), 1) for fault, share in BROKEN.items()}
    chosen = np.split(rng.permutation(len(parcels))[: sum(counts.values())], np.cumsum(list(counts.values()))[:-1])
    rows = dict(zip(BROKEN, chosen, strict=True))
    for column, value in UNKNOWN.items():
        parcels.loc[rows["unknown crop"], column] = value
        parcels.loc[rows["null code"], column] = None
    geometry = parcels.geometry.to_numpy().copy()
    geometry[rows["bow tie"]] = [_bow_tie(parcel) for parcel in geometry[rows["bow tie"]]]
    parcels = parcels.set_geometry(gpd.GeoSeries(geometry, crs=NATIONAL_CRS))
    return _number(pd.concat([parcels, *_added_rows(parcels, rows, rng)], ignore_index=True))


def sound_rows(country: Country) -> gpd.GeoDataFrame:
    """What an honest and careful farmer of each parcel would have declared."""
    land = country.land
    numbers = land.declared
    said = [TABLE[cover].declared for cover in land.cover[numbers]]
    return gpd.GeoDataFrame(
        {
            "SNAR_CODE": [crop.code for crop in said if crop],
            "SNAR_BEZEICHNUNG": [crop.name for crop in said if crop],
            "SL_FLAECHE_BRUTTO_HA": np.round(shapely.area(land.geometry[numbers]) / 1e4, 4),
            "EC_NUTS3": NUTS3,
            "EC_trans_n": [crop.translated for crop in said if crop],
            "EC_hcat_n": [crop.hcat_name for crop in said if crop],
            "EC_hcat_c": [crop.hcat_code for crop in said if crop],
        },
        geometry=land.geometry[numbers],
        crs=NATIONAL_CRS,
    )


def _added_rows(parcels: gpd.GeoDataFrame, rows: dict[str, Array], rng: np.random.Generator) -> list[gpd.GeoDataFrame]:
    slivers = parcels.iloc[rows["sliver"]]
    slivers = slivers.set_geometry([_sliver(parcel) for parcel in slivers.geometry], crs=NATIONAL_CRS)
    empty = parcels.iloc[rows["empty"]]
    empty = empty.set_geometry([Polygon()] * len(empty), crs=NATIONAL_CRS)
    return [parcels.iloc[rows["duplicate"]], slivers, _second_opinion(parcels.iloc[rows["declared twice"]], rng), empty]


def _second_opinion(parcels: gpd.GeoDataFrame, rng: np.random.Generator) -> gpd.GeoDataFrame:
    """The same ground with another crop: maize where it was not, else wheat."""
    other = parcels.copy()
    maize, wheat = (TABLE[INDEX[name]].declared for name in ("grain_maize", "winter_wheat"))
    assert maize and wheat
    for row in other.index:
        crop = wheat if other.at[row, "EC_hcat_c"] == maize.hcat_code else maize
        other.loc[row, ["SNAR_CODE", "SNAR_BEZEICHNUNG"]] = [crop.code, crop.name]
        other.loc[row, list(UNKNOWN)] = [crop.translated, crop.hcat_name, crop.hcat_code]
    return other


def _bow_tie(parcel: Polygon) -> Polygon:
    """The outline with two corners told in the wrong order, so that it crosses itself."""
    corners = shapely.get_coordinates(parcel.minimum_rotated_rectangle)[:4]
    return Polygon(corners[[0, 2, 1, 3]])


def _sliver(parcel: Polygon) -> Polygon:
    """A strip along one side: what is left when two surveys disagree by a step."""
    corners = shapely.get_coordinates(parcel.minimum_rotated_rectangle)[:4]
    inwards = corners[3] - corners[0]
    inwards *= SLIVER / np.hypot(*inwards)
    return Polygon([corners[0], corners[1], corners[1] + inwards, corners[0] + inwards])


def _number(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    rows.insert(0, "FS_KENNUNG", 115_000_000.0 + np.arange(len(rows)))
    rows.insert(1, "GEO_ID", 106_000_000.0 + np.arange(len(rows)))
    return rows


def _write(rows: gpd.GeoDataFrame, path: str, layer: str) -> None:
    """Whole or absent, and the same bytes every time: GeoPackage would note the time of writing."""
    partial = os.path.join(os.path.dirname(path), f".part-{os.path.basename(path)}")
    if os.path.exists(partial):
        os.remove(partial)
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2021-12-31T00:00:00.000Z"})
    try:
        pyogrio.write_dataframe(rows, partial, layer=layer, driver="GPKG")
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})
    os.replace(partial, path)
