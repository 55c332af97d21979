"""The report: one page of HTML that shows a map, how right it is and how it was made."""

import platform
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel

from catalogs.periods import Period
from catalogs.scenes import SceneList
from catalogs.taxonomy import Taxonomy
from pipelines.pages import percent, template_shelf
from pipelines.plan import Plan
from pipelines.project.errors import written

SOFTWARE = ("furrow", "numpy", "pystac", "rasterio", "ray", "torch", "xarray", "zarr")

MEANINGS = {
    "mean_iou": (
        "Mean IoU",
        "Of the ground where map or declaration says a class, the part where both do. Mean over classes.",
    ),
    "pixel_accuracy": ("Pixel accuracy", "The part of all pixels whose class on the map is the declared one."),
    "mean_class_accuracy": (
        "Mean class accuracy",
        "The part of a declared class that the map found. Mean over classes.",
    ),
    "kappa": ("Kappa", "Agreement beyond what chance alone would give: 0 is chance, 1 is perfect."),
}

COMPARED = {"mean_iou": "Mean IoU", "pixel_accuracy": "Pixel accuracy", "mean_class_accuracy": "Mean class accuracy"}


@dataclass(frozen=True)
class Evidence:
    """What earlier verbs wrote down about a map."""

    scores: Mapping[str, Any]
    card: Mapping[str, Any]
    scenes: SceneList
    unreadable: Mapping[str, int]
    """Scene -> in how many periods of tiles it could not be read."""
    cube: str | None
    map: str | None
    seams: Mapping[str, Any] = field(default_factory=dict)
    """What was found where the map's windows meet."""


def render_report(
    plan: Plan, taxonomy: Taxonomy, evidence: Evidence, hectares: Mapping[str, float], pictures: Sequence[str]
) -> bytes:
    """The page, with its style inside and its pictures beside it; text from outside is escaped by the template."""
    scores = evidence.scores
    template = template_shelf(rate=rate).get_template("report.html")
    page = template.render(
        project=plan.project,
        pictures=pictures,
        made_up=plan.root.exists("catalog/catalog.json"),
        scores=scores,
        headlines=headlines(scores),
        comparison=comparison(scores),
        classes=class_rows(plan, taxonomy, scores, hectares),
        hectares=hectares,
        matrix=matrix(taxonomy, scores),
        seams=scores.get("seams"),
        windows=evidence.seams,
        facts=facts(plan, evidence),
        card=card_lines(evidence.card),
        scenes=evidence.scenes.scenes,
        left_out=evidence.scenes.left_out,
        reasons=reasons(evidence.scenes),
        unreadable=evidence.unreadable,
        periods=[(p.start, p.last, _count(p, evidence.scenes)) for p in plan.periods],
        settings=settings_text(plan),
        file=shlex.quote(plan.project.path.name),
        software=software(),
    )
    return page.encode()


def rate(value: float | None) -> str:
    """A score from 0 to 1."""
    return "–" if value is None else f"{value:.3f}"


def headlines(scores: Mapping[str, Any]) -> list[tuple[str, str, float | None]]:
    season = scores.get("season") or {}
    return [(title, meaning, season.get(key)) for key, (title, meaning) in MEANINGS.items()]


