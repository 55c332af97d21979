"""The coordinate system of a parcel file: what the file says, what the user says, and whether that can be."""

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from catalogs.errors import BadInput
from catalogs.grid import Bounds

SAY = "Write the one that it is in as [labels] crs, for example crs = 'EPSG:5514'."
CLOSE_ENOUGH = 25
"""Percent of confidence with which PROJ must find the EPSG code of a .prj text."""
AROUND = 3.0
"""Degrees by which parcels may lie outside the area that a coordinate system is made for."""


def system_of(given: str, own: str, asked: str | None) -> str:
    """The file's own CRS, or the one that the user says where the file has none of use."""
    found, problem = _usable(own)
    wished = _asked(given, asked) if asked else None
    if found is None and wished is None:
        raise BadInput(given, problem, SAY)
    if found is not None and wished is not None and not _same(found, wished):
        raise BadInput(
            given,
            f"It says that it is in {_called(found)}, and [labels] crs says {asked}.",
            "Leave [labels] crs out; if the file is wrong, write the right one into it with `ogr2ogr -a_srs`.",
        )
    chosen = found or wished
    assert chosen is not None
    return str(chosen.to_string())


def check_place(given: str, crs: str, bounds: NDArray[np.float64]) -> None:
    """Refuse a CRS that puts parcels (their bounds, a few are enough) far from where it is made for."""
    system = CRS.from_user_input(crs)
    area, boxes = system.area_of_use, bounds[np.isfinite(bounds).all(axis=1)]
    if area is None or not len(boxes):
        return
    x, y = float(np.median(boxes[:, [0, 2]])), float(np.median(boxes[:, [1, 3]]))
    lon, lat = Transformer.from_crs(system, "OGC:CRS84", always_xy=True).transform(x, y)
    west = area.west - (360 if area.west > area.east else 0)
    within = west - AROUND <= lon <= area.east + AROUND and area.south - AROUND <= lat <= area.north + AROUND
    if not within:
        where = f"at longitude {lon:.1f}, latitude {lat:.1f}" if np.isfinite([lon, lat]).all() else "nowhere on Earth"
        why = f"In {crs} its parcels (near x = {x:.0f}, y = {y:.0f}) would lie {where}, where {crs} is not used."
        raise BadInput(given, why, "Write another [labels] crs; the provider's page of the data says which it is.")


def bounds_of(shapes: NDArray[np.object_]) -> NDArray[np.float64]:
    return np.asarray(shapely.bounds(shapes), dtype=np.float64).reshape(-1, 4)


def in_degrees(bounds: Bounds) -> bool:
    """Whether coordinates can be longitudes and latitudes; True where they are not known."""
    return not any(abs(edge) > 360 for edge in bounds if np.isfinite(edge))


def _usable(own: str) -> tuple[CRS | None, str]:
    if not own:
        return None, "It does not say its coordinate system."
    try:
        system = CRS.from_user_input(own)
        Transformer.from_crs(system, "OGC:CRS84")
    except CRSError:
        return None, "Its coordinate system is not understood."
    except ProjError:
        return None, f"Its coordinate system, {_called(system)}, says nothing of its place on Earth."
    if system.name.lower().startswith(("undefined", "unknown")) and not system.is_projected:
        return None, f"Its coordinate system, {_called(system)}, says nothing of its place on Earth."
    return system, ""


def _asked(given: str, asked: str) -> CRS:
    system, problem = _usable(asked)
    if system is None:
        problem = problem.replace("Its coordinate system", f"The coordinate system {asked!r} of [labels] crs")
        raise BadInput(given, problem, SAY)
    return system


def _same(one: CRS, other: CRS) -> bool:
    if one.equals(other, ignore_axis_order=True):
        return True
    codes = {system.to_epsg(min_confidence=CLOSE_ENOUGH) for system in (one, other)}
    return len(codes) == 1 and None not in codes


def _called(system: CRS) -> str:
    code = system.to_epsg(min_confidence=CLOSE_ENOUGH)
    return f"EPSG:{code}" if code else repr(system.name)
