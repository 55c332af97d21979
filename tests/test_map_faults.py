"""Faults of what `map` stands on, a bucket, a disk or the cluster's head: the same command ends with the same map.

What cannot be done is told in a few lines with what goes on, and nothing that is half-made is left in the map.
"""

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import pytest
import s3fs
from conftest import finish, furrow
from disks import disk, resize
from loopback import Fault, cut, slow
from made_map import HOUSE, PLACES, Disturbance, Disturbing, bytes_of, map_here, write_cube
from s3_faults import S3Forwarder, S3Proxy, doubtful, dropped, internal_error, lost, s3_proxy, slow_down
from servers import s3

from catalogs.attempts import attempts_of
from catalogs.crops import MAP
from catalogs.root import Root
from catalogs.stores import Store
from cluster.progress import LineProgress
from pipelines.plan import Plan, make_plan
from pipelines.project import load_project
from pipelines.verify import verify

pytestmark = pytest.mark.slow

BUCKET = "furrow-faults"
PATIENCE = 240
"""Seconds in which a command ends on the slowest machine."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    plan = plan_of(write_cube(folder, str(folder / "root")))
    map_here(plan)
    return bytes_of(plan.root)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_cube(tmp_path, str(tmp_path / "root"))


def plan_of(path: Path) -> Plan:
    return make_plan(load_project(path))


def check(path: Path, undisturbed: dict[str, bytes]) -> None:
    """Every tile is there once, no byte is another, and nothing else is left."""
    plan = plan_of(path)
    verify(plan, LineProgress(io.StringIO()))
    assert Store(plan.root, MAP).ledger.done() == set(map(str, plan.tiles))
    found = bytes_of(plan.root)
    assert found.keys() == undisturbed.keys()
    assert [key for key in found if found[key] != undisturbed[key]] == []
    assert not list(plan.root.keys(attempts_of(plan.root, MAP)))


def ends_with(status: int, process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == status and "Traceback" not in output, output
    return output


# a bucket


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Its address; the environment says who asks."""
    with s3() as variables, pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            environment.delenv(name)
        for name, value in variables.items():
            environment.setenv(name, value)
        s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True).mkdir(BUCKET)
        yield variables["AWS_ENDPOINT_URL"]


@pytest.fixture
def bucket(server: str, tmp_path: Path) -> str:
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def stumbling(server: str) -> Iterator[tuple[S3Proxy, str]]:
    with s3_proxy(server) as (proxy, address):
        yield proxy, address


EVERY = {"record": 1, "PUT": 3, "copy": 3, "DELETE": 4, "GET": 5, "HEAD": 9}
"""One in so many objects meets a fault when it is first asked for."""

FAULTS: dict[str, tuple[Fault, ...]] = {
    "record": (lost, doubtful, slow_down, dropped, internal_error),
    "PUT": (slow_down, internal_error, dropped, lost),
    "copy": (lost, slow_down, internal_error, doubtful),
    "DELETE": (lost, slow_down, internal_error),
    "GET": (cut, slow_down, internal_error, slow(0.5), dropped),
    "HEAD": (slow_down, internal_error, dropped),
}


