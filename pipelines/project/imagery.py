"""The table `[imagery]` of a project file."""

from typing import Annotated, Literal

from pydantic import AfterValidator, PlainValidator, ValidationInfo
from pydantic import field_validator as check

import pipelines.project.checks as checks
from pipelines.project.errors import refuse
from pipelines.project.tables import Table, Text, key


class Imagery(Table):
    provider: Literal["earth-search", "planetary-computer", "cdse", "local"] = key(
        "Whose scenes, and whose way of describing them: `earth-search` (Element 84), `planetary-computer` "
        "(Microsoft), `cdse` (Copernicus Data Space), or `local` (files described as Earth Search does).",
        "earth-search", "", "earth-search")  # fmt: skip
    collection: Text = key("The STAC collection.", "sentinel-2-l2a", "", "sentinel-2-l2a", max_length=100)
    catalog: Text | None = key(
        "Where else than at the provider's own address its items are found: another STAC API, or in files a "
        "catalog.json or a stac-geoparquet file. `local` always needs a file.",
        "archive/catalog.json", "path or https address", None)  # fmt: skip
    hosts: Annotated[tuple[str, ...], AfterValidator(checks.host_names)] = key(
        "Hosts, beside the provider's own, that a catalogue's links may point to.",
        ["mirror.example.org"], "", (), strict=False)  # fmt: skip
    max_cloud: float = key("Scenes with more cloud than this are not read.", 80.0, "percent", 80.0, ge=0, le=100)
    time: Literal["calendar", "thermal"] = key(
        "What is cut into periods: `calendar` days, or `thermal` time (the sum of degree-days, equal parts of which "
        "show a crop at equal stages in a warm year and a cold one).", "calendar", "", "calendar")  # fmt: skip
    periods: Annotated[str | int, PlainValidator(checks.word_or_whole(("month", "dekad"), 1, 73))] = key(
        "What the season is cut into, one image each: `month`, `dekad` (days 1-10, 11-20, 21-end), or a number of "
        "equal parts from 1 to 73.", "month", "", "month")  # fmt: skip
    temperatures: Annotated[Text, AfterValidator(checks.local_file)] | None = key(
        "For thermal time: a CSV file with the columns date, tmin and tmax, one row for each day of the season.",
        "temperatures.csv", "path; degrees Celsius", None)  # fmt: skip
    degree_days: tuple[float, float] | None = key(
        "For thermal time: where the first period begins and the last one ends, counted from the season's first day. "
        "Without it, the season's own sum; with it, years and countries can be compared.",
        [0.0, 3500.0], "degree-days", None, strict=False)  # fmt: skip
    composite: Literal["median", "best", "single-date"] = key(
        "How a period's scenes become one image: the `median` of each pixel's clear observations; `best`, the clear "
        "observation of the least cloudy scene, whole, so that the bands are of one moment; or `single-date`, the "
        "least cloudy scene of each Sentinel tile alone.", "median", "", "median")  # fmt: skip
    cloud_margin: int = key(
        "How far around clouds and their shadows the ground counts as unseen.", 40, "metres", 0, ge=0, le=1000
    )
    cirrus: Literal["exclude", "keep"] = key(
        "What is seen through thin cirrus counts as unseen (`exclude`) or as seen (`keep`).",
        "exclude", "", "exclude")  # fmt: skip
    haze: float | None = key(
        "Ground that is brighter than this in the blue band (B02) counts as hazy, and so as unseen.",
        0.25, "reflectance", None, gt=0, le=1)  # fmt: skip
    resampling: Literal["bilinear", "nearest"] = key(
        "How scenes come to a grid that is not their own. On their own grid nothing is resampled: pixels of 10 m are "
        "copied, pixels of 20 m repeated.", "bilinear", "", "bilinear")  # fmt: skip
    offset_conflict: Literal["stop", "correct"] = key(
        "When a scene's pixels contradict what its catalogue says of their offset: `stop`, or `correct` it.",
        "stop", "", "stop")  # fmt: skip
    bad_scene: Literal["skip", "stop"] = key(
        "What a scene that cannot be read does: `skip` counts it and goes on, `stop` ends the run.",
        "skip", "", "skip")  # fmt: skip

    @check("catalog")
    @classmethod
    def _fits_provider(cls, catalog: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("provider") == "local" and (catalog is None or checks.is_address(catalog)):
            why = "is missing, and provider 'local' needs it." if catalog is None else "is an address, not a file."
            raise refuse(why, "Write the path of a catalog.json, or provider = 'earth-search'.")
        return catalog if catalog is None else checks.file_or_address(catalog)

    @check("temperatures")
    @classmethod
    def _for_thermal_time(cls, temperatures: str | None, info: ValidationInfo) -> str | None:
        thermal = info.data.get("time") == "thermal"
        if thermal and temperatures is None:
            raise refuse("is missing, and time 'thermal' needs it.", "Write the path of a CSV file: date, tmin, tmax.")
        if thermal and isinstance(info.data.get("periods"), str):
            raise refuse("thermal time has no months and no dekads.", "Write for example: periods = 24.", "periods")
        if temperatures is not None and not thermal:
            raise refuse("is of no use to calendar time.", "Leave it out, or write time = 'thermal'.")
        return temperatures

    @check("degree_days")
    @classmethod
    def _growing(cls, bounds: tuple[float, float] | None, info: ValidationInfo) -> tuple[float, float] | None:
        if bounds is None:
            return None
        if info.data.get("time") != "thermal":
            raise refuse("is of no use to calendar time.", "Leave it out, or write time = 'thermal'.")
        if not 0 <= bounds[0] < bounds[1] <= 20000:
            raise refuse("is not a lower and a higher sum up to 20000.", "Write for example: degree_days = [0, 3500].")
        return bounds
