"""Commands that take files in place of a project: parcels, references."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from catalogs.parcels.kinds import Kind
from pipelines.exits import Exit, again_with, go

Json = Annotated[bool, typer.Option("--json", help="Print events and results as JSON lines on standard output.")]


def parcels(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The parcels: a vector file or an archive with one.")],
    out: Annotated[Path, typer.Option(help="A new folder for the audit and the harmonised parcels.")] = Path("audit"),
    source: Annotated[Kind, typer.Option(help="The family of parcel data.")] = "eurocrops",
    country: Annotated[str, typer.Option(help="As EuroCrops names it: AT, BE_VLG.")] = "",
    mapping: Annotated[Path | None, typer.Option(help="CSV file from the crops in the file to classes.")] = None,
    layer: Annotated[str | None, typer.Option(help="The layer, where there are several.")] = None,
    crs: Annotated[str | None, typer.Option(help="The coordinate system, where the file does not say it.")] = None,
    code_column: Annotated[str | None, typer.Option(help="The column of the crop's code.")] = None,
    name_column: Annotated[str | None, typer.Option(help="The column of the crop's name.")] = None,
    year: Annotated[int | None, typer.Option(help="Only declarations of this year.")] = None,
    as_json: Json = False,
) -> None:
    """Read, harmonise and audit one parcel file, without a project."""

    def work(progress: Any) -> dict[str, Any]:
        from catalogs.parcels.sources import Asked
        from pipelines.parcel_check import check_parcels

        asked = Asked(source, layer, crs, code_column, name_column)
        return check_parcels(file, out.absolute(), asked, country, mapping, year, progress)

    go(work, as_json, again=again_with(*sys.argv[1:]))


references = typer.Typer(help="Datasets that maps are compared with: PASTIS, DACIA5.", no_args_is_help=True)


@references.command("check")
def references_check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the dataset was unpacked, or its archive.")],
    quick: Annotated[bool, typer.Option("--quick", help="Only names, numbers and headers of files.")] = False,
    as_json: Json = False,
) -> None:
    """Whether a download is whole: counts, shapes, and what is missing."""
    found: dict[str, Any] = {}

    def work(progress: Any) -> dict[str, Any]:
        from pipelines.references import check

        found.update(check(folder, progress, quick))
        return found

    go(work, as_json, again=again_with("references", "check", str(folder)))
    from pipelines.references import status_of

    raise Exit(status_of(found))
