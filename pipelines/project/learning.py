"""The tables `[model]`, `[training]`, `[loss]` and `[augmentation]` of a project file."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic import field_validator as check

import pipelines.project.checks as checks
from pipelines.project.errors import refuse
from pipelines.project.tables import Name, Seed, Share, Table, Text, key

SINGLE_DATE = "single-date"
"""The checkpoint of the network that is trained for comparison."""

VALIDATION = "validation"
"""What training watches, unless it is a country or year that is held out."""


Beta = Annotated[float, Field(ge=0, lt=1)]


class Model(Table):
    architecture: Name = key("The network; docs/training.md says which there are.", "unet", "", "swift")
    settings: Annotated[dict[str, Any], AfterValidator(checks.plain_settings)] = key(
        "Options of the architecture that are to differ from its own choice; docs/training.md says which it has.",
        {"widths": [32, 64, 128]}, "", {})  # fmt: skip
    dates: Literal["all", "best"] = key(
        "What it sees: `all` periods of the season, or the single `best` one.", "all", "", "all")  # fmt: skip
    name: Name = key("The name of the checkpoint that training writes.", "season", "", "season")
    encoder: Annotated[Text, AfterValidator(checks.weights_file)] | None = key(
        "Official weights that the encoder of `depthseg`, `depthcropseg` (docs/depth.md says which fit) or `presto` "
        "(docs/networks.md) begins with. Without them it begins at random.",
        "dinov2-small/model.safetensors", "path or s3://", None)  # fmt: skip
    target: Literal["amplitude", "height", "slope", "depth"] | None = key(
        "The structure of the ground that `depthseg` learns beside its classes: how much NDVI changes over the season "
        "(`amplitude`, what it learns unless told otherwise), elevation (`height`) or its `slope`, or what a teacher "
        "takes for `depth`.", "amplitude", "", None)  # fmt: skip
    teacher: Annotated[Text, AfterValidator(checks.weights_file)] | None = key(
        "For the target `depth`: official weights of Depth Anything V2.",
        "depth-anything-v2-small/model.safetensors", "path or s3://", None)  # fmt: skip
    elevation: Annotated[Text, AfterValidator(checks.local_file)] | None = key(
        "For the targets `height` and `slope`: a GeoTIFF of metres above sea level, in any coordinate system.",
        "copernicus-dem.tif", "path", None)  # fmt: skip

    @check("teacher")
    @classmethod
    def _teacher_of_depth(cls, teacher: str | None, info: ValidationInfo) -> str | None:
        return _needed(teacher, "teacher", ("depth",), info)

    @check("elevation")
    @classmethod
    def _elevation_of_ground(cls, elevation: str | None, info: ValidationInfo) -> str | None:
        return _needed(elevation, "elevation", ("height", "slope"), info)


def _needed(file: str | None, name: str, targets: tuple[str, ...], info: ValidationInfo) -> str | None:
    """A file that some targets are made of, and no other."""
    if "target" not in info.data:  # wrong itself, and told so
        return file
    target = info.data["target"]
    if target in targets and file is None:
        why = f"is made of the file that {name} names, and there is no {name}."
        raise refuse(why, f"Write {name} in [model] too.", "target")
    if target not in targets and file is not None:
        named = " or ".join(f"target = '{target}'" for target in targets)
        raise refuse("is not used: the target is another one.", f"Take it out, or write {named}.")
    return file


class Training(Table):
    epochs: int = key("Times that training goes through the patches, at most.", 50, "epochs", 50, ge=1, le=10000)
    batch: int = key("Patches a step, shared out evenly among the workers.", 16, "patches", 16, ge=1, le=65536)
    accumulate: int = key(
        "Parts that a step's patches come in, one after the other: the step is the same and needs the memory of a "
        "part, but from two parts on each patch is looked at once more.", 4, "parts", 1, ge=1, le=4096)  # fmt: skip
    learning_rate: float = key("The highest step size of AdamW.", 0.001, "", 0.001, gt=0, le=1)
    warm_up: Share = key("The part of all steps in which it rises to that.", 0.05, "share of steps", 0.05)
    schedule: Literal["cosine", "multistep", "constant"] = key(
        "How it goes on: half a `cosine` to zero, `multistep` (a fifth of it after 30 % of the steps, and again after "
        "60 %, as DepthSeg was trained), or `constant`.", "cosine", "", "cosine")  # fmt: skip
    weight_decay: float = key("The weight decay of AdamW.", 0.01, "", 0.01, ge=0, le=1)
    betas: tuple[Beta, Beta] = key(
        "How much AdamW remembers of earlier gradients, and of their squares.",
        [0.9, 0.999], "", (0.9, 0.999), strict=False)  # fmt: skip
    clip: float = key("Gradients longer than this are shortened to it; 0 leaves them.", 1.0, "", 1.0, ge=0, le=1e6)
    ema: float = key(
        "How slowly an average of the weights follows them; it is what is validated and kept. 0 means none.",
        0.999, "", 0.0, ge=0, lt=1)  # fmt: skip
    precision: Literal["fp32", "bf16"] = key(
        "What the network computes in: `fp32`, or `bf16` where that is enough, with weights in fp32.",
        "bf16", "", "fp32")  # fmt: skip
    compile: bool = key(
        "Compiles the network first (torch.compile), which takes a minute or so and a C++ compiler.", True, "", False
    )
    patience: int = key(
        "Epochs without a better score after which training stops; 0 means that it never does.",
        10, "epochs", 0, ge=0, le=10000)  # fmt: skip
    stop_on: Text = key(
        "Whose score chooses the epoch that is kept, and stops training: of the `validation` blocks, or of a country "
        "or year of [patches] held_out, whose scores are then no longer those of unseen ground.",
        "BE_VLG", "", VALIDATION)  # fmt: skip
    save_minutes: float = key(
        "How often training writes down how far it is, besides after each epoch; 0 means after each step.",
        10.0, "minutes", 10.0, ge=0, le=10000)  # fmt: skip
    workers: int = key("Processes that train together.", 1, "processes", 1, ge=1, le=1024)
    seed: Seed = key("Makes training repeatable.", 0, "", 0)
    also: tuple[Annotated[Text, AfterValidator(checks.folder_or_bucket)], ...] = key(
        "Store roots of other projects, whose training patches are used too: of the same bands, classes and number "
        "of periods.", ["../flanders-2021"], "paths or s3://", (), strict=False)  # fmt: skip
    compare_single_date: bool = key(
        "Also trains the same network on the single best period, to show what the season adds.", True, "", False
    )

    @check("workers")
    @classmethod
    def _even_parts(cls, workers: int, info: ValidationInfo) -> int:
        batch, parts = info.data.get("batch"), info.data.get("accumulate")
        if batch and parts and batch % (workers * parts):
            among = f"{workers} workers" + (f" with {parts} parts each" if parts > 1 else "")
            remedy = f"Write a multiple of {workers * parts}."
            raise refuse(f"does not split evenly among {among}.", remedy, "batch")
        return workers


class Compare(Table):
    models: tuple[Name, ...] = key(
        "What `furrow compare` trains and scores: architectures and, with `-best` after the name, such that see the "
        "single best date only. The one of [model] has its settings, others their own choice.",
        ["forest-context", "unet-best", "unet", "swift"], "",
        ("forest-spectral-best", "forest-context-best", "forest-spectral", "forest-context", "unet-best", "unet",
         "vista", "tsvit", "utae", "swift"), strict=False, min_length=1)  # fmt: skip

    @check("models")
    @classmethod
    def _each_once(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        return _once(models)


class Crossfold(Table):
    models: tuple[Name, ...] = key(
        "What `furrow crossfold` scores, named as in [compare]; the architecture of [model] is always among them.",
        ["forest-context", "swift"], "", ("forest-spectral", "forest-context", "unet", "swift"),
        strict=False, min_length=1)  # fmt: skip
    folds: int = key("Parts that the parcels are dealt into; each is left out once.", 5, "folds", 5, ge=2, le=100)
    margin: int = key(
        "Labels this near to a parcel that is left out are not learned: pixels of 20 m reach over the border.",
        2, "pixels", 2, ge=0, le=64)  # fmt: skip
    window: int = key(
        "The side of the windows that networks learn from, a multiple of 16.",
        32, "pixels", 32, ge=32, le=128, multiple_of=16)  # fmt: skip
    windows: int = key(
        "Windows in an epoch, at least; they lie around the parcels in turn.", 64, "windows", 64, ge=16, le=4096
    )
    seed: Seed = key("Makes folds and windows repeatable.", 0, "", 0)

    @check("models")
    @classmethod
    def _each_once(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        return _once(models)


def _once(models: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(models)) < len(models):
        raise refuse("names a model twice.", "Write each once.")
    return models


class Loss(Table):
    class_weights: Literal["even", "inverse_sqrt", "effective_number"] = key(
        "How much more rare classes count in the cross-entropy: all alike (`even`), by the root of their frequency "
        "(`inverse_sqrt`), or nearly by their frequency (`effective_number`).",
        "inverse_sqrt", "", "inverse_sqrt")  # fmt: skip
    dice_weight: float = key("Weight of the Dice loss beside the cross-entropy.", 1.0, "", 1.0, ge=0, le=100)
    focal_gamma: float = key(
        "How much less pixels count in the cross-entropy that the network is sure of already; 0 means alike.",
        2.0, "", 0.0, ge=0, le=10)  # fmt: skip
    label_smoothing: float = key(
        "The part of each label that is given to all classes evenly, as some labels are wrong.",
        0.05, "share", 0.0, ge=0, lt=1)  # fmt: skip


class Augmentation(Table):
    turn: bool = key("Turns and mirrors patches.", True, "", True)
    gain: float = key(
        "How much brighter or darker each band may come.", 0.05, "share of its reflectance", 0.03, ge=0, lt=1
    )
    noise: float = key(
        "Spread of what is added to each band of each period, as haze does.",
        30.0, "reflectance x 10000", 20.0, ge=0, le=10000)  # fmt: skip
    drop: Share = key("Chance that one period of a patch has no data, as if under cloud.", 0.2, "", 0.1)
    shift: float = key(
        "How much earlier or later a patch's season may seem to have come, for networks that look at dates.",
        30.0, "days or, in thermal time, degree-days", 0.0, ge=0, le=10000)  # fmt: skip
    lose: tuple[Share, Share] = key(
        "The least and the largest part of its periods that a patch has no data in, as in a cloudy year.",
        [0.2, 0.4], "shares of the periods", (0.0, 0.0), strict=False)  # fmt: skip
    warp: float = key(
        "Spread of a smooth factor over the season, as plants grow denser in one place than in another.",
        0.1, "share of the reflectance", 0.0, ge=0, lt=1)  # fmt: skip
    warp_chance: Share = key("Chance that a patch's season gets such a factor.", 0.25, "", 0.25)

    @check("lose")
    @classmethod
    def _some_left(cls, lose: tuple[float, float]) -> tuple[float, float]:
        if not lose[0] <= lose[1] < 1:
            raise refuse("is not a smaller and a larger share below 1.", "Write for example: lose = [0.2, 0.4].")
        return lose
