"""The tables and keys of a project file: what each means, its unit, its default and what it may be."""

import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, PlainValidator, ValidationInfo
from pydantic import field_validator as check

import pipelines.project.checks as checks
from pipelines.project.errors import refuse
from pipelines.project.imagery import Imagery
from pipelines.project.labels import Labels, Patches
from pipelines.project.learning import SINGLE_DATE, VALIDATION, Augmentation, Compare, Crossfold, Loss, Model, Training
from pipelines.project.prices import Prices
from pipelines.project.self_training import SelfTraining
from pipelines.project.tables import Table, Text, key

MOST_DAYS = 400
"""The longest season: a year and a month to see a winter crop from sowing to harvest."""


class Region(Table):
    name: Text = key("What the region is called, in maps and reports.", "Austria", max_length=100)
    boundary: Annotated[Text, AfterValidator(checks.local_file)] | None = key(
        "A vector file (GeoPackage, GeoJSON, shapefile) with the outline of the region; this or `bbox`, not both.",
        "austria.gpkg", "path", None)  # fmt: skip
    bbox: tuple[float, float, float, float] | None = key(
        "A rectangle instead of an outline: west, south, east, north.",
        [9.53, 46.37, 17.17, 49.02], "degrees of longitude and latitude", None, strict=False)  # fmt: skip
    crs: Annotated[Text, AfterValidator(checks.metric_crs)] = key(
        "The coordinate system of the map, one that is projected in metres.", "EPSG:3035"
    )
    resolution: Literal[10, 20] = key("The side of a pixel, 10 or 20.", 10, "metres", 10)
    tile: int = key(
        "The side of a tile: the unit of work, of storage and of retry. From 128 to 4096 in steps of 64.",
        1024, "pixels", 1024, ge=128, le=4096, multiple_of=64)  # fmt: skip

    @check("bbox")
    @classmethod
    def _one_outline(cls, bbox: Any, info: ValidationInfo) -> Any:
        boundary = info.data.get("boundary")
        if bbox is None and boundary is None and "boundary" in info.data:
            raise refuse("neither bbox nor boundary is given.", "Write one of the two: a rectangle or a vector file.")
        if bbox is not None and boundary is not None:
            raise refuse("boundary is given too.", "Keep one of the two: bbox is a rectangle, boundary an outline.")
        return bbox and checks.degrees(bbox)


class Season(Table):
    start: datetime.date = key("The first day.", datetime.date(2021, 3, 1), "date")
    end: datetime.date = key(f"The last day, at most {MOST_DAYS} days on.", datetime.date(2021, 10, 31), "date")

    @check("end")
    @classmethod
    def _after_start(cls, end: datetime.date, info: ValidationInfo) -> datetime.date:
        start = info.data.get("start")
        if start is None:  # wrong itself, and told so
            return end
        if end <= start:
            raise refuse(f"is not after start, {start}.", "Write a day after the start, year-month-day.")
        if (end - start).days >= MOST_DAYS:
            raise refuse(f"makes a season of {(end - start).days + 1} days.", f"Write at most {MOST_DAYS} days.")
        return end

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1


class Map(Table):
    halo: Annotated[str | int, PlainValidator(checks.word_or_whole(("auto",), 0, 1024, step=16))] = key(
        "Ground around a tile that the network sees and does not write: `auto`, or a multiple of 16.",
        "auto", "pixels", "auto")  # fmt: skip
    checkpoint: Annotated[Text, AfterValidator(checks.checkpoint_place)] | None = key(
        "The checkpoint to map with; without it, the one that `[model]` names. One of another root is written as that "
        "root, a blank and the name.", "../flanders-2018 season", "", None)  # fmt: skip
    precision: Literal["fp32", "bf16"] = key(
        "What the network computes in: `fp32`, or `bf16`, faster where the processor has it, for crops that differ "
        "in some pixels.", "bf16", "", "fp32")  # fmt: skip
    probabilities: bool = key(
        "Also keep the probability of every class, not only of the one that is chosen: a byte more a pixel for each.",
        True, "", False)  # fmt: skip