def comparison(scores: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Score, with the season, with a single date; empty where only one of them was trained."""
    season, single = scores.get("season") or {}, scores.get("single_date") or {}
    both = {key for key in COMPARED if season.get(key) is not None and single.get(key) is not None}
    return [(title, season[key], single[key]) for key, title in COMPARED.items() if key in both]


def class_rows(
    plan: Plan, taxonomy: Taxonomy, scores: Mapping[str, Any], hectares: Mapping[str, float]
) -> list[dict[str, Any]]:
    """One row a class: its scores, its declared ground in the held-out blocks and its mapped ground everywhere."""
    known = (scores.get("season") or {}).get("classes") or {}
    pixel = plan.grid.resolution**2 / 10_000
    mapped = sum(area for name, area in hectares.items() if name != "no_data") or 1
    rows = []
    for name, title, colour in zip(taxonomy.names, taxonomy.titles, taxonomy.colours, strict=True):
        row = known.get(name) or {}
        rates = {key: row.get(key) for key in ("iou", "precision", "recall", "f1")}
        declared = (row.get("support") or 0) + (row.get("unmapped") or 0)
        areas = {"declared": declared * pixel, "mapped": hectares[name], "share": hectares[name] / mapped}
        rows.append({"title": title, "colour": colour} | rates | areas)
    return rows


def matrix(taxonomy: Taxonomy, scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a declared class: its pixels by the class that the map gives them."""
    titles = dict(zip(taxonomy.names, taxonomy.titles, strict=True))
    names = [titles.get(name, name) for name in scores.get("classes") or taxonomy.names]
    rows = []
    for title, counts in zip(names, scores.get("confusion") or [], strict=False):
        total = sum(counts)
        cells = [_cell(title, other, count, total) for other, count in zip(names, counts, strict=True)]
        rows.append({"title": title, "total": total, "cells": cells})
    return rows


def _cell(declared: str, mapped: str, count: int, total: int) -> dict[str, Any]:
    """Mistakes are shaded by a root of their share, for those that matter are a few percent."""
    share, right = count / total if total else 0.0, declared == mapped
    return {"mapped": mapped, "count": count, "share": share, "right": right, "shade": share if right else share**0.6}


def facts(plan: Plan, evidence: Evidence) -> list[tuple[str, str]]:
    """How the run was made, in short lines."""
    grid, imagery, patches = plan.grid, plan.project.imagery, plan.project.patches
    scenes, left_out = len(evidence.scenes.scenes), len(evidence.scenes.left_out)
    lines = [
        ("Grid", f"{grid.crs}, pixels of {grid.resolution} m, {len(plan.tiles)} tiles of {grid.side} x {grid.side}"),
        ("Ground", f"{plan.region.area / 1e6:,.1f} km²"),
        ("Images", f"{imagery.collection} from {imagery.provider}, cloud up to {imagery.max_cloud:g} %"),
        ("Scenes", f"{scenes} read, {left_out} left out"),
        ("Periods", f"{len(plan.periods)}, the median of clear observations in each"),
        ("Labels", f"{plan.project.labels.source}, {plan.project.labels.country}"),
        ("Patches", f"{patches.size} x {patches.size} pixels, split by blocks of {patches.block} pixels"),
        ("For scores", f"{percent(patches.test_share, 0)} of blocks"),
        ("For the epoch", f"{percent(patches.validation_share, 0)} of blocks, to choose when training was best"),
        ("Cube", evidence.cube),
        ("Map", evidence.map),
        ("Scene list", evidence.scenes.identity),
    ]
    return [(name, str(value)) for name, value in lines if value]


def card_lines(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the model's card says, as far as it is short enough to read."""
    top = {key: card.get(key) for key in ("name", "architecture", "training_identity", "weights_sha256")}
    inner = [("Settings", card.get("settings")), ("Training", card.get("training")), ("Scores", card.get("scores"))]
    lines = [(_words(key), str(value)) for key, value in top.items() if value]
    for group, values in inner:
        if isinstance(values, Mapping):
            lines += [
                (f"{group}: {_words(key).lower()}", _short(value)) for key, value in values.items() if _short(value)
            ]
    return lines


def reasons(scenes: SceneList) -> list[tuple[str, int]]:
    """Why scenes were left out, most frequent first."""
    kinds = Counter(_kind(why) for _, why in scenes.left_out)
    return sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))


def _kind(why: str) -> str:
    """The reason without what differs from scene to scene."""
    if why.startswith("cloud cover"):
        return "too cloudy"
    return why.split(" as ")[0].removeprefix("is ").removeprefix("was ")


def settings_text(plan: Plan) -> str:
    """The project as TOML with every default filled in."""
    tables = ((name, getattr(plan.project, name)) for name in type(plan.project).model_fields)
    return "\n\n".join(
        "\n".join([f"[{name}]", *(f"{key} = {written(value)}" for key, value in table if value is not None)])
        for name, table in tables
        if isinstance(table, BaseModel)
    )


def _count(period: Period, scenes: SceneList) -> int:
    return sum(period.holds(scene.time) for scene in scenes.scenes)


def software() -> list[tuple[str, str]]:
    return [("python", platform.python_version()), *((name, _version(name)) for name in SOFTWARE)]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # the sources can run without being installed
        return "not installed"


def _words(key: object) -> str:
    return {"weights_sha256": "Weights, SHA-256"}.get(str(key), str(key).replace("_", " ").capitalize())


def _short(value: Any) -> str:
    """Numbers, words and short lists of them; nothing deeper."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and len(value) <= 8 and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(_short(item) for item in value)
    return str(value) if isinstance(value, str | int) and len(str(value)) <= 120 else ""
