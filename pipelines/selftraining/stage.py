"""The stages of self-training: each has a root of its own in the run's root, and the plan of an ordinary project."""

from dataclasses import dataclass, replace

from catalogs.root import Root
from models.pseudo_labels import PseudoLabelSettings
from pipelines.plan import Plan
from pipelines.project import Project
from pipelines.selftraining.teachers import Teacher

FOLDER = "selftrain"
NAMES = ("A", "B")


@dataclass(frozen=True)
class Stage:
    """Labels from the teachers, patches from the labels, a student from the patches."""

    name: str
    whole: Plan
    """Of the region, with the cube."""
    plan: Plan
    """Of the stage: its labels, patches and checkpoint lie in its own root."""
    settings: PseudoLabelSettings
    teachers: tuple[Teacher, ...]

    @property
    def student(self) -> Teacher:
        return Teacher(self.plan.root, self.plan.project.model.name)


def stage_of(plan: Plan, number: int, teachers: tuple[Teacher, ...]) -> Stage:
    asked, name = plan.project.selftrain, NAMES[number]
    settings = PseudoLabelSettings(
        share=asked.share[number],
        most_raise=asked.most_raise,
        least_agreement=asked.least_agreement,
        least_pixels=asked.least_pixels,
        most_doubt=asked.most_doubt,
        cap=asked.cap,
    )
    own = replace(plan, project=_project(plan.project, name, settings.share), ground=plan.project.root)
    return Stage(name, plan, own, settings, teachers)


def student_name(plan: Plan) -> str:
    return f"{plan.project.model.name}-student"


def _project(project: Project, name: str, share: float) -> Project:
    """The same region as one that is labelled to a part: nothing of it is held out again, and sources teach too."""
    patches = {
        "min_labelled": project.patches.min_labelled * share,
        "validation_share": 0.0,
        "test_share": 0.0,
    }
    changes = {
        "store": {"root": Root(project.root).path(f"{FOLDER}/{name}")},
        "patches": patches,
        "model": {"name": f"{project.model.name}-student"},
        "training": {"also": project.sources, "compare_single_date": False},
        "loss": {"label_smoothing": project.selftrain.label_smoothing},
    }
    tables = {table: getattr(project, table).model_copy(update=change) for table, change in changes.items()}
    return project.model_copy(update=tables)
