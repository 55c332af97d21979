"""Wrong project files: each mistake is told with its key, what was given, why it is wrong and what to write."""

import re
import tomllib
from pathlib import Path

import pytest

from catalogs.errors import BadInput
from pipelines.project.errors import shown
from pipelines.project.file import TABLES, load_project, parse_project
from pipelines.project.secrets import secrets
from pipelines.project.writing import changed, template

HOUSE = Path(__file__).parents[1]
BASE = (HOUSE / "examples" / "synthetic.toml").read_text()
HERE = Path("/somewhere/demo.toml")


def spoiled(text: str, table: str, line: str) -> BadInput:
    """The error of a project file in which a table has one more line, in place of the key's own."""
    name = line.partition(" = ")[0]
    head, bracket, rest = text.partition(f"[{table}]\n")
    body, next_bracket, tail = rest.partition("\n[")
    kept = "\n".join(old for old in body.splitlines() if old.partition(" = ")[0] != name)
    bracket = bracket or f"\n[{table}]\n"
    return refusal(f"{head}{bracket}{line}\n{kept}\n{next_bracket}{tail}")


def refusal(text: str) -> BadInput:
    with pytest.raises(BadInput) as caught:
        parse_project(text, HERE)
    return caught.value


WRONG = [
    ("imagery", "max_clouds = 20", r"imagery\.max_clouds: there is no such key .*Did you mean 'max_cloud'"),
    ("region", "max_cloud = 20", r"region\.max_cloud: .*Did you mean the max_cloud of \[imagery\]"),
    ("regoin", "name = 'x'", r"regoin: .*no such table.*Did you mean 'region'"),
    ("imagery", "max_cloud = '80'", r'imagery\.max_cloud = "80": must be a number\. .*max_cloud = 80 \(percent\)'),
    ("imagery", "max_cloud = 120", r"imagery\.max_cloud = 120: must be at most 100\. Write for example"),
    ("imagery", "max_cloud = nan", r"imagery\.max_cloud = nan: must be an ordinary number"),
    ("imagery", "bad_scene = 'skipp'", r"""bad_scene = "skipp": must be 'skip' or 'stop'\. .*bad_scene = "skip"""),
    ("imagery", "periods = 74", r"imagery\.periods = 74: must be 'month', 'dekad' or a whole number from 1 to 73"),
    ("imagery", "periods = 'months'", r"periods = \"months\": .*Did you mean 'month'"),
    ("imagery", "periods = true", r"imagery\.periods = true: must be 'month'"),
    ("imagery", "catalog = 'https://x.org/c'", r"imagery\.catalog = .*is an address, not a file"),
    ("imagery", "provider = 'cdsee'", r"imagery\.provider = .*Did you mean 'cdse'|imagery\.provider.*cdse"),
    ("imagery", "hosts = ['10.0.0.7']", r"imagery\.hosts = .*10\.0\.0\.7.*is no name of a host"),
    ("imagery", "time = 'thermal'", r"imagery\.temperatures: .*is missing, and time 'thermal' needs it"),
    ("imagery", "temperatures = 't.csv'", r"imagery\.temperatures = .*is of no use to calendar time"),
    ("imagery", "degree_days = [0, 3500]", r"imagery\.degree_days = .*is of no use to calendar time"),
    ("region", "bbox = [9.5, 46.4, 17.2, 49.0]", r"region\.bbox = \[9\.5.*boundary is given too.*Keep one"),
    ("region", "boundary = 'https://x.org/b.gpkg'", r"region\.boundary = .*is an address"),
    ("region", "tile = 1000", r"region\.tile = 1000: must be a multiple of 64.*tile = 1024 \(pixels\)"),
    ("region", "tile = 256.0", r"region\.tile = 256: must be a whole number"),
    ("region", "resolution = 30", r"region\.resolution = 30: must be 10 or 20"),
    ("region", "name = ''", r'region\.name = "": must not be empty'),
    ("region", 'name = "a\\u0000b"', r"region\.name = .*invisible character"),
    ("region", "crs = 'EPSG:99999'", r'region\.crs = "EPSG:99999": is not .* that PROJ knows.*EPSG:3035'),
    ("region", "crs = 'EPSG:4326'", r'region\.crs = "EPSG:4326": is in degrees, not in metres'),
    ("region", "crs = 'EPSG:3857'", r"not metres on the ground"),
    ("region", "crs = 'EPSG:2263'", r"is in US survey foot, not in metres"),
    ("region", "crs = 'EPSG:4978'", r"is not a map projection"),
    ("region", "crs = 'Lambert'", r"is not an authority and a code"),
    ("season", "end = 2021-02-01", r"season\.end = 2021-02-01: is not after start, 2021-03-01"),
    ("season", "end = 2022-10-31", r"season\.end = 2022-10-31: makes a season of 610 days.*at most 400"),
    ("season", "end = '2021-10-31'", r'season\.end = "2021-10-31": must be a date without quotes.*end = 2021-10-31'),
    ("season", "end = 2021-10-31T10:00:00", r"season\.end = .*must be a date without quotes and without a time"),
    ("labels", "file = 'http://x.org/a.zip'", r"labels\.file = .*is not an address that begins with https://"),
    ("labels", "country = 'Austria'", r"labels\.country = \"Austria\": .*such as 'AT'"),
    ("patches", "block = 320", r"patches\.block = 320: is not a multiple of size, 128\. .*: block = 512"),
    ("patches", "margin = 128", r"patches\.margin = 128: leaves nothing of a block of 256 pixels"),
    ("patches", "test_share = 0.9", r"patches\.test_share = 0\.9: leaves no block to train on"),
    ("model", "widths = [16, 32, 64]", r"model\.widths: there is no such key in \[model\].*architecture, settings"),
    ("model", "settings = [16, 32]", r"model\.settings = .*must be a table in curly brackets.*settings = \{widths"),
    ("model", "settings = {widths = [16, inf]}", r"model\.settings.*: widths is no number, text, true or false"),
    ("model", "settings = {widths = {a = 1}}", r"model\.settings.*: widths is no number, text, true or false"),
    ("model", "settings = {'a b' = 1}", r'model\.settings.*: has a key "a b", which no architecture has'),
    ("model", "architecture = 'a/b'", r'model\.architecture = "a/b": is not a plain name'),
    ("training", "workers = 3", r"training\.batch = 2: does not split evenly among 3 workers\. Write a multiple of 3"),
    ("training", "accumulate = 4", r"training\.batch = 2: does not split evenly among 2 workers with 4 parts each"),
    ("training", "stop_on = 'FR'", r"training\.stop_on = \"FR\": is neither 'validation' nor a country or year"),
    ("training", "schedule = 'cosin'", r"training\.schedule = .*schedule = \"cosine\""),
    ("training", "betas = [0.9]", r"training\.betas = \[0\.9\]: has too few items"),
    ("training", "ema = 1.0", r"training\.ema = 1: must be less than 1"),
    ("training", "dice_weight = 1", r"training\.dice_weight: .*Did you mean the dice_weight of \[loss\]"),
    ("loss", "class_weights = 'inverse'", r"loss\.class_weights = \"inverse\": must be"),
    ("augmentation", "drop = 2", r"augmentation\.drop = 2: must be at most 1"),
    ("model", "name = '../x'", r'model\.name = "\.\./x": is not a plain name'),
    ("model", "dates = 'best'", r"training\.compare_single_date = true: compares a single date with itself"),
    ("map", "halo = 20", r"map\.halo = 20: must be 'auto' or a whole number from 0 to 1024 in steps of 16"),
    ("map", "halo = 512", r"map\.halo = 512: is wider than a tile, 256 pixels"),
    ("store", "root = 'gs://crops/x'", r'store\.root = "gs://crops/x": is neither a folder nor s3://'),
    ("store", "root = 's3:/crops/x'", r"store\.root = .*is not s3:// with a bucket"),
    ("compute", "gpus_per_worker = 1.5", r"compute\.gpus_per_worker = 1\.5: must be 'auto' or a share from 0 to 1"),
    ("compute", "address = 'head'", r'compute\.address = "head": names no Ray cluster'),
]  # fmt: skip


