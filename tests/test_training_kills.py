"""SIGKILL of workers, a raylet and the driver, at steps drawn anew each time: the weights are the undisturbed ones."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from made_training import recipe_of, write_patches

from catalogs.root import Root
from cluster.session import ray_session
from cluster.training import Team, train_on_workers
from pipelines import training_loop
from pipelines.memory_limits import step_within_memory
from pipelines.recipe import Recipe

pytestmark = pytest.mark.slow

WEIGHTS = "checkpoints/season/weights.safetensors"
STEPS = 12
"""Of the training: three epochs of four."""

WORKERS = 2

HOUSE = Path(__file__).parents[1]
PLACES = [str(HOUSE / "tests"), str(HOUSE)]


@dataclass(frozen=True)
class Kill:
    """What is killed by the worker of this rank, once, when it is about to take this step (0, 1, ..)."""

    victim: str
    rank: int
    step: int

    def mark(self, root: str) -> Path:
        return Path(root) / f"killed-{self.victim}-{self.rank}-{self.step}"


@dataclass(frozen=True)
class Job:
    recipe: Recipe
    kills: tuple[Kill, ...] = ()
    driver: int = 0


def train_among_kills(job: Job, team: Team) -> None:
    """The real loop; before a step it may kill, so that no clock decides when."""

    def step(learner, parts, number):
        for kill in job.kills:
            mark = kill.mark(job.recipe.root.url)
            if (kill.rank, kill.step) == (team.rank, number) and not mark.exists():
                mark.touch()
                os.kill(victim_of(kill.victim, job.driver), signal.SIGKILL)
                if kill.victim != "worker":  # what is killed is not this process: it is not to win a step by that
                    signal.pause()
        return step_within_memory(learner, parts, number)

    training_loop.step_within_memory = step
    training_loop.train(job.recipe, team)


def victim_of(kind: str, driver: int) -> int:
    if kind == "raylet":
        assert Path(f"/proc/{os.getppid()}/comm").read_text().startswith("raylet")
    return {"worker": os.getpid(), "raylet": os.getppid(), "driver": driver}[kind]


def drawn(count: int) -> list[int]:
    """Different steps, in order; those of a failure are in its message."""
    chance = random.Random(7) if os.environ.get("CI") else random.Random()
    return sorted(chance.sample(range(1, STEPS), count))


@pytest.fixture(scope="module", autouse=True)
def _workers_find_the_tests() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join(PLACES))
        yield


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return write_patches(Root(str(tmp_path_factory.mktemp("patches"))))


def recipe_in(folder: Path, patches: Root) -> Recipe:
    """Written down after every step, so that a kill in the middle of an epoch counts."""
    (folder / "patches.zarr").symlink_to(Path(patches.url) / "patches.zarr")
    return recipe_of(Root(str(folder)), epochs=3, ema=0.9, save_minutes=0.0)


@pytest.fixture(scope="module")
def undisturbed(patches: Root, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    recipe = recipe_in(tmp_path_factory.mktemp("undisturbed"), patches)
    with ray_session("", WORKERS) as ray:
        assert train_on_workers(ray, train_among_kills, Job(recipe), WORKERS, 0, print) == 0
    return recipe.root.read(WEIGHTS)


def check(job: Job, undisturbed: bytes) -> None:
    """Every kill happened, and no step was lost or taken twice."""
    root = job.recipe.root
    for kill in job.kills:
        assert kill.mark(root.url).exists(), f"{kill} did not happen: the test tested nothing"
    lines = [json.loads(line) for line in root.read("training/season/metrics.jsonl").splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, STEPS + 1))
    assert root.read(WEIGHTS) == undisturbed, f"other weights after {job.kills}"


def test_killed_workers(patches: Root, undisturbed: bytes, tmp_path: Path) -> None:
    first, second = drawn(2)
    job = Job(recipe_in(tmp_path, patches), (Kill("worker", 1, first), Kill("worker", 0, second)))
    said: list[str] = []
    with ray_session("", WORKERS) as ray:
        restarts = train_on_workers(
            ray, train_among_kills, job, WORKERS, 0, lambda post: said.append(post["say"]) if "say" in post else None
        )
    assert restarts == len(job.kills), job
    resumed = [line for line in said if "goes on after" in line]
    assert resumed == [f"train: season goes on after step {step} of {STEPS}" for step in (first, second)]
    check(job, undisturbed)


def test_killed_raylet(patches: Root, undisturbed: bytes, tmp_path: Path) -> None:
    """Three machines of one slot each, of which two train; the third takes over for the one that is lost."""
    (step,) = drawn(1)
    job = Job(recipe_in(tmp_path, patches), (Kill("raylet", random.Random().randrange(WORKERS), step),))
    soon = {"health_check_period_ms": 500, "health_check_failure_threshold": 3, "health_check_initial_delay_ms": 0}
    import ray  # here, since `undisturbed` has set what Ray wants to know when it is imported
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": soon})
    try:
        for _ in range(WORKERS + 1):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False)
        assert train_on_workers(ray, train_among_kills, job, WORKERS, 0, print) == 1, job
        assert len([node for node in ray.nodes() if node["Alive"]]) == WORKERS + 1, "no machine was lost"
    finally:
        ray.shutdown()
        cluster.shutdown()
    check(job, undisturbed)


DRIVER = """
import os
from test_training_kills import WORKERS, Job, Kill, recipe_of, train_among_kills
from catalogs.root import Root
from cluster.session import ray_session
from cluster.training import train_on_workers
recipe = recipe_of(Root({root!r}), epochs=3, ema=0.9, save_minutes=0.0)
with ray_session("", WORKERS) as ray:
    train_on_workers(ray, train_among_kills, Job(recipe, {kills!r}, os.getpid()), WORKERS, 0, print)
"""


def test_killed_driver(patches: Root, undisturbed: bytes, tmp_path: Path) -> None:
    (step,) = drawn(1)
    job = Job(recipe_in(tmp_path, patches), (Kill("driver", random.Random().randrange(WORKERS), step),))
    code = DRIVER.format(root=str(tmp_path), kills=job.kills)
    ends = [subprocess.run([sys.executable, "-c", code], check=False, cwd=HOUSE).returncode for _ in range(2)]
    assert ends == [-signal.SIGKILL, 0], job
    check(job, undisturbed)
