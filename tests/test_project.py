"""Project files: what loads, what `furrow init` writes, and that the page about them is complete."""

import datetime
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from catalogs.errors import BadInput
from pipelines.model_settings import network_settings
from pipelines.project.errors import written
from pipelines.project.file import TABLES, load_project, parse_project
from pipelines.project.writing import changed, template, write_project

HOUSE = Path(__file__).parents[1]
EXAMPLES = sorted((HOUSE / "examples").glob("*.toml"))
KEYS = [f"{table}.{name}" for table, model in TABLES.items() for name in model.model_fields]
BASE = (HOUSE / "examples" / "synthetic.toml").read_text()
HERE = Path("/somewhere/demo.toml")
SHOWN = {"region.bbox", "labels.file"}
"""Keys that the template fills in although they may be left out: one of two, or in most projects."""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_load(path: Path) -> None:
    assert load_project(path).path == path


def test_three_examples() -> None:
    assert {path.stem for path in EXAMPLES} == {"synthetic", "austria-2021", "flanders-2021"}


def test_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    project = parse_project(BASE, tmp_path / "sub" / "p.toml")
    assert project.boundary == tmp_path / "furrow-demo" / "catalog" / "boundary.gpkg"
    assert project.catalog == str(tmp_path / "furrow-demo" / "catalog" / "catalog.json")
    assert project.labels_file == str(tmp_path / "furrow-demo" / "catalog" / "parcels.gpkg")
    assert project.root == str(tmp_path / "furrow-demo")


def test_addresses_stay_as_they_are() -> None:
    text = changed(template(), {"store.root": "s3://crops/marchfeld/", "imagery.catalog": "https://stac.example/v1"})
    project = parse_project(text, HERE)
    assert project.root == "s3://crops/marchfeld"
    assert project.catalog == "https://stac.example/v1"
    assert project.labels_file == "eurocrops:AT_2021"
    elsewhere = parse_project(changed(template(), {"labels.file": "https://data.example/at.zip?download=1"}), HERE)
    assert elsewhere.labels_file == "https://data.example/at.zip?download=1"


def test_map_uses_the_model_unless_told_otherwise() -> None:
    assert parse_project(changed(template(), {"model.name": "mine"}), HERE).checkpoint == "mine"
    assert (
        parse_project(changed(template(), {"model.name": "mine", "map.checkpoint": "other"}), HERE).checkpoint
        == "other"
    )


def test_what_a_project_says_does_not_depend_on_where_it_lies() -> None:
    one, other = (parse_project(BASE, Path(place)).model_dump_json() for place in ("/a/p.toml", "/b/q.toml"))
    assert one == other
    assert "season" in one


def test_a_project_travels_and_does_not_change() -> None:
    project = parse_project(BASE, HERE)
    assert pickle.loads(pickle.dumps(project)) == project
    with pytest.raises(ValueError, match="frozen"):
        project.region.tile = 512


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode())
    assert load_project(path).region.tile == 256


