"""demo: a made-up country, and the whole path from its scenes and parcels to a published map."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from catalogs.description import differences
from catalogs.errors import BadInput
from catalogs.root import Root
from catalogs.synthetic import CountrySettings, SceneJob, plan_country, write_catalogue, write_declarations, write_scene
from cluster.progress import Progress
from cluster.tasks import dask_workers, each
from pipelines.plan import make_plan
from pipelines.project import Project, load_project
from pipelines.project.writing import write_project
from pipelines.run import run

PROJECT = "project.toml"
SETTINGS = "settings.json"


def demo(
    folder: Path, progress: Progress, small: bool = False, size: int | None = None, seed: int = 1
) -> dict[str, Any]:
    """Make the country unless it is there, write its project file, and run every verb."""
    settings = demo_country(small, size, seed)
    Root(str(folder)).check_writable()
    make_country(folder, settings, progress)
    project = demo_project(folder, SMALL if small else {})
    progress.say(f"project: {project.path}")
    return run(make_plan(project), progress)


def demo_country(small: bool, size: int | None, seed: int) -> CountrySettings:
    """12.8 km on a side, or 6.4; with a milder spread of seasons than a real country's, as it is so much smaller."""
    return CountrySettings(seed=seed, size=size or (640 if small else 1280), dates=26, clouds=0.25, season_shift=8.0)


def make_country(folder: Path, settings: CountrySettings, progress: Progress) -> None:
    """Scenes by Dask workers, then parcels, then the catalogue that lists them: with it the country is complete."""
    place = folder / "catalog"
    _check_same_country(Root(str(place)), settings)
    if (place / "catalog.json").exists():
        progress.say(f"country: {place} is there already")
        return
    jobs = plan_country(settings).jobs
    with progress.stage("country", len(jobs), "scenes") as bar, dask_workers(2) as workers:
        for job, outcome in each(workers, partial(_make_scene, settings, str(place)), jobs):
            if isinstance(outcome, Exception):
                raise outcome
            bar.advance(note=job.scene_id)
    write_declarations(settings, str(place))
    write_catalogue(settings, str(place))


def _check_same_country(root: Root, settings: CountrySettings) -> None:
    """A country is made from one set of settings, kept beside it; others need another folder."""
    if not root.exists(SETTINGS):
        root.write(SETTINGS, json.dumps(asdict(settings), indent=1).encode())
    lines = differences(json.loads(root.read(SETTINGS)), asdict(settings))
    if lines:
        raise BadInput(
            f"country in {root.url}",
            f"is another one ({'; '.join(lines)}).".replace("the store", "it").replace("the project says", "asked for"),
            "Give the same --size and --seed, or another --root.",
        )


def demo_project(folder: Path, changes: dict[str, object]) -> Project:
    """The project file of the demo, written once beside what it makes; a person may change it and run it again."""
    path = folder / PROJECT
    if not path.exists():
        write_project(path, DEMO | changes)
    return load_project(path)


SMALL: dict[str, object] = {"training.epochs": 4, "patches.block": 128}
"""A country too small to learn much: it shows that everything runs, not how good it gets."""

DEMO: dict[str, object] = {
    "region.name": "Synthetic country",
    "region.bbox": None,
    "region.boundary": "catalog/boundary.gpkg",
    "region.crs": "EPSG:31287",
    "region.tile": 256,
    "imagery.provider": "local",
    "imagery.catalog": "catalog/catalog.json",
    "imagery.periods": "month",
    "labels.file": "catalog/parcels.gpkg",
    "labels.country": "AT",
    "labels.outside": "background",
    "patches.block": 256,
    "patches.validation_share": 0.1,
    "patches.test_share": 0.2,
    "model.architecture": "unet",  # it is the quickest to train
    "model.settings": {"widths": [16, 32, 64, 128]},
    "training.epochs": 16,
    "training.batch": 2,
    "training.learning_rate": 0.003,
    "training.workers": 2,
    "training.compare_single_date": True,
    "store.root": ".",
}


def _make_scene(settings: CountrySettings, folder: str, job: SceneJob) -> None:
    write_scene(settings, job, folder)
