"""The kill matrix of `map`: whatever dies, hangs or comes late, the same command ends with the undisturbed map.

After each, `verify` reads the whole map again. How many kills really happened is printed; one that did not fails.
"""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_map import HOUSE, PLACES, Disturbance, Disturbing, bytes_of, map_disturbed, wait_until, write_cube

from catalogs.ledger import Ledger
from cluster.progress import LineProgress
from pipelines.plan import Plan, make_plan
from pipelines.project import load_project
from pipelines.verify import verify

pytestmark = pytest.mark.slow

ACTORS = tuple(
    Disturbance(point, tile)
    for tile, point in enumerate(
        ["reading", "computing", "before the record", "after the record", "after all"], start=3
    )
)


@pytest.fixture(scope="module", autouse=True)
def _workers_find_the_tests() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", PLACES)
        environment.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "5")
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    path = write_cube(folder, str(folder / "root"))
    map_disturbed(path, ())
    return bytes_of(plan_of(path).root)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_cube(tmp_path, str(tmp_path / "root"))


def plan_of(path: Path) -> Plan:
    return make_plan(load_project(path))


def check(path: Path, undisturbed: dict[str, bytes], disturbances: tuple[Disturbance, ...]) -> None:
    """Every disturbance happened, every tile is there once, and no byte is another."""
    plan = plan_of(path)
    happened = [one for one in disturbances if Disturbing(str(path.parent), (), (), {}).mark(one).exists()]
    print(f"{len(happened)} of {len(disturbances)} disturbances happened: {', '.join(map(str, happened))}")
    assert happened == [*disturbances], "a test that disturbed nothing tested nothing"
    verify(plan, LineProgress(io.StringIO()))
    assert sorted(plan.root.keys("ledger/map.zarr/done")) == sorted(
        f"ledger/map.zarr/done/{t}.json" for t in plan.tiles
    )
    found = bytes_of(plan.root)
    assert found.keys() == undisturbed.keys()
    assert [key for key in found if found[key] != undisturbed[key]] == []
    assert not list(plan.root.keys("ledger/map.zarr/attempts"))


def test_actors_killed_at_every_point(project: Path, undisturbed: dict[str, bytes]) -> None:
    map_disturbed(project, ACTORS)
    check(project, undisturbed, ACTORS)


@pytest.mark.parametrize("point", ["before the record", "after the record"])
def test_a_paused_worker_wakes_after_its_tile_was_done_by_another(
    project: Path, undisturbed: dict[str, bytes], point: str
) -> None:
    paused = (Disturbance(point, 4, "pause"),)
    disturbing = map_disturbed(project, paused)
    assert disturbing.mark(paused[0], "late").exists(), "it never woke"
    check(project, undisturbed, paused)


def test_killed_raylets_one_and_then_two_at_once(project: Path, undisturbed: dict[str, bytes]) -> None:
    import ray
    from ray.cluster_utils import Cluster

    project.write_text(project.read_text().replace("workers = 2", "workers = 3"))
    disturbances = (
        Disturbance("computing", 0, "raylet"),
        Disturbance("before the record", 2, "raylet"),
        Disturbance("computing", 8, "raylet"),
    )
    soon = {"health_check_period_ms": 500, "health_check_failure_threshold": 3, "health_check_initial_delay_ms": 0}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": soon})
    try:
        for _ in range(5):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False)
        map_disturbed(project, disturbances)
        # a map may end sooner than Ray has missed a node three times
        wait_until(lambda: len(dead_nodes()) >= 3, "fewer than three nodes died")
        assert len(dead_nodes()) == 3
    finally:
        ray.shutdown()
        cluster.shutdown()
    check(project, undisturbed, disturbances)


def dead_nodes() -> list[str]:
    import ray

    return [node["NodeID"] for node in ray.nodes() if not node["Alive"]]


@pytest.mark.parametrize("workers", [1, 4])
def test_the_number_of_workers_changes_no_byte(tmp_path: Path, undisturbed: dict[str, bytes], workers: int) -> None:
    path = write_cube(tmp_path, str(tmp_path / "root"), workers)
    map_disturbed(path, ())
    check(path, undisturbed, ())
    ledger = Ledger(plan_of(path).root, "map.zarr")
    assert len({ledger.record(unit)["worker"] for unit in ledger.done()}) in range(min(workers, 2), workers + 1)


def commanded(project: Path, *disturbances: Disturbance) -> "subprocess.Popen[bytes]":
    """The verb in a process of its own."""
    given = json.dumps([[one.point, one.tile, one.victim] for one in disturbances])
    code = "import made_map; made_map.main()"
    return subprocess.Popen([sys.executable, "-c", code, str(project), given], cwd=HOUSE / "tests")


def test_a_killed_driver(project: Path, undisturbed: dict[str, bytes]) -> None:
    disturbances = (Disturbance("computing", 5, "driver"), Disturbance("before the record", 20, "driver"))
    ends = [commanded(project, *disturbances).wait(300) for _ in range(3)]
    assert ends == [-signal.SIGKILL, -signal.SIGKILL, 0]
    check(project, undisturbed, disturbances)


def test_two_runs_on_one_store(project: Path, undisturbed: dict[str, bytes]) -> None:
    """Both begin with nothing done; each ends well, and says that all is there."""
    runs = [commanded(project) for _ in range(2)]
    assert [run.wait(300) for run in runs] == [0, 0]
    check(project, undisturbed, ())
