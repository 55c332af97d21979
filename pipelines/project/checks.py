"""Checks of single values of a project file that need more than a type and a range."""

import math
import re
from collections.abc import Callable
from typing import Any

from pipelines.project.errors import nearest, refuse, shown

CRS = re.compile(r"[A-Z_]+:[0-9A-Z_.]+")
CRS_EXAMPLES = "'EPSG:3035' (all of Europe), 'EPSG:32633' (UTM zone 33 north), 'EPSG:31287' (Austria)"
S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?#]*)?")
CLUSTER = re.compile(r"(auto|(ray://)?([\w.-]+|\[[0-9a-f:.]+\]):\d{1,5})?")
SETTINGS_EXAMPLE = "Write for example: settings = {widths = [16, 32, 64, 128]}."
WEB_MERCATOR = {"EPSG:3857", "EPSG:900913", "ESRI:102100", "ESRI:102113"}


def printable(text: str) -> str:
    """Text of one line, not blank."""
    if not text.strip():
        raise refuse("must not be empty.", "Write something between the quotes.")
    if not text.isprintable():
        raise refuse("holds a line break, a tab or another invisible character.", "Write it on one line.")
    return text


def plain_name(text: str) -> str:
    """What can be a folder anywhere."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise refuse("is not a plain name.", "Write up to 64 letters, digits, dots, dashes and underscores: 'season'.")
    return text


def checkpoint_place(text: str) -> str:
    """The name of a checkpoint of this root; or the root of another one, a blank and the name."""
    root, _, name = text.rpartition(" ")
    return f"{folder_or_bucket(root)} {plain_name(name)}" if root else plain_name(name)


def country_code(text: str) -> str:
    if not re.fullmatch(r"[A-Z]{2}([A-Z0-9]{1,2})?(_[A-Z]{2,3})?", text):
        raise refuse("is not a country as EuroCrops names it.", "Write two capital letters such as 'AT', or 'BE_VLG'.")
    return text


def word_or_whole(words: tuple[str, ...], low: int, high: int, step: int = 1) -> Callable[[Any], Any]:
    """One of a few words, or a whole number."""
    return _word_or(words, lambda n: type(n) is int and low <= n <= high and n % step == 0,
                    f"a whole number from {low} to {high}" + (f" in steps of {step}" if step > 1 else ""))  # fmt: skip


def word_or_share(word: str) -> Callable[[Any], Any]:
    """A word, or how much of a device: below one a share of it, from one on whole devices (as Ray counts them)."""
    return _word_or((word,), lambda n: type(n) in (int, float) and (0 <= n <= 1 or (n <= 64 and n == int(n))),
                    "a share from 0 to 1, or a whole number up to 64")  # fmt: skip


def _word_or(words: tuple[str, ...], fits: Callable[[Any], bool], numbers: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if (isinstance(value, str) and value in words) or fits(value):
            return value
        quoted = ", ".join(f"'{word}'" for word in words)
        meant = nearest(value, words) if isinstance(value, str) else None
        remedy = f"Did you mean '{meant}'?" if meant else f"Write {quoted} or a number without quotes."
        raise refuse(f"must be {quoted} or {numbers}.", remedy)

    return check


def is_address(text: str) -> bool:
    """Whether it names something on a network rather than a file."""
    return "://" in text


def web_address(text: str) -> str:
    """An address that nobody on the way can change; plain http only to this machine."""
    if not re.match(r"https://[^/\s]+|http://(localhost|127\.0\.0\.1|\[::1\])([:/]|$)", text):
        raise refuse("is not an address that begins with https://.", "Write a path or an https:// address.")
    return text


def local_file(text: str) -> str:
    if is_address(text):
        raise refuse("is an address, and this is read from a file.", "Download it and write the path of the file.")
    return text


def file_or_address(text: str) -> str:
    return web_address(text) if is_address(text) else text


def parcel_file(text: str) -> str:
    return text if text.startswith("eurocrops:") else file_or_address(text)


def host_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of hosts on the internet, or of this machine; an address in numbers is no name that can be trusted."""
    for name in names:
        if not re.fullmatch(r"localhost|127\.0\.0\.1|([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", name):
            raise refuse(f"has {shown(name)}, which is no name of a host.", "Write for example: 'data.example.org'.")
    return names


def folder_or_bucket(text: str) -> str:
    if text.startswith("s3:") and not S3.fullmatch(text):
        raise refuse("is not s3:// with a bucket and a prefix.", "Write for example: root = 's3://my-bucket/austria'.")
    if is_address(text) and not text.startswith("s3://"):
        raise refuse("is neither a folder nor s3://.", "Write a folder, or for example 's3://my-bucket/austria'.")
    return text.rstrip("/") or "/"


def folder_bucket_or_nothing(text: str) -> str:
    return folder_or_bucket(text) if text else text


def weights_file(text: str) -> str:
    """Nothing else is opened: a pickle can run code."""
    folder_or_bucket(text)
    if not text.endswith(".safetensors"):
        raise refuse("is no .safetensors file, and nothing else is read.", "Give the makers' model.safetensors.")
    return text


def cluster_address(text: str) -> str:
    if not CLUSTER.fullmatch(text):
        raise refuse("names no Ray cluster.", "Write '' (this machine), 'auto', 'host:6379' or 'ray://host:10001'.")
    return text


def metric_crs(text: str) -> str:
    """A coordinate system whose unit is the metre on the ground; national ones, UTM zones and EPSG:3035 are."""
    name = text.upper()
    why = _unfit(name)
    if why:
        raise refuse(why, f"Write one that is projected in metres: {CRS_EXAMPLES}.")
    return name


def _unfit(name: str) -> str:
    from pyproj import CRS as ProjCRS  # here, so that --help need not load PROJ
    from pyproj.exceptions import CRSError

    if not CRS.fullmatch(name):
        return "is not an authority and a code such as EPSG:3035."
    try:
        crs = ProjCRS.from_user_input(name)
    except CRSError:
        return "is not a coordinate system that PROJ knows."
    if not crs.is_projected:
        return "is in degrees, not in metres." if crs.is_geographic else "is not a map projection."
    if any(axis.unit_conversion_factor != 1 for axis in crs.axis_info[:2]):
        return f"is in {crs.axis_info[0].unit_name}, not in metres."
    if crs.to_epsg() is None:
        return "has no EPSG code, which the readers of scenes need."
    if name in WEB_MERCATOR:
        return "has metres that are not metres on the ground (two for one at 60 degrees north)."
    return ""


def degrees(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """West, south, east, north within the globe and in that order."""
    west, south, east, north = box
    order = "Write [west, south, east, north] in degrees of longitude and latitude."
    if max(abs(west), abs(east)) > 180 or max(abs(south), abs(north)) > 90:
        raise refuse("is not in degrees (longitude up to 180, latitude up to 90).", order)
    if west >= east:
        raise refuse(f"west ({shown(west)}) is not less than east ({shown(east)}).", order)
    if south >= north:
        raise refuse(f"south ({shown(south)}) is not less than north ({shown(north)}).", order)
    return box


def plain_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """What a card can hold: plain values and lists of them. Which there may be is known to the architecture."""
    for name, value in settings.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
            raise refuse(f"has a key {shown(name)}, which no architecture has.", SETTINGS_EXAMPLE)
        if not all(_plain(item) for item in (value if isinstance(value, list) else [value])):
            raise refuse(f"{name} is no number, text, true or false, nor a list of them.", SETTINGS_EXAMPLE)
    return settings


def _plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool | str) or (isinstance(value, int) and abs(value) < 2**53)
