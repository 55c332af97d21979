"""What the README and the pages say is true: their commands run, their links lead somewhere, their files exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

HOUSE = Path(__file__).parents[1]
PAGES = [HOUSE / "README.md", HOUSE / "CHANGELOG.md", HOUSE / "infra/README.md", *sorted((HOUSE / "docs").glob("*.md"))]
README = (HOUSE / "README.md").read_text()
COMMANDS = re.findall(r"^\.venv/bin/furrow ([^#\n]+)", README, flags=re.MULTILINE)
VERBS = (
    *("demo", "init", "plan", "ingest", "label", "audit", "patch", "train", "map", "validate", "publish", "run"),
    *("selftrain", "export", "versions", "status", "verify", "submit", "parcels", "references", "compare", "crossfold"),
)


def called(*words: str, cwd: Path = HOUSE) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *words], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_the_readme_shows_the_commands_it_is_tested_with():
    assert [command.split()[0] for command in COMMANDS] == ["init", "plan", "run", "status", "verify"]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_the_readmes_commands_run(command, finished, tmp_path):
    words = shlex.split(command)
    folder = tmp_path if words[0] == "init" else finished.parent
    done = called(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "project.toml").exists()


@pytest.mark.slow
def test_the_readmes_snippet_opens_the_map(finished):
    snippet = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL)[1]
    names: dict = {}
    exec(snippet.replace("furrow-demo", str(finished)), names)
    assert isinstance(names["crops"], xr.Dataset) and "crop" in names["crops"]


def test_make_has_the_readmes_targets():
    rules = (HOUSE / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", rules, flags=re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOUSE)))
def test_links_lead_to_files(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in link or (page.parent / link).exists(), f"{page.name} links to {link}"


def test_files_that_pages_name_exist():
    for page in PAGES:
        for name in re.findall(
            r"`((?:catalogs|models|cluster|pipelines|tests|infra|docs)/[\w/.-]+)`", page.read_text()
        ):
            assert (HOUSE / name).exists(), f"{page.name} names {name}"


def test_help_names_every_verb_and_loads_nothing_heavy():
    shown = called("--help")
    assert shown.returncode == 0 and all(verb in shown.stdout for verb in VERBS)
    heavy = "{'torch', 'ray', 'dask', 'distributed', 'xarray', 'zarr', 'rasterio', 'geopandas', 'numpy', 'pandas'}"
    code = f"import sys, pipelines.cli; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb):
    words = [verb, "check"] if verb == "references" else [verb]
    shown = called(*words, "--help")
    assert shown.returncode == 0 and "--json" in shown.stdout