@pytest.mark.parametrize(("table", "line", "said"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_keys_are_explained(table: str, line: str, said: str) -> None:
    error = spoiled(BASE, table, line)
    assert re.search(said, str(error)), str(error)
    assert error.given.startswith(str(HERE))
    assert error.why.endswith(".")
    assert error.remedy.endswith((".", "?"))
    assert "\n" not in str(error), "one problem, one line"


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ("[17.17, 46.37, 9.53, 49.02]", r"west \(17\.17\) is not less than east \(9\.53\)"),
        ("[9.53, 49.02, 17.17, 46.37]", r"south \(49\.02\) is not less than north \(46\.37\)"),
        ("[110000, 280000, 690000, 580000]", "is not in degrees"),
        ("[9.53, 46.37, 17.17]", "has too few items"),
        ("[9.53, 46.37, 17.17, 'x']", "item 4 must be a number"),
        ("[9.53, 46.37, 17.17, 47, 48]", "more than 4 items"),
        ("'9.53, 46.37, 17.17, 47'", "must be a list in square brackets"),
    ],
)
def test_wrong_bbox(box: str, said: str) -> None:
    error = spoiled(template(), "region", f"bbox = {box}")
    assert error.given.startswith(f"{HERE}, region.bbox = ")
    assert re.search(said, error.why)
    assert "bbox = [9.53" in error.remedy or "[west, south, east, north] in degrees" in error.remedy


def test_neither_boundary_nor_bbox() -> None:
    error = refusal(changed(template(), {"region.bbox": None}))
    assert error.given == f"{HERE}, region.bbox"
    assert "neither bbox nor boundary" in error.why


def test_more_periods_than_days() -> None:
    text = BASE.replace("2021-10-31", "2021-03-10").replace('"month"', "11")
    assert "imagery.periods = 11: is more than the 10 days of the season." in str(refusal(text))
    assert parse_project(text.replace("= 11", "= 10"), HERE).imagery.periods == 10


