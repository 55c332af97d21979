"""The command line: one command a verb, each taking a project file."""

import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.exits import INTERRUPTED, Exit, again_with, go, say_lost
from pipelines.file_commands import Json, parcels, references
from pipelines.supervision import leave_at_once, supervised

app = typer.Typer(
    name="furrow",
    help="Crop maps of whole countries from Sentinel-2 and parcel declarations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ProjectFile = Annotated[Path, typer.Argument(metavar="PROJECT", help="The project file (TOML).")]
Address = Annotated[str | None, typer.Option(help="The Ray cluster to join, in place of [compute] address.")]
MaxCost = Annotated[float | None, typer.Option(min=0, help="Stop before it costs more, by the project's [prices].")]


@app.command()
def demo(
    root: Annotated[Path, typer.Option(help="Where to make everything.")] = Path("furrow-demo"),
    small: Annotated[bool, typer.Option("--small", help="A quarter of the country, hardly trained.")] = False,
    size: Annotated[int | None, typer.Option(help="Side of the country in pixels of 10 m.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed makes another country.")] = 1,
    as_json: Json = False,
) -> None:
    """Make up a country and take it the whole way: scenes, cube, labels, training, map, scores, report."""

    def work(progress: Any) -> dict[str, Any]:
        from pipelines.demo import demo as make_demo

        return make_demo(root.absolute(), progress, small, size, seed)

    options = ["--small"] * small + (["--size", str(size)] if size else []) + ["--seed", str(seed)]
    go(work, as_json, again=again_with("demo", "--root", str(root), *options))


@app.command()
def init(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="The file to write.")] = Path("project.toml"),
    as_json: Json = False,
) -> None:
    """Write a commented project file to start from."""

    def work(progress: Any) -> dict[str, Any]:
        from pipelines.project.writing import write_project

        path = write_project(project)
        progress.say(f"wrote {path}: change the region, the season and the labels, then give: furrow plan {path}")
        return {"project": path}

    go(work, as_json, again=again_with("init", str(project)))


