"""The table `[selftrain]` of a project file."""

from typing import Annotated

from pydantic import AfterValidator, ValidationInfo
from pydantic import field_validator as check

import pipelines.project.checks as checks
from pipelines.project.errors import refuse
from pipelines.project.tables import Seed, Share, Table, Text, key

File = Annotated[Text, AfterValidator(checks.local_file)]
Root = Annotated[Text, AfterValidator(checks.folder_or_bucket)]


class SelfTraining(Table):
    teachers: tuple[Text, ...] = key(
        "The networks that label the region: checkpoints of this root by name, or of another as its root, a blank and "
        "the name. Several are an ensemble.", ["../austria-2021 season"], "", (), strict=False)  # fmt: skip
    source: tuple[Root, ...] = key(
        "Store roots of labelled projects: their training patches teach the student too, their validation patches "
        "calibrate the teachers and choose the student's epoch.",
        ["../austria-2021"], "paths or s3://", (), strict=False)  # fmt: skip
    views: int = key(
        "How many ways each teacher sees the ground: as it is, then turned, mirrored and with other dates.",
        4, "views", 4, ge=1, le=8)  # fmt: skip
    shift: float = key(
        "By how much earlier or later a view says that the season came.",
        10.0, "days or, in thermal time, degree-days", 10.0, ge=0, le=10000)  # fmt: skip
    shares: File | None = key(
        "Regional statistics: a CSV file with the columns class and area, with a row for each class, background among "
        "them. Without it the shares of classes are estimated from the teachers.",
        "shares.csv", "path; any unit of area", None)  # fmt: skip
    fields: File | None = key(
        "A vector file of parcel outlines, whatever grows there. Without it, fields are pieces of ground that look "
        "alike.", "outlines.gpkg", "path", None)  # fmt: skip
    rounds: int = key("How many students are trained, each the teacher of the next.", 2, "rounds", 2, ge=1, le=2)
    share: tuple[Share, Share] = key(
        "How much of each class is labelled in the first round and in the second: its most confident fields.",
        [0.2, 0.5], "shares of the class's pixels", (0.2, 0.5), strict=False)  # fmt: skip
    most_raise: float = key(
        "By how much at most that grows for a class that is found less often than its share says.",
        2.0, "times", 2.0, ge=1, le=10)  # fmt: skip
    least_agreement: Share = key("Fields whose pixels agree less are rejected.", 0.8, "share of pixels", 0.8)
    least_pixels: int = key("Fields with fewer pixels are rejected.", 10, "pixels", 10, ge=0, le=10**6)
    most_doubt: Share = key(
        "Pixels that are less sure of their class get no label: entropy of the mean probability.",
        0.5, "share of complete ignorance", 0.5)  # fmt: skip
    cap: int = key("The most labels that one class gets.", 2000000, "pixels", 2000000, ge=0, le=10**12)
    label_smoothing: float = key(
        "The part of each label that is given to all classes evenly while the student learns.",
        0.1, "share", 0.1, ge=0, lt=1)  # fmt: skip
    tolerance: float = key(
        "By so much a round may agree less with what is known than the best one before it.", 0.01, "", 0.01, ge=0, le=1
    )
    most_drift: Share = key(
        "Self-training stops when more of the held-out ground changed class in a round.", 0.2, "share of pixels", 0.2
    )
    least_left: Share = key(
        "Self-training stops when a class keeps less of the share that the teachers gave it.", 0.1, "share", 0.1
    )
    seed: Seed = key("Decides by chance which labels of less than full confidence are used.", 0, "", 0)

    @check("teachers")
    @classmethod
    def _root_and_name(cls, teachers: tuple[str, ...]) -> tuple[str, ...]:
        for teacher in teachers:
            checks.plain_name(teacher.rpartition(" ")[2])
        return teachers

    @check("share")
    @classmethod
    def _more_in_the_second(cls, share: tuple[float, float], info: ValidationInfo) -> tuple[float, float]:
        if share[0] > share[1]:
            raise refuse("is less in the second round than in the first.", "Write for example: share = [0.2, 0.5].")
        return share
