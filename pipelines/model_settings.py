"""The network that a project asks for: its architecture by name, and the options of that architecture, checked."""

from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any

from catalogs.errors import BadInput
from pipelines.outside_keys import check_outside
from pipelines.project import Project
from pipelines.project.errors import nearest, shown, written

if TYPE_CHECKING:
    from models.network import NetworkSettings

COUNTS = {"bands", "periods", "classes"}
"""Settings that follow from the data, and that nobody writes down."""


def network_settings(project: Project, bands: int, periods: int, classes: int) -> "NetworkSettings":
    """What `[model]` says, as the architecture's own settings; torch is loaded here and not before."""
    from models.errors import Misfit

    kind = _kind(project)
    check_outside(project, periods)
    for name, value in project.model.settings.items():
        _check(project, kind, name, value)
    try:
        found: NetworkSettings = kind.of(
            {"bands": bands, "periods": periods, "classes": classes} | project.model.settings
        )
    except Misfit as misfit:
        raise BadInput(f"{project.path}, model.settings: {misfit.given}", misfit.why, misfit.remedy) from misfit
    return found


def _kind(project: Project) -> "type[NetworkSettings]":
    from models.architectures import SETTINGS

    name = project.model.architecture
    if name not in SETTINGS:
        meant = nearest(name, SETTINGS)
        remedy = f"Did you mean '{meant}'?" if meant else f"Write one of: {', '.join(SETTINGS)}."
        given = f'{project.path}, model.architecture = "{name}"'
        raise BadInput(given, "there is no such architecture.", remedy)
    return SETTINGS[name]


def _check(project: Project, settings: type[Any], name: str, value: Any) -> None:
    """The name is one of the architecture's, and the value of the kind of its own choice."""
    known = {field.name: field for field in fields(settings) if field.name not in COUNTS and field.init}
    given = f"{project.path}, model.settings.{name} = {shown(value)}"
    architecture = project.model.architecture
    if name in COUNTS:
        raise BadInput(given, "follows from the data.", "Take it out.")
    if name not in known:
        meant = nearest(name, known)
        remedy = f"Did you mean '{meant}'?" if meant else f"Take it out, or write one of: {', '.join(known)}."
        raise BadInput(given, f"the architecture '{architecture}' has no such setting.", remedy)
    default = _default(known[name])
    if default is not None and not _alike(value, default):
        raise BadInput(given, "is of another kind than it must be.", f"Write for example: {name} = {written(default)}.")


def _default(field: "Field[Any]") -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def _alike(value: Any, default: Any) -> bool:
    if isinstance(default, tuple | list):
        return isinstance(value, list) and all(_alike(item, default[0]) for item in value if default)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    return isinstance(value, (int, float) if isinstance(default, float) else type(default))