class Stumbling:
    """The fault of a request, the first time that its object is asked for; all kinds of them by turns."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()
        self.turns = {kind: cycle(faults) for kind, faults in FAULTS.items()}
        self.counts = dict.fromkeys(FAULTS, 0)

    def __call__(self, request: S3Forwarder) -> Fault | None:
        kind, asked = request.kind, (request.command, request.path + request.headers.get("Range", ""))
        if kind not in FAULTS or asked in self.seen:
            return None
        self.seen.add(asked)
        self.counts[kind] += 1
        return next(self.turns[kind]) if self.counts[kind] % EVERY[kind] == 0 else None


def test_a_bucket_that_refuses_breaks_off_and_loses_answers(
    bucket: str, stumbling: tuple[S3Proxy, str], undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch
) -> None:
    """Also of the records: what a try created whose answer was lost is known by its name as its own."""
    project, (proxy, address) = write_cube(tmp_path, bucket), stumbling
    proxy.fault = Stumbling()
    with monkeypatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", address)
        finish(furrow("map", project))
    print(f"{sum(proxy.met.values())} faults in {len(proxy.asked)} requests:", dict(sorted(proxy.met.items())))
    for kind, faults in FAULTS.items():
        met = {name: proxy.met[f"{kind} {name}"] for name in (fault.__name__ for fault in faults)}
        assert sum(met.values()) >= 5 and (kind in ("GET", "HEAD") or all(met.values())), (kind, met)
    assert not Store(plan_of(project).root, MAP).ledger.failed()
    check(project, undisturbed)


def test_tiles_that_a_bucket_refuses_are_named_and_done_by_the_same_command(
    bucket: str, stumbling: tuple[S3Proxy, str], undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch
) -> None:
    project, (proxy, address) = write_cube(tmp_path, bucket), stumbling
    plan = plan_of(project)
    refused = {str(plan.tiles[4]), str(plan.tiles[19])}
    proxy.fault = lambda request: slow_down if request.content and any(map(request.key.count, refused)) else None
    with monkeypatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", address)
        environment.setenv("AWS_MAX_ATTEMPTS", "1")
        output = ends_with(1, furrow("map", project))
        assert "2 units of map.zarr failed" in output and all(unit in output for unit in refused), output
        assert f"furrow map {project}" in output
        assert Store(plan.root, MAP).ledger.done() == set(map(str, plan.tiles)) - refused
        print(f"{proxy.met['PUT slow_down']} uploads were refused")
        proxy.fault = lambda request: None
        finish(furrow("map", project))
    check(project, undisturbed)


def test_a_bucket_that_is_gone_in_the_middle_ends_the_command_without_a_traceback(
    bucket: str, stumbling: tuple[S3Proxy, str], undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch
) -> None:
    project, (proxy, address) = write_cube(tmp_path, bucket), stumbling

    def gone_after_some(request: S3Forwarder) -> Fault | None:
        records = sum("/done/" in asked and asked.startswith("PUT") for asked in proxy.asked)
        return dropped if records > 8 else None

    proxy.fault = gone_after_some
    with monkeypatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", address)
        environment.setenv("AWS_MAX_ATTEMPTS", "1")
        output = ends_with(1, furrow("map", project))
        assert "not finished" in output and f"furrow map {project}" in output, output
        assert 0 < len(Store(plan_of(project).root, MAP).ledger.done()) < 28
        print(f"{sum(proxy.met.values())} requests were dropped")
        proxy.fault = lambda request: None
        finish(furrow("map", project))
    check(project, undisturbed)


def through(address: str, url: str) -> Root:
    """A root whose requests go through a proxy, each with few tries."""
    root = Root(url)
    few = {"retries": {"max_attempts": 1}}
    root.__dict__["_fs"] = s3fs.S3FileSystem(endpoint_url=address, config_kwargs=few, skip_instance_cache=True)
    return root


@pytest.mark.parametrize("fault", [lost, doubtful])
@pytest.mark.parametrize("times", [1, 100])
def test_who_created_a_record_whose_answer_is_lost_knows_it_by_its_name(
    bucket: str, stumbling: tuple[S3Proxy, str], fault: Fault, times: int
) -> None:
    """Whether a later try is told that the record is there, or no try is ever answered."""
    proxy, address = stumbling
    root = through(address, bucket)
    attempt = Store(root, MAP).attempt("r+00001c+00001")
    for number, data in enumerate((b"crop", b"confidence")):
        root.write(attempt._place(number), data)
        attempt.objects[f"{data.decode()}/c/0/0"] = str(number)
    proxy.fault = lambda request: fault if request.kind == "record" and sum(proxy.met.values()) < times else None
    counts = attempt.commit({"classes": {}})
    assert proxy.met[f"record {fault.__name__}"] >= min(times, 3)
    assert counts["attempt"] == attempt.name
    assert root.read(f"{MAP}/crop/c/0/0") == b"crop" and root.read(f"{MAP}/confidence/c/0/0") == b"confidence"
    assert not list(root.keys(attempts_of(root, MAP)))


# a disk


def test_a_disk_that_fills(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    place = tmp_path / "disk"
    with disk(place, "64m"):
        project = write_cube(tmp_path, str(place / "root"))
        room = sum(map(len, undisturbed.values())) // 2
        resize(place, f"{(shutil.disk_usage(place).used + room) // 1024}k")
        output = ends_with(2, furrow("map", project))
        assert "no space left" in output and "Free some space" in output, output
        root = plan_of(project).root
        done, found = Store(root, MAP).ledger.done(), bytes_of(root)
        print(f"the disk was full after {len(done)} of 28 tiles")
        assert 0 < len(done) < 28
        assert [key for key in found if found[key] != undisturbed.get(key)] == [], "what is in the map is whole"
        resize(place, "64m")
        finish(furrow("map", project))
        check(project, undisturbed)


# the cluster's head


def commanded(project: Path, *disturbances: Disturbance) -> "subprocess.Popen[str]":
    """The command, whose workers are disturbed."""
    given = [f"{one.point}/{one.tile}/{one.victim}" for one in disturbances]
    return subprocess.Popen(
        [sys.executable, "-c", "import made_map; made_map.command()", str(project), *given],
        cwd=HOUSE / "tests",
        env=os.environ | {"PYTHONPATH": PLACES},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("victim", ["machine", "head", "gcs"])
def test_a_killed_head(project: Path, undisturbed: dict[str, bytes], victim: str) -> None:
    """With its machine, or alone: workers that live on then do what they have in hand, and that may be all.

    A machine is killed with the last of six groups, which is handed out when two are done: some tiles are committed."""
    killed = Disturbance("computing", 27 if victim == "machine" else 9, victim)
    process = commanded(project, killed)
    happened = Disturbing(str(project.parent), (), (), {}).mark(killed)
    while not happened.exists():
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
        assert process.poll() is None, process.communicate()
    began = time.monotonic()
    output, _ = process.communicate(timeout=PATIENCE)
    seconds, status = time.monotonic() - began, process.returncode
    done = len(Store(plan_of(project).root, MAP).ledger.done())
    said = [line for line in output.splitlines() if "furrow" in line or "head" in line]
    print(f"{victim} killed: status {status} after {seconds:.0f} s, {done} of 28 tiles done; {' '.join(said)}")
    assert seconds < 120 and "Traceback" not in output, output
    assert status == 0 and done == 28 or status and f"furrow map {project}" in output, output
    assert victim != "machine" or status and 0 < done < 28
    finish(furrow("map", project))
    check(project, undisturbed)