def test_loading_is_light() -> None:
    code = (
        f"import sys; from pipelines.project import load_project; load_project({str(EXAMPLES[0])!r});"
        "print({'numpy', 'shapely', 'geopandas', 'xarray', 'torch', 'ray', 'dask'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# What `furrow init` writes


def test_template_holds_every_key_and_its_default(tmp_path: Path) -> None:
    text = template()
    assert {name for name in KEYS if changed(text, {name: "x"}) == text} == set()
    defaults = parse_project(text, HERE).model_dump()
    for table, model in TABLES.items():
        for name, field in model.model_fields.items():
            if field.default is not PydanticUndefined and f"{table}.{name}" not in SHOWN:
                assert defaults[table][name] == field.default, f"{table}.{name}"


def test_written_project_loads_and_keeps_comments(tmp_path: Path) -> None:
    changes = {"region.name": 'The "low" country', "region.bbox": None, "region.boundary": "nl.gpkg",
               "season.start": datetime.date(2020, 11, 1), "imagery.periods": 36, "patches.most": 100}  # fmt: skip
    path = write_project(tmp_path / "new" / "p.toml", changes)
    project = load_project(path)
    assert (project.region.name, project.region.bbox) == ('The "low" country', None)
    assert project.boundary == path.parent / "nl.gpkg"
    assert (project.season.start, project.imagery.periods, project.patches.most) == (
        datetime.date(2020, 11, 1),
        36,
        100,
    )
    assert path.read_text().count("#") > 20
    assert [file.name for file in path.parent.iterdir()] == ["p.toml"]


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("mine")
    with pytest.raises(BadInput, match=r"p\.toml: exists already"):
        write_project(path)
    assert path.read_text() == "mine"


def test_init_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        write_project(tmp_path / "file" / "p.toml")


def test_init_writes_nothing_that_would_not_load(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"EPSG:4326.*degrees"):
        write_project(tmp_path / "p.toml", {"region.crs": "EPSG:4326"})
    with pytest.raises(BadInput, match=r"region\.nam:.*Did you mean 'name'"):
        write_project(tmp_path / "p.toml", {"region.nam": "x"})
    assert list(tmp_path.iterdir()) == []


# docs/project-file.md


def row(name: str, field: FieldInfo) -> str:
    default = "required" if field.default is PydanticUndefined else "none" if field.default is None else None
    default = default or f"`{written(field.default)}`"
    unit, example = field.json_schema_extra["unit"], written(field.examples[0])  # type: ignore[index]
    return f"| `{name}` | {field.description} | {unit} | {default} | `{example}` |"


@pytest.mark.parametrize("table", TABLES)
def test_every_key_is_documented_as_it_is(table: str) -> None:
    page = (HOUSE / "docs" / "project-file.md").read_text()
    section = page.partition(f"\n## `[{table}]`\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [row(name, field) for name, field in TABLES[table].model_fields.items()]


@pytest.mark.parametrize("name", KEYS)
def test_the_example_of_every_key_is_right(name: str) -> None:
    table, _, key = name.partition(".")
    changes: dict[str, object] = {name: TABLES[table].model_fields[key].examples[0]}  # type: ignore[index]
    if name == "region.boundary":
        changes["region.bbox"] = None
    if name == "imagery.catalog":
        changes["imagery.provider"] = "local"
    if name in ("imagery.temperatures", "imagery.degree_days"):
        changes |= {"imagery.time": "thermal", "imagery.periods": 24, "imagery.temperatures": "temperatures.csv"}
    if name == "training.stop_on":
        changes["patches.held_out"] = ["BE_VLG"]
    if name == "labels.classes":
        changes["labels.crosswalk"] = "crosswalk.csv"
    if name == "model.teacher":
        changes["model.target"] = "depth"
    if name == "model.elevation":
        changes["model.target"] = "slope"
    parse_project(changed(template(), changes), HERE)


def test_the_shortest_project_of_the_page_works() -> None:
    page = (HOUSE / "docs" / "project-file.md").read_text()
    shortest = page.partition("```toml\n")[2].partition("```")[0]
    project = parse_project(shortest, HERE)
    assert project.model.dates == "all"
    for line in [line for line in shortest.splitlines() if " = " in line]:
        with pytest.raises(BadInput, match="is missing|neither bbox nor boundary"):
            parse_project(shortest.replace(line, ""), HERE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.target": "depth"}, "made of the file that teacher names"),
        ({"model.target": "slope"}, "made of the file that elevation names"),
        ({"model.teacher": "a.safetensors"}, "is not used: the target is another one"),
        ({"model.target": "slope", "model.elevation": "dem.tif", "model.teacher": "a.safetensors"}, "is not used"),
        ({"model.encoder": "dinov2.pth"}, r"no \.safetensors file"),
    ],
)
def test_files_of_the_depth_networks_go_with_their_targets(changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_project(changed(template(), changes), HERE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.encoder": "a.safetensors"}, "'swift' has no use for it.*'depthseg' or 'depthcropseg'"),
        ({"model.target": "amplitude"}, "the architecture 'swift' has no use for it.*'depthseg'"),
        ({"model.architecture": "depthseg", "model.dates": "best"}, "how a pixel changes between dates.*dates = 'all'"),
    ],
)
def test_what_the_architecture_has_no_use_for(changes: dict[str, object], words: str) -> None:
    project = parse_project(changed(template(), changes), HERE)
    periods = 1 if project.model.dates == "best" else 7
    with pytest.raises(BadInput, match=words):
        network_settings(project, 10, periods, 11)


def test_an_address_of_the_command_line_counts_and_is_checked() -> None:
    assert parse_project(BASE, HERE, "head:6379").compute.address == "head:6379"
    assert parse_project(BASE, HERE, "").compute.address == ""
    with pytest.raises(BadInput, match=r"compute\.address = .*names no Ray cluster"):
        parse_project(BASE, HERE, "head;rm")