@app.command()
def plan(
    project: ProjectFile,
    probes: Annotated[int, typer.Option(min=0, help="Readings and tiles to try; 0 for what the file says alone.")] = 6,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Print what a run will do, need and cost: tiles, scenes, memory, storage, hours."""
    _verb("plan", project, as_json, address, again_with(*sys.argv[1:]), probes=probes)


@app.command()
def ingest(
    project: ProjectFile,
    search_again: Annotated[bool, typer.Option("--search-again", help="Ask the catalogue for new scenes.")] = False,
    max_cost: MaxCost = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Scenes to the cube: search, mask clouds, compose the season's periods."""
    again = again_with(*sys.argv[1:]) if search_again else ""
    _verb("ingest", project, as_json, address, again, search_again=search_again, max_cost=max_cost)


@app.command()
def label(project: ProjectFile, address: Address = None, as_json: Json = False) -> None:
    """Parcel declarations to crop labels on the cube's grid."""
    _verb("label", project, as_json, address)


@app.command()
def audit(project: ProjectFile, address: Address = None, as_json: Json = False) -> None:
    """What is wrong with the declarations: codes, outlines, overlaps, and curves that contradict their crop."""
    _verb("audit", project, as_json, address)


@app.command()
def patch(project: ProjectFile, address: Address = None, as_json: Json = False) -> None:
    """Cut training patches, split by blocks of space."""
    _verb("patch", project, as_json, address)


@app.command()
def train(project: ProjectFile, address: Address = None, as_json: Json = False) -> None:
    """Train the network on one worker or many."""
    _verb("train", project, as_json, address)


@app.command()
def compare(project: ProjectFile, address: Address = None, as_json: Json = False) -> None:
    """Train several models on the same patches and score them on the same held-out blocks: one table."""
    _verb("compare", project, as_json, address)


@app.command()
def crossfold(project: ProjectFile, address: Address = None, as_json: Json = False) -> None:
    """For a small place: score several models on parcels that they did not learn from, then train on all."""
    _verb("crossfold", project, as_json, address)


@app.command()
def selftrain(project: ProjectFile, address: Address = None, as_json: Json = False) -> None:
    """Train for a region without declarations, on what networks of other regions surely see there."""
    _verb("selftrain", project, as_json, address)


@app.command("map")
def map_(project: ProjectFile, max_cost: MaxCost = None, address: Address = None, as_json: Json = False) -> None:
    """Map the crops of every tile."""
    _verb("map", project, as_json, address, max_cost=max_cost)


@app.command()
def verify(
    project: ProjectFile,
    repair: Annotated[bool, typer.Option("--repair", help="Let `furrow map` make anew what does not agree.")] = False,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Read the map again: do its pixels, the ledger and the plan agree?"""
    again = again_with("map", str(project)) if repair else again_with("verify", "--repair", str(project))
    _verb("verify", project, as_json, address, again, repair=repair)


@app.command()
def validate(project: ProjectFile, address: Address = None, as_json: Json = False) -> None:
    """Score the map on the blocks held out from training."""
    _verb("validate", project, as_json, address)


@app.command()
def publish(
    project: ProjectFile,
    with_seams: Annotated[bool, typer.Option("--with-seams", help="Also a map that shows how it was cut.")] = False,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Write the report, the pictures and, last, the map's STAC item."""
    _verb("publish", project, as_json, address, again_with(*sys.argv[1:]), with_seams=with_seams)


@app.command()
def export(
    project: ProjectFile,
    region: Annotated[Path | None, typer.Option(help="A boundary file: only this part of the map.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder for them; cog in the root, if none is given.")] = None,
    as_json: Json = False,
) -> None:
    """The map, or a part of it, as cloud-optimised GeoTIFFs: crop.tif, confidence.tif, observations.tif."""
    _verb("export", project, as_json, None, again_with(*sys.argv[1:]), region=region, out=out and out.absolute())


@app.command()
def versions(
    project: ProjectFile,
    on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The one that was current then.")] = None,
    as_json: Json = False,
) -> None:
    """The published versions of the map, the current one last."""
    _verb("versions", project, as_json, None, again_with(*sys.argv[1:]), on=on.date() if on else None)


@app.command()
def run(project: ProjectFile, max_cost: MaxCost = None, address: Address = None, as_json: Json = False) -> None:
    """All verbs in order; what is finished is skipped."""
    _verb("run", project, as_json, address, max_cost=max_cost)


@app.command()
def status(project: ProjectFile, as_json: Json = False) -> None:
    """What is done, failed and missing."""
    _verb("status", project, as_json)


@app.command()
def submit(
    project: ProjectFile,
    verb: Annotated[str, typer.Argument(help="What to do there.")] = "run",
    address: Annotated[str, typer.Option(help="Of the cluster's dashboard.")] = "http://127.0.0.1:8265",
    python: Annotated[str, typer.Option(help="Python on the cluster's head; without it, the path of this one.")] = "",
    job: Annotated[str, typer.Option(help="Follow this job, which was handed over before.")] = "",
    as_json: Json = False,
) -> None:
    """Hand a verb to a Ray cluster as a job, and follow its log."""

    def work(progress: Any) -> dict[str, Any]:
        from pipelines.project import load_project
        from pipelines.run import check_verb
        from pipelines.submit import submit as hand_over

        check_verb(verb)
        return hand_over(load_project(project), verb, address, python, job, progress)

    go(work, as_json, again=again_with("submit", str(project), verb, "--address", address))


app.command()(parcels)
app.add_typer(references, name="references")


def _verb(name: str, project: Path, as_json: bool, address: str | None = None, again: str = "", **options: Any) -> None:
    def work(progress: Any) -> dict[str, Any]:
        from pipelines.project import load_project

        loaded = load_project(project, address)
        from pipelines.plan import make_plan
        from pipelines.run import call

        return call(name, make_plan(loaded), progress, **options)

    joining = ["--address", address] if address is not None else []
    go(work, as_json, again or again_with(name, str(project), *joining))


def main() -> None:
    supervised(_command, partial(say_lost, sys.argv[1:]), INTERRUPTED)


def _command() -> None:
    try:
        app(standalone_mode=True)
    except Exit as leaving:
        if leaving.at_once:
            leave_at_once(leaving.status)
        sys.exit(leaving.status)


if __name__ == "__main__":
    main()
