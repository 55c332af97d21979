"""What an architecture is given beside patches: whether it has a use for files, its structure, and time it knows."""

from catalogs.errors import BadInput
from pipelines.project import Project
from pipelines.project.errors import shown

DEFAULT_TARGET = "amplitude"
"""The one that is made of the season itself and needs no file."""


def target_of(project: Project) -> str | None:
    """The structure that its network learns beside classes; None where it learns none. Loads torch."""
    from models.architectures import NETWORKS

    row = NETWORKS.get(project.model.architecture)
    return (project.model.target or DEFAULT_TARGET) if row and row.has_target else None


def check_outside(project: Project, periods: int) -> None:
    """An error names the key; what the files hold is another matter."""
    from models.architectures import NETWORKS

    _check_time(project, [name for name, row in NETWORKS.items() if row.months])
    _check_taken(project, "encoder", [name for name, row in NETWORKS.items() if row.encoder])
    _check_taken(project, "target", [name for name, row in NETWORKS.items() if row.has_target])
    if target_of(project) == DEFAULT_TARGET:
        _check_season(project, periods)


def _check_taken(project: Project, name: str, architectures: list[str]) -> None:
    value, architecture = getattr(project.model, name), project.model.architecture
    if value and architecture not in architectures:
        named = " or ".join(f"'{one}'" for one in architectures)
        remedy = f"Take it out, or write architecture = {named}."
        given = f"{project.path}, model.{name} = {shown(value)}"
        raise BadInput(given, f"the architecture '{architecture}' has no use for it.", remedy)


def _check_time(project: Project, architectures: list[str]) -> None:
    """Degree-days say nothing of months: in which one a period lies differs from place to place and year to year."""
    architecture = project.model.architecture
    if architecture in architectures and project.imagery.time == "thermal":
        why = "knows the months of its periods, and thermal time has none."
        given = f"{project.path}, model.architecture = {shown(architecture)}"
        raise BadInput(given, why, "Write [imagery] time = 'calendar', or take another architecture.")


def _check_season(project: Project, periods: int) -> None:
    """Amplitude is of the dates that a network sees."""
    compared = project.training.compare_single_date
    if periods > 1 and not compared:
        return
    who = "the network of compare_single_date" if compared else "the network"
    more = "dates = 'all'" if project.model.dates == "best" else "more [imagery] periods"
    raise BadInput(
        f"{project.path}, model.target = {shown(DEFAULT_TARGET)}",
        f"(what is learned if no other is written) is how a pixel changes between dates, and {who} sees one.",
        f"Write target = 'height', 'slope' or 'depth', or {'compare_single_date = false' if compared else more}.",
    )
