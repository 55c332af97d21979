"""Faults in a run of 220 tile periods: the cube is that of an undisturbed run to the last byte, or says why not.

Every run is the command itself, in processes of its own.
"""

import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import psutil
import pytest
from conftest import PROJECT, furrow
from disks import disk, resize
from loopback import Fault, Forwarder, Proxy, answers, cut, file_server, hangs, serving

from catalogs.synthetic import CountrySettings, plan_country, write_catalogue, write_declarations, write_scene

pytestmark = pytest.mark.slow

COUNTRY = CountrySettings(seed=3, size=320, dates=17)
UNITS = 220
"""20 periods of 11 tiles."""

EARLY, LATE = 40, 150
"""Units that are done at the moments when faults begin."""

PATIENCE = 240
"""Seconds that a run may take on the slowest machine."""

QUICK = {"GDAL_HTTP_RETRY_DELAY": "0.05", "GDAL_HTTP_MAX_RETRY": "2", "GDAL_HTTP_LOW_SPEED_TIME": "1"}


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("land")
    for job in plan_country(COUNTRY).jobs:
        write_scene(COUNTRY, job, str(folder))
    write_declarations(COUNTRY, str(folder))
    write_catalogue(COUNTRY, str(folder))
    return folder


@dataclass
class Run:
    """A project and what the command makes of it."""

    folder: Path
    catalog: Path
    imagery: str = 'provider = "local"'
    root: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root = self.folder / "root"
        text = PROJECT.format(catalog=self.catalog, root=self.root)
        for old, new in {
            "EPSG:31287": "EPSG:32633",  # half of the scenes lie on its grid, half are warped
            "periods = 3": "periods = 20",
            'provider = "local"': self.imagery,
        }.items():
            assert old in text
            text = text.replace(old, new)
        self.project.write_text(text)

    @property
    def project(self) -> Path:
        return self.folder / "project.toml"

    def start(self) -> "subprocess.Popen[str]":
        return furrow("ingest", self.project)

    def ends_with(self, status: int, process: "subprocess.Popen[str] | None" = None) -> str:
        process = process or self.start()
        output, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == status, output
        return output

    def units(self, outcome: str = "done") -> set[str]:
        folder = self.root / "ledger/cube.zarr" / outcome
        return {path.stem for path in folder.glob("*.json")} if folder.exists() else set()

    def record(self, unit: str) -> dict:
        return json.loads((self.root / f"ledger/cube.zarr/done/{unit}.json").read_text())

    def cube(self) -> dict[str, bytes]:
        folder = self.root / "cube.zarr"
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def status(self) -> dict:
        output, _ = furrow("status", self.project, "--json").communicate(timeout=PATIENCE)
        result = next(json.loads(line) for line in output.splitlines() if '"result"' in line)
        return result["stores"]["cube.zarr"]

    def when_done(self, process: "subprocess.Popen[str]", units: int) -> None:
        """Return when so many units are done, of which there are fewer than all."""
        for _ in range(PATIENCE * 50):
            if len(self.units()) >= units:
                assert len(self.units()) < UNITS, "the moment has been missed"
                return
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"it ended before the moment came: {process.communicate()[0]}")
        pytest.fail("the moment never came")


def whole_and_equal(run: Run, other: Run) -> None:
    """Every unit once, and the same bytes in every file of the cube."""
    assert len(run.units()) == UNITS and not run.units("failed")
    assert run.units() == other.units()
    mine, others = run.cube(), other.cube()
    assert mine.keys() == others.keys()
    differing = [key for key in mine if mine[key] != others[key]]
    assert not differing, differing


@pytest.fixture(scope="module")
def undisturbed(country: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("undisturbed"), country)
    run.ends_with(0)
    assert len(run.units()) == UNITS
    return run


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)


# processes and disks


