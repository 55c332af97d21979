"""Whether a vector file is all there: GDAL reads one that was cut off as far as it goes, and says nothing."""

import re
from pathlib import Path
from xml.parsers.expat import ExpatError, ParserCreate

from catalogs.errors import BadInput

TAIL = 65536
"""Bytes at the end of a GML file among which its last tag must be."""

SILENT = re.compile(rb"<!--.*?-->|<\?.*?\?>", re.DOTALL)
"""What may stand before the first tag and after the last one."""


def check_shapefile(path: Path, given: Path) -> None:
    """A shapefile is several files, without two of which it cannot be read; the .shp says how long it is."""
    if path.suffix.lower() != ".shp":
        return
    there = {file.suffix.lower() for file in path.parent.iterdir() if file.stem == path.stem}
    lost = [ending for ending in (".dbf", ".shx") if ending not in there]
    if lost:
        why = f"{path.name} lacks what belongs to it: {', '.join(path.stem + ending for ending in lost)}."
        raise BadInput(f"parcel file {given}", why, "Put all files of the shapefile beside each other.")
    with path.open("rb") as file:
        head = file.read(28)
    if 2 * int.from_bytes(head[24:], "big") > path.stat().st_size:  # counted in words of two bytes
        raise _cut(given, f"{path.name} is shorter than it says itself")


def check_gml(path: Path, given: Path) -> None:
    """The root's closing tag must be the last thing in the file."""
    with path.open("rb") as file:
        head = SILENT.sub(b"", file.read(TAIL))
        file.seek(max(0, path.stat().st_size - TAIL))
        tail = SILENT.sub(b"", file.read()).rstrip(b" \t\r\n\0")
    root = re.search(rb"<([^\s/>]+)", head)
    name = root[1] if root else b""
    if not re.search(rb"</" + re.escape(name) + rb"\s*>$", tail):
        raise _cut(given, f"it does not end with </{name.decode(errors='replace')}>")


def check_well_formed(path: Path, given: Path) -> None:
    """Why GDAL found nothing in a GML file that ends as it should: it goes as far as it understands, without a word."""
    with path.open("rb") as file:
        try:
            ParserCreate().ParseFile(file)
        except ExpatError as error:
            raise _cut(given, f"its XML is broken, {error}") from error


def _cut(given: Path, sign: str) -> BadInput:
    return BadInput(f"parcel file {given}", f"It is cut off or damaged: {sign}.", "Get it again.")
