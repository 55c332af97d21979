"""A small made-up country that tests share, and projects upon it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from catalogs.synthetic import CountrySettings, plan_country, write_catalogue, write_declarations, write_scene

os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("here", deadline=None)  # a loaded machine is slow, not wrong
settings.register_profile("ci", deadline=None, derandomize=True)  # what lands must not depend on luck
settings.load_profile("ci" if os.environ.get("CI") else "here")

LONG = {"test_bad_input", "test_compare", "test_crossfold", "test_docs", "test_map_faults", "test_map_kills",
        "test_map_s3", "test_oracles", "test_plan_costs", "test_publish", "test_run", "test_selftrain_run",
        "test_submit", "test_training_kills", "test_workers"}  # fmt: skip
"""Files whose tests start clusters of Ray; each has its own, and says which one it means."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest goes first, so that processes that share the files end together."""
    items.sort(key=lambda item: item.path.stem not in LONG)


TINY = CountrySettings(seed=3, size=320, dates=8)

PROJECT = """
[region]
name = "Tiny"
boundary = "{catalog}/boundary.gpkg"
crs = "EPSG:31287"
tile = 128

[season]
start = 2021-03-01
end = 2021-10-31

[imagery]
provider = "local"
catalog = "{catalog}/catalog.json"
periods = 3

[labels]
file = "{catalog}/parcels.gpkg"
country = "AT"
outside = "background"

[patches]
size = 128
block = 128
min_clear = 0.2

[model]
architecture = "unet"
settings = {{widths = [8, 16, 24, 32]}}

[training]
epochs = 3
batch = 2
learning_rate = 0.003
compare_single_date = true

[store]
root = "{root}"

[compute]
workers = 2
"""


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a country of 3.2 km, with all that is awkward in a real one."""
    folder = tmp_path_factory.mktemp("country")
    for job in plan_country(TINY).jobs:
        write_scene(TINY, job, str(folder))
    write_declarations(TINY, str(folder))
    write_catalogue(TINY, str(folder))
    return folder


@pytest.fixture
def project_file(catalog: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a project on the small country; named texts are replaced."""

    def write(replace: dict[str, str] | None = None, root: Path | None = None, place: Path = catalog) -> Path:
        text = PROJECT.format(catalog=place, root=root or tmp_path / "root")
        for old, new in (replace or {}).items():
            assert old in text, f"{old!r} is not in the project"
            text = text.replace(old, new)
        path = tmp_path / "project.toml"
        path.write_text(text)
        return path

    return write


def furrow(*words: str | Path) -> "subprocess.Popen[str]":
    """The command in a process group of its own, as a shell starts it."""
    command = [sys.executable, "-m", "pipelines.cli", *map(str, words)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_hear_ctrl_c,
    )


def _hear_ctrl_c() -> None:
    """A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="session")
def finished(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of an undisturbed run of the whole path; project.toml lies beside it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "project.toml").write_text(PROJECT.format(catalog=catalog, root=folder / "root"))
    finish(furrow("run", folder / "project.toml"))
    return folder / "root"
