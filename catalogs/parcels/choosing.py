"""Which layer of a file holds the parcels, and which of its columns say the crop, the year and the area."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from catalogs.errors import BadInput
from catalogs.parcels.dialects import Found, column_of, fitting
from catalogs.parcels.layers import Layer

HCAT_CODE, HCAT_NAME = "EC_hcat_c|hcat:code|ec:hcat_code", "EC_trans_n|hcat:name_en|ec:translated_name|EC_hcat_n"
ORIGINAL_CODE, OFFICIAL_AREA = "original_code", "off_area|area_ha"
YEARS = "crop_year|year|jaar|jahr|ANTRAGSJAHR|CAMPAGNE|CAMPANIA|VUOSI|arslager|ROK|LETO|PERIOD_CODE|validFrom"
"""Columns of the year where no dialect says one."""

SHOWN = 60
"""Columns that an error lists."""


@dataclass(frozen=True)
class Asked:
    """What a project file says of a parcel file beyond its path."""

    kind: str = "eurocrops"
    """`eurocrops` (HCAT codes in EC_hcat_c), `eurocrops-v2` (original_code) or `national` (a country's columns)"""
    layer: str | None = None
    crs: str | None = None
    """for a file that does not say its own"""
    code: str | None = None
    name: str | None = None
    """columns, instead of those that the kind or the country's dialect has"""


@dataclass(frozen=True)
class Chosen:
    layer: Layer
    code: str | None
    name: str | None
    year: str | None
    area: str | None
    found: Found | None
    """the dialect that fits"""

    @property
    def columns(self) -> tuple[str, ...]:
        """All that is ever read: names and numbers of farmers are not."""
        return tuple(dict.fromkeys(c for c in (self.code, self.name, self.year, self.area) if c))


def choose(given: Path, layers: Sequence[Layer], asked: Asked) -> Chosen:
    """The layer that is asked for, or the only one that can be meant."""
    if not layers:
        raise BadInput(f"parcel file {given}", "It has no layer of polygons.", "Check that it is the right file.")
    if asked.layer is not None:
        return _columns_of(given, _named(given, layers, asked.layer), asked)
    if len(layers) == 1:
        return _columns_of(given, layers[0], asked)
    coded = [layer for layer in layers if _crop(layer.columns, asked)]
    coded = [layer for layer in coded if layer.count] or coded
    if len(coded) == 1:
        return _columns_of(given, coded[0], asked)
    what = "hold parcels" if coded else "could hold parcels, though none has a column known for crops"
    names = ", ".join(layer.name for layer in coded or layers)
    raise BadInput(
        f"parcel file {given}",
        f"Several of its layers {what}: {names}.",
        f"Write the one to read as [labels] layer, for example layer = '{(coded or layers)[0].name}'.",
    )


def _named(given: Path, layers: Sequence[Layer], name: str) -> Layer:
    same = [layer for layer in layers if layer.name == name]
    found = same or [layer for layer in layers if layer.name.casefold() == name.casefold()]
    if len(found) == 1:
        return found[0]
    there = ", ".join(layer.name for layer in layers)
    raise BadInput(f"parcel file {given}", f"It has no layer {name!r} of polygons.", f"Its layers are: {there}.")


def _columns_of(given: Path, layer: Layer, asked: Asked) -> Chosen:
    for wished in (asked.code, asked.name):
        if wished and _same_name(wished, layer.columns) is None:
            remedy = f"Write one that it has: {_listed(layer.columns)}."
            raise BadInput(f"parcel file {given}", f"It has no column {wished!r}.", remedy)
    crop = _crop(layer.columns, asked)
    if crop is None:
        raise _no_crop(given, layer.columns, asked)
    found = fitting(layer.columns)
    year = (found and found.year) or column_of(YEARS, layer.columns, crop)
    area = (found and found.area) or column_of("area_declared|declared_area", layer.columns, crop)
    if asked.kind == "eurocrops-v2":
        area = column_of(OFFICIAL_AREA, layer.columns)
    return Chosen(layer, *crop, year, area, found)


def _crop(columns: Sequence[str], asked: Asked) -> tuple[str | None, str | None] | None:
    """The columns of code and name; None where there is neither."""
    code, name = _usual(columns, asked.kind)
    code = _same_name(asked.code, columns) if asked.code else code
    name = _same_name(asked.name, columns) if asked.name else (name if name != code else None)
    return (code, name) if code or name else None


def _usual(columns: Sequence[str], kind: str) -> tuple[str | None, str | None]:
    if kind == "national":
        found = fitting(columns)
        return (found.code, found.name) if found else (None, None)
    if kind == "eurocrops-v2":
        return column_of(ORIGINAL_CODE, columns), None
    code = column_of(HCAT_CODE, columns)
    return code, column_of(HCAT_NAME, columns) if code else None  # a name alone leads nowhere there


def _same_name(wished: str, columns: Sequence[str]) -> str | None:
    """The column that a user writes: as it is, in another case, or before a shapefile cut it off."""
    if wished in columns:
        return wished
    cut = [column for column in columns if column.casefold() in (wished.casefold(), wished.casefold()[:10])]
    return cut[0] if cut else None


def _no_crop(given: Path, columns: Sequence[str], asked: Asked) -> BadInput:
    usual = {"eurocrops": "EC_hcat_c, where EuroCrops writes the crop", "eurocrops-v2": "original_code"}.get(asked.kind)
    what = f"It has no column {usual}" if usual else "It has no column that is known to hold a country's crops"
    return BadInput(f"parcel file {given}", f"{what} (it has {_listed(columns)}).", _remedy(columns, asked.kind))


def _remedy(columns: Sequence[str], kind: str) -> str:
    by_year = sorted(column for column in columns if re.fullmatch(r"c(19|20)\d\d", column))
    found = fitting(columns)
    if kind != "eurocrops-v2" and (column_of(ORIGINAL_CODE, columns) or by_year):
        return "These are the columns of EuroCropsV2: write source = 'eurocrops-v2' in [labels]."
    if by_year:
        return f"It holds several years: write the one to read in [labels], code_column = '{by_year[-1]}'."
    if kind != "eurocrops" and column_of(HCAT_CODE, columns):
        return "These are the columns of EuroCrops: write source = 'eurocrops' in [labels]."
    if kind != "national" and found:
        called = f" of {found.dialect.country}" if found.dialect.country else ""
        return f"These are the columns of a national file{called}: write source = 'national' and a mapping in [labels]."
    return "Write the column that holds the crop in [labels], code_column = '...' or name_column = '...'."


def _listed(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    return (", ".join(columns[:SHOWN]) or "none") + more