def test_missing_key_and_missing_table() -> None:
    text = BASE.replace('crs = "EPSG:31287"\n', "").replace('[store]\nroot = "../furrow-demo"\n', "")
    error = refusal(text)
    assert error.given == f"{HERE} has 2 problems"
    assert 'region.crs: is missing. Write for example: crs = "EPSG:3035".' in error.why
    assert "[store]: is missing. Write [store] on a line of its own" in error.why


def test_all_problems_come_at_once_and_fit_a_screen() -> None:
    error = refusal(BASE + "\n".join(f"[extra{i}]" for i in range(15)))
    assert error.given == f"{HERE} has 15 problems"
    assert error.why.count("\n  extra") == 10
    assert "and 5 more" in error.why


def test_secrets_come_first() -> None:
    text = BASE.replace("[region]", "[region]\ntiel = 3\npassword = 'x'")
    assert refusal(text).why.startswith("\n  region.password: looks like a secret")


def test_problems_of_several_tables_come_at_once() -> None:
    text = (
        BASE.replace("tile = 256", "tile = 100").replace("2021-10-31", "2021-01-01").replace("block = 256", "blok = 1")
    )
    why = refusal(text).why
    assert all(name in why for name in ("region.tile = 100", "season.end = 2021-01-01", "patches.blok")), why


SECRETS = [
    ("store", "password = 'hunter22'"),
    ("store", "aws_secret_access_key = 'hunter22'"),
    ("store", "key_id = 'hunter22'"),
    ("compute", "token = 'hunter22'"),
    ("compute", "address = 'me:hunter22@head:6379'"),
    ("store", "root = 's3://AKIAX:hunter22@bucket/prefix'"),
    ("store", "root = 's3://AKIAX:hunt/hunter22@bucket/prefix'"),
    ("store", "root = 'https://me:hunter22@example.org/x'"),
    ("labels", "file = 'https://hunter22@example.org/x.zip'"),
    ("labels", "file = 'https://example.org/x.zip?token=hunter22'"),
    ("labels", "file = 'https://example.org/x.zip?v=1&X-Amz-Signature=hunter22'"),
    ("labels", "file = ['https://me:hunter22@example.org/x.zip']"),
    ("store", "options = {endpoint = 'x', secret = 'hunter22'}"),
    ("store", "options = [{secret = 'hunter22'}]"),
    ("store", "passwort = 'hunter22'"),
    ("hidden", "secret_key = 'hunter22'"),
]


@pytest.mark.parametrize(("table", "line"), SECRETS, ids=lambda value: str(value)[:30])
def test_secrets_are_refused_and_not_repeated(table: str, line: str) -> None:
    error = spoiled(BASE, table, line)
    assert f"{table}.{line.partition(' = ')[0]}" in str(error) or "hidden" in str(error)
    assert "hunter22" not in str(error)
    if "passwort" not in line:
        assert "environment" in str(error)


def test_no_message_shows_a_secret() -> None:
    assert shown("s3://bucket/prefix") == '"s3://bucket/prefix"'
    for value in ("s3://me:hunter22@bucket", ["me:hunter22@head"], [{"secret": "hunter22"}], {"secret": "hunter22"}):
        assert "hunter22" not in shown(value)


@pytest.mark.parametrize(
    "file", ["https://example.org:8443/a@b/x.zip", "odd@name.zip", "https://example.org/x?download=1"]
)
def test_ordinary_addresses_are_no_secrets(file: str) -> None:
    assert parse_project(BASE.replace("../furrow-demo/catalog/parcels.gpkg", file), HERE).labels.file == file


def test_no_key_of_ours_looks_like_a_secret() -> None:
    assert list(secrets(tomllib.loads(template()))) == []
    assert list(secrets({table: dict.fromkeys(model.model_fields, 0) for table, model in TABLES.items()})) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[region]\nname = Austria\n", "at line 2, column 8"),
        ("[region]\n[region]\n", "line 2"),
        ("a = [" * 3000, "nested too deeply|not TOML"),
        ("a = " + "9" * 5000, "not TOML"),
        ("a." * 3000 + "b = 1", "nested too deeply|no such table"),
    ],
)
def test_broken_toml_names_the_line(text: str, said: str) -> None:
    error = refusal(text)
    assert re.search(said, error.why), error.why
    assert str(HERE) in error.given


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "austria.toml").write_text(BASE)
    (tmp_path / "picture.toml").write_bytes(b"\x89PNG\xff")
    for name, why, remedy in [
        ("austira.toml", "no such file", "Did you mean .*austria.toml"),
        ("nowhere/x.toml", "no such file", "furrow init"),
        (".", "is a folder", "austria.toml"),
        ("picture.toml", "not text in UTF-8", "UTF-8"),
        ("a\0b", "cannot be read", "Check"),
        ("austria.toml/x", "cannot be read", "Check"),
    ]:
        with pytest.raises(BadInput) as caught:
            load_project(tmp_path / name)
        assert why in caught.value.why
        assert re.search(remedy, caught.value.remedy)