class Store(Table):
    root: Annotated[Text, AfterValidator(checks.folder_or_bucket)] = key(
        "Where everything is kept: a folder, or s3:// with bucket and prefix.", "austria-2021", "path or s3://"
    )
    published: Annotated[str, AfterValidator(checks.folder_bucket_or_nothing)] = key(
        "Where published versions of maps are kept, side by side; several projects may share it. Empty for `published` "
        "in the root.", "../maps", "path or s3://", "")  # fmt: skip


class Compute(Table):
    workers: int = key("Processes that read, label and map; 0 means one a core.", 0, "processes", 0, ge=0, le=100000)
    gpus_per_worker: Annotated[str | float, PlainValidator(checks.word_or_share("auto"))] = key(
        "What each is given: `auto` (one or, in `map`, a share where there are any), 0, a share, or a whole number.",
        "auto", "GPUs", "auto")  # fmt: skip
    address: Annotated[str, AfterValidator(checks.cluster_address)] = key(
        "The Ray cluster: empty for this machine, `auto` for the one it belongs to, or host:port.",
        "ray://head:10001", "", "")  # fmt: skip


class Settings(Table):
    """All tables of a project file; those without `= Table()` must be there."""

    region: Region
    season: Season
    imagery: Imagery = Imagery()
    labels: Labels
    patches: Patches = Patches()
    model: Model = Model()
    training: Training = Training()
    loss: Loss = Loss()
    augmentation: Augmentation = Augmentation()
    compare: Compare = Compare()
    crossfold: Crossfold = Crossfold()
    selftrain: SelfTraining = SelfTraining()
    map: Map = Map()
    store: Store
    compute: Compute = Compute()
    prices: Prices = Prices()

    @check("imagery")
    @classmethod
    def _periods_of_days(cls, imagery: Imagery, info: ValidationInfo) -> Imagery:
        season = info.data.get("season")
        if season and isinstance(imagery.periods, int) and imagery.periods > season.days:
            raise refuse(f"is more than the {season.days} days of the season.", "Write a smaller number.", "periods")
        return imagery

    @check("patches")
    @classmethod
    def _whole_patches_in_a_tile(cls, patches: Patches, info: ValidationInfo) -> Patches:
        region = info.data.get("region")
        if region and region.tile % patches.size:
            whole = max(region.tile // patches.size, 1) * patches.size
            remedy = f"Write a [region] tile that is a multiple of it, for example {whole}."
            raise refuse(f"does not divide a tile of {region.tile} pixels into whole patches.", remedy, "size")
        return patches

    @check("training")
    @classmethod
    def _held_out_ground_to_stop_on(cls, training: Training, info: ValidationInfo) -> Training:
        patches = info.data.get("patches")
        if patches and training.stop_on not in (VALIDATION, *patches.held_out):
            named = "', '".join((VALIDATION, *patches.held_out))
            remedy = f"Write '{named}', or add it to [patches] held_out."
            raise refuse("is neither 'validation' nor a country or year of [patches] held_out.", remedy, "stop_on")
        return training

    @check("training")
    @classmethod
    def _another_name_for_the_comparison(cls, training: Training, info: ValidationInfo) -> Training:
        model = info.data.get("model")
        if model and training.compare_single_date and model.name == SINGLE_DATE:
            remedy = "Write another name in [model], or compare_single_date = false."
            raise refuse(f"writes a checkpoint {SINGLE_DATE!r}, and so does [model].", remedy, "compare_single_date")
        return training

    @check("training")
    @classmethod
    def _something_to_compare(cls, training: Training, info: ValidationInfo) -> Training:
        model = info.data.get("model")
        if model and model.dates == "best" and training.compare_single_date:
            remedy = "Write compare_single_date = false, or dates = 'all' in [model]."
            raise refuse("compares a single date with itself: dates is 'best'.", remedy, "compare_single_date")
        return training

    @check("map")
    @classmethod
    def _halo_within_tile(cls, map: Map, info: ValidationInfo) -> Map:
        region = info.data.get("region")
        if region and isinstance(map.halo, int) and map.halo > region.tile:
            raise refuse(f"is wider than a tile, {region.tile} pixels.", "Write for example: halo = 32.", "halo")
        return map