def dask_workers(command: "subprocess.Popen[str]") -> list[psutil.Process]:
    children = psutil.Process(command.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_killed_workers(country, undisturbed, tmp_path):
    run = Run(tmp_path, country)
    process = run.start()
    for moment in (EARLY, LATE):
        run.when_done(process, moment)
        dask_workers(process)[0].kill()
    run.ends_with(0, process)
    whole_and_equal(run, undisturbed)


def test_killed_command(country, undisturbed, tmp_path):
    run = Run(tmp_path, country)
    process = run.start()
    run.when_done(process, EARLY)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = len(run.units())
    assert EARLY <= before < UNITS
    assert f"{before} done before" in run.ends_with(0)
    whole_and_equal(run, undisturbed)


def test_full_disk(country, undisturbed, tmp_path):
    enough = sum(map(len, undisturbed.cube().values()))
    with disk(tmp_path / "disk", f"{enough // 2048}k"):
        run = Run(tmp_path / "disk/run", country)
        output = run.ends_with(2)
        assert "no space left" in output and "Free some space" in output, output
        assert 0 < len(run.units()) < UNITS, "what was committed is kept"
        resize(tmp_path / "disk", "64m")
        run.ends_with(0)
        whole_and_equal(run, undisturbed)


# files


@dataclass(frozen=True)
class Loss:
    """Two scenes that a run does without, and the run without them."""

    run: Run
    lost: tuple[Path, Path]
    """A file of each."""


def copied(country: Path, folder: Path) -> Path:
    """The country under another name; files are shared until they are replaced."""
    shutil.copytree(country, folder, copy_function=os.link)
    return folder


@pytest.fixture(scope="module")
def loss(country: Path, undisturbed: Run, tmp_path_factory: pytest.TempPathFactory) -> Loss:
    """The two scenes that are seen most, each without one band."""
    folder = tmp_path_factory.mktemp("loss")
    used = Counter(scene for unit in sorted(undisturbed.units()) for scene in undisturbed.record(unit)["scenes"])
    scenes = [scene for scene, _ in used.most_common(2)]
    first, second = (Path(f"sentinel-2-l2a/{scene}") for scene in scenes)
    place = copied(country, folder / "land")
    lost = first / "nir08.tif", second / "red.tif"
    for file in lost:
        (place / file).unlink()
    run = Run(folder, place)
    run.ends_with(0)
    return Loss(run, lost)


def names_what_is_lost(run: Run, loss: Loss, undisturbed: Run, output: str) -> None:
    """Each lost scene in the report, with the number of units that would have shown it, and in their records."""
    for file in loss.lost:
        scene = file.parent.name
        where = {u for u in run.units() if scene in [lost["scene"] for lost in run.record(u)["unreadable"]]}
        looked = {u for u in undisturbed.units() if scene in undisturbed.record(u)["scenes"]}
        assert looked <= where, "a unit lacks the scene and does not say so"
        assert f"{scene} could not be read in {len(where)} tile periods; the other scenes were used" in output
    report = json.loads((run.root / "ingest/report.json").read_text())
    assert {file.parent.name for file in loss.lost} <= {row["scene"] for row in report["unreadable"]}


def truncate(file: Path) -> None:
    content = file.read_bytes()
    file.unlink()  # it is a link to the country's own
    file.write_bytes(content[: len(content) * 2 // 3])


def test_truncated_files(country, undisturbed, loss, tmp_path):
    place = copied(country, tmp_path / "land")
    for file in loss.lost:
        truncate(place / file)
    run = Run(tmp_path, place)
    names_what_is_lost(run, loss, undisturbed, run.ends_with(0))
    whole_and_equal(run, loss.run)
    assert run.cube() != undisturbed.cube(), "the scenes that were lost change nothing: the test tested nothing"


# servers


class Server(Proxy):
    """Before a file server, with a fault for some of its requests."""

    def __init__(self, behind: str) -> None:
        super().__init__(behind)
        self.RequestHandlerClass = _Chooser
        self.fault: Callable[[Forwarder], Fault | None] = lambda request: None
        self.met: Counter[str] = Counter()
        """How many requests met a fault, by its name."""


class _Chooser(Forwarder):
    server: Server

    def do_GET(self) -> None:
        self.content = b""
        fault = self.server.fault(self)
        if fault:
            self.server.met[fault.__name__] += 1
        (fault or Forwarder.forward)(self)

    do_HEAD = do_GET


@contextmanager
def server(folder: Path) -> Iterator[tuple[Server, str]]:
    with serving(file_server(folder)) as behind:
        proxy = Server(behind)
        with serving(proxy) as address:
            yield proxy, address


def refuses(request: Forwarder) -> None:
    """Too many requests, or too busy, by turns."""
    answers((429, 503)[sum(request.server.met.values()) % 2])(request)


def gone(request: Forwarder) -> None:
    """The server is no more: connections end without a word."""
    request.close_connection = True


def reads_on(request: Forwarder) -> bool:
    """Asks for more than a file's size and first bytes."""
    return request.command == "GET" and not request.headers.get("Range", "").startswith("bytes=0-")


def linked(country: Path, folder: Path, address: str, change: Callable[[dict], None] = lambda item: None) -> Path:
    """The country's catalogue alone; its files are on the server."""
    for path in country.rglob("*.json"):
        content = json.loads(path.read_text())
        for asset in content.get("assets", {}).values():
            asset["href"] = f"{address}/sentinel-2-l2a/{path.parent.name}/{asset['href'].removeprefix('./')}"
        if content["type"] == "Feature":
            change(content)
        copy = folder / path.relative_to(country)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(json.dumps(content))
    shutil.copy(country / "boundary.gpkg", folder)
    return folder


REMOTE = 'provider = "local"\nhosts = ["127.0.0.1"]'


def test_a_server_that_stumbles(country, undisturbed, tmp_path, quick):
    """429, 503, cut bodies and silence every few requests."""
    number = count()

    def stumble(request: Forwarder) -> Fault | None:
        n = next(number)
        return {7: refuses, 19: refuses, 23: cut}.get(n % 29) or (hangs if n % 400 == 300 else None)

    with server(country) as (remote, address):
        run = Run(tmp_path, linked(country, tmp_path / "links", address), REMOTE)
        remote.fault = stumble
        run.ends_with(0)
    assert remote.met["hangs"] > 1 and remote.met["cut"] > 10 and remote.met["refuses"] > 10, remote.met
    whole_and_equal(run, undisturbed)


def test_files_that_are_not_on_the_server(country, undisturbed, loss, tmp_path, quick):
    """One is truncated there and one is not found."""
    place = copied(country, tmp_path / "land")
    truncate(place / loss.lost[0])
    (place / loss.lost[1]).unlink()
    with server(place) as (_, address):
        run = Run(tmp_path, linked(country, tmp_path / "links", address), REMOTE)
        names_what_is_lost(run, loss, undisturbed, run.ends_with(0))
    whole_and_equal(run, loss.run)


def test_a_server_that_hangs_and_then_is_gone(country, undisturbed, loss, tmp_path, quick, monkeypatch):
    """Its units are named with status 1, nothing is lost quietly, and the same command does them when it is back."""
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    with server(country) as (remote, address):
        run = Run(tmp_path, linked(country, tmp_path / "links", address), REMOTE)
        process, hung = run.start(), loss.lost[0].parent.name
        run.when_done(process, 1)
        remote.fault = lambda request: hangs if hung in request.path and reads_on(request) else None
        run.when_done(process, LATE)
        remote.fault = lambda request: gone
        output = run.ends_with(1, process)
        failed = run.units("failed")
        assert remote.met["hangs"] and remote.met["gone"]
        assert failed and not failed & run.units() and len(failed | run.units()) == UNITS
        assert f"{len(failed)} units of cube.zarr failed" in output and "could not be read in" not in output
        standing = run.status()
        assert (standing["done"], standing["failed"]) == (UNITS - len(failed), len(failed))
        assert set(standing["reasons"]) <= failed and all("NoAnswer" in why for why in standing["reasons"].values())
        remote.fault = lambda request: None
        run.ends_with(0)
    whole_and_equal(run, undisturbed)


# tokens


class Storage(Server):
    """Lends its files to those who bear a token, and each token for some requests only."""

    USES = 150

    def __init__(self, behind: str) -> None:
        super().__init__(behind)
        self.uses: Counter[str] = Counter()
        self.given = count()
        self.fault = self.check

    def check(self, request: Forwarder) -> Fault | None:
        token = request.path.partition("?")[2]
        if request.path.startswith("/token/"):
            return self.lend
        self.uses[token] += 1
        return expired if not token or self.uses[token] > self.USES else None

    def lend(self, request: Forwarder) -> None:
        expiry = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
        request.answer(200, {}, json.dumps({"msft:expiry": expiry, "token": f"sig=s{next(self.given)}"}).encode())


def expired(request: Forwarder) -> None:
    request.answer(403, {}, b"expired")


NUMBER = {
    "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06", "rededge3": "B07",
    "nir": "B08", "nir08": "B8A", "swir16": "B11", "swir22": "B12", "scl": "SCL",
}  # fmt: skip


def as_planetary_computer(item: dict) -> None:
    """Words it like that catalogue, whose rule for the offset is the baseline alone."""
    item["assets"] = {NUMBER[name]: asset for name, asset in item["assets"].items() if name in NUMBER}
    if item["properties"].pop("earthsearch:boa_offset_applied"):
        item["properties"]["s2:processing_baseline"] = "03.01"


def test_tokens_that_expire_before_their_time(country, undisturbed, tmp_path, quick, monkeypatch):
    with serving(file_server(country)) as behind:
        storage = Storage(behind)
        with serving(storage) as address:
            monkeypatch.setenv("FURROW_SAS_URL", f"{address}/token")
            links = linked(country, tmp_path / "links", address, as_planetary_computer)
            run = Run(tmp_path, links, REMOTE.replace("local", "planetary-computer"))
            run.ends_with(0)
    assert storage.met["expired"] >= 5 and next(storage.given) >= 5, storage.met
    assert run.units() == undisturbed.units()
    mine, others = run.cube(), undisturbed.cube()
    assert [key for key in mine if mine[key] != others[key]] == ["zarr.json"], "the scenes have other baselines"
