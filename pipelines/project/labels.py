"""The tables `[labels]` and `[patches]` of a project file."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ValidationInfo
from pydantic import field_validator as check

import pipelines.project.checks as checks
from catalogs.parcels.kinds import Kind
from pipelines.project.errors import refuse
from pipelines.project.tables import Seed, Share, Table, Text, key

File = Annotated[Text, AfterValidator(checks.local_file)]


class Labels(Table):
    source: Kind | Literal["none"] = key(
        "The family of parcel data: `eurocrops` (its column EC_hcat_c holds the crop), `eurocrops-v2`, or `national` "
        "(a country's own columns). The last two need `mapping`. `none` is a region without declarations, for "
        "`furrow selftrain`.", "eurocrops", "", "eurocrops")  # fmt: skip
    file: Annotated[Text, AfterValidator(checks.parcel_file)] | None = key(
        "The parcels: a vector file or an archive with one, an address, or `eurocrops:` with the name of a file of "
        "EuroCrops, such as eurocrops:AT_2021. What is downloaded is kept. Required unless `source` is `none`.",
        "parcels.gpkg", "path, https address or name", None)  # fmt: skip
    country: Annotated[str, AfterValidator(checks.country_code)] = key(
        "The country of the parcels, as EuroCrops names it: two capital letters, and the part of the country "
        "where the data are of a part.", "AT")  # fmt: skip
    outside: Literal["background", "ignore"] = key(
        "What land outside all parcels is: `background` (known not to be a crop) or `ignore` (not known).",
        "ignore", "", "ignore")  # fmt: skip
    mapping: File | None = key(
        "A CSV file that leads from the crops in the file to classes: a mapping of EuroCrops, eurocrops.csv of "
        "EuroCropsV2, or one of your own with the columns code and class.", "at_2021.csv", "path", None)  # fmt: skip
    layer: Text | None = key("The layer of the file, where it has several of parcels.", "parcels", "", None)
    crs: Text | None = key("The coordinate system of the file, where it does not say it.", "EPSG:5514", "", None)
    code_column: Text | None = key(
        "The column of the crop's code, where it is not the usual one.", "SNAR_CODE", "", None
    )
    name_column: Text | None = key("The column of the crop's name, likewise.", "SNAR_BEZEICHNUNG", "", None)
    year: int | None = key(
        "The year of the declarations. Without it, declarations of another year than the season's are refused; a year "
        "that is written here is used, and of a file with several years only this one.",
        2021, "year", None, ge=1990, le=2100)  # fmt: skip
    classes: File | None = key(
        "Classes of your own instead of the ten crops: a CSV file with the columns id, name, title and colour.",
        "classes.csv", "path", None)  # fmt: skip
    crosswalk: File | None = key(
        "Which codes of HCAT belong to which of your classes: a CSV file with the columns prefix and class.",
        "crosswalk.csv", "path", None)  # fmt: skip
    rule: Literal["centre", "touched", "share"] = key(
        "Which pixels a parcel gets: those whose `centre` it holds, all that are `touched`, or those of which it "
        "covers at least `min_share`.", "centre", "", "centre")  # fmt: skip
    min_share: float = key(
        "For the rule `share`: how much of a pixel a crop must cover.", 0.5, "share of the pixel", 0.5, gt=0, le=1
    )
    inward: float = key(
        "How far inside its border a parcel begins to count: pixels at the edge are mixed.",
        5.0, "metres", 0.0, ge=0, le=1000)  # fmt: skip

    @check("file")
    @classmethod
    def _some_parcels(cls, file: str | None, info: ValidationInfo) -> str | None:
        source = info.data.get("source", "none")
        if file is None and source != "none":
            raise refuse("is missing.", 'Write for example: file = "parcels.gpkg", or source = "none".')
        if file is not None and source == "none":
            raise refuse("is given, and source is 'none'.", "Take it out, or name the family of these data in source.")
        return file

    @check("mapping")
    @classmethod
    def _given_where_needed(cls, mapping: str | None, info: ValidationInfo) -> str | None:
        source = info.data.get("source")
        if mapping is None and source in ("eurocrops-v2", "national"):
            remedy = "Write the path of a CSV file: docs/taxonomy.md says which there are."
            raise refuse(f"is missing, and source '{source}' needs it.", remedy)
        return mapping

    @check("crosswalk")
    @classmethod
    def _with_its_classes(cls, crosswalk: str | None, info: ValidationInfo) -> str | None:
        if crosswalk is None and info.data.get("classes") is not None:
            raise refuse("is missing, and classes of your own need it.", "Write the path of a CSV file: prefix, class.")
        return crosswalk


class Patches(Table):
    size: Literal[128, 256] = key("The side of a patch, 128 or 256.", 128, "pixels", 128)
    min_labelled: Share = key("Patches with less labelled ground are left out.", 0.1, "share of pixels", 0.1)
    min_clear: Share = key(
        "Patches that the satellite saw less often are left out.", 0.5, "share of pixels and periods", 0.5)  # fmt: skip
    max_no_data: Share = key(
        "Patches with more ground that the satellite never saw are left out.", 0.1, "share of pixels", 1.0)  # fmt: skip
    min_classes: int = key(
        "Patches with fewer classes, background among them, of one pixel in a hundred each, are left out.",
        2,
        "classes",
        1,
        ge=1,
        le=20,
    )
    block: int = key(
        "The side of a block of space, which goes whole to training, validation or test; a multiple of `size`.",
        512, "pixels", 512, ge=128, le=65536)  # fmt: skip
    margin: int = key(
        "A strip along the inside of held-out blocks that is neither used nor scored, because neighbours are alike.",
        16, "pixels", 16, ge=0)  # fmt: skip
    validation_share: Share = key("Blocks held out to watch training.", 0.15, "share of blocks", 0.15)
    test_share: Share = key("Blocks held out for the scores.", 0.25, "share of blocks", 0.25)
    held_out: tuple[Text, ...] = key(
        "Countries and years whose patches all go to the test.", ["BE_VLG", "2022"], "", (), strict=False
    )
    most: int | None = key("At most this many patches are kept.", 20000, "patches", None, ge=1, le=10**9)
    cap: float | None = key(
        "The most that one class may have of the pixels of the chosen training patches, as far as choosing can do it.",
        0.4, "share of pixels", None, gt=0, le=1)  # fmt: skip
    seed: Seed = key("Makes split and choice repeatable.", 0, "", 0)

    @check("block")
    @classmethod
    def _whole_patches(cls, block: int, info: ValidationInfo) -> int:
        size = info.data.get("size", block)
        if block % size:
            raise refuse(f"is not a multiple of size, {size}.", f"Write for example: block = {4 * size}.")
        return block

    @check("margin")
    @classmethod
    def _room_inside(cls, margin: int, info: ValidationInfo) -> int:
        block = info.data.get("block", 2 * margin + 1)
        if 2 * margin >= block:
            raise refuse(f"leaves nothing of a block of {block} pixels.", "Write for example: margin = 16.")
        return margin

    @check("test_share")
    @classmethod
    def _some_to_train(cls, share: float, info: ValidationInfo) -> float:
        held_out = share + info.data.get("validation_share", 0)
        if held_out >= 1:
            raise refuse("leaves no block to train on, together with validation_share.", "Write for example: 0.25.")
        return share
