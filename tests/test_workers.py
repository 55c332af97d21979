"""Workers: every item once whatever dies, failures by their reason, and what is kept between stages."""

import os
import signal
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from cluster.actors import Slots, each_on_actors
from cluster.items import item_workers
from cluster.kept import kept
from cluster.session import ray_session
from cluster.tasks import dask_workers, each
from cluster.training import Team, train_on_workers

pytestmark = pytest.mark.slow


def square(folder: Path, item: int) -> int:
    """Kills its own process at item 5, once; item 7 always fails."""
    mark = folder / "killed"
    if item == 5 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)
    if item == 7:
        raise ValueError("seven")
    return item * item


def start(folder: Path):
    return partial(square, folder)


def deadly(item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), 9)
    return item


def start_deadly():
    return deadly


def post_twice(settings: str, team: Team) -> None:
    team.post({"rank": team.rank, "size": team.size, "settings": settings})


def resume_after_kill(folder: Path, team: Team) -> None:
    """Dies once in the middle; the second life sees what the first had finished."""
    done = folder / "done"
    if not done.exists():
        done.touch()
        os.kill(os.getpid(), 9)
    team.post({"resumed": True})


def start_adding():
    return lambda item: item + 1


class Odd(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def raise_odd(item: int) -> None:
    raise Odd("one", "two")


def start_odd():
    return raise_odd


@pytest.fixture(scope="module")
def ray():
    with kept(), ray_session("", 2) as session:
        yield session


def test_dask_does_every_item_once_though_a_worker_dies(tmp_path):
    with dask_workers(2) as workers:
        found = dict(each(workers, partial(square, tmp_path), range(40)))
    assert (tmp_path / "killed").exists(), "no worker was killed: the test tested nothing"
    assert isinstance(found.pop(7), ValueError)
    assert found == {i: i * i for i in range(40) if i != 7}


def test_actors_do_every_item_once_though_one_dies(ray, tmp_path):
    results = list(each_on_actors(ray, partial(start, tmp_path), range(40), Slots(actors=2, lease=3)))
    assert (tmp_path / "killed").exists(), "no actor was killed: the test tested nothing"
    assert len(results) == 40
    found = dict(results)
    assert isinstance(found.pop(7), ValueError)
    assert found == {i: i * i for i in range(40) if i != 7}


def test_an_item_that_kills_every_actor_is_given_up_and_the_others_are_done(ray):
    found = dict(each_on_actors(ray, start_deadly, range(6), Slots(actors=2, lease=1)))
    assert isinstance(found.pop(2), Exception)
    assert found == {i: i for i in (0, 1, 3, 4, 5)}


def test_those_that_were_handed_out_with_an_item_that_kills_are_done(ray):
    found = dict(each_on_actors(ray, start_deadly, range(12), Slots(actors=2, lease=4)))
    assert isinstance(found.pop(2), Exception)
    assert found == {i: i for i in range(12) if i != 2}


def hang_once(folder: Path, item: int) -> int:
    """The first who gets item 1 hangs for ever."""
    if item == 1:
        try:
            (folder / "hung").touch(exist_ok=False)
        except FileExistsError:
            return item
        signal.pause()
    return item


def start_hanging(folder: Path):
    return partial(hang_once, folder)


@pytest.mark.parametrize("threads", [1, 2])
def test_idle_actors_do_what_a_hanging_one_has_not_done_and_nothing_waits_for_it(ray, tmp_path, threads):
    slots = Slots(actors=2, lease=3, threads=threads)
    results = list(each_on_actors(ray, partial(start_hanging, tmp_path), range(20), slots))
    assert (tmp_path / "hung").exists(), "none hung: the test tested nothing"
    assert sorted(results) == [(i, i) for i in range(20)]


def write_for_ever_once(folder: Path, item: int) -> int:
    """The first who gets item 1 writes until it is killed."""
    if item == 1:
        try:
            (folder / "busy").symlink_to(str(os.getpid()))  # made and filled in one
        except FileExistsError:
            return item
        while True:
            (folder / "written").touch()
    return item


def start_writing(folder: Path):
    return partial(write_for_ever_once, folder)


@pytest.mark.parametrize("again", range(5))
def test_nothing_is_left_at_work(ray, tmp_path, again):
    assert len(list(each_on_actors(ray, partial(start_writing, tmp_path), range(4), Slots(actors=2, lease=1)))) == 4
    (tmp_path / "written").unlink(missing_ok=True)
    assert not psutil.pid_exists(int((tmp_path / "busy").readlink().name))
    assert not (tmp_path / "written").exists()


def test_more_actors_than_slots_are_slower_not_stuck(ray):
    found = dict(each_on_actors(ray, start_adding, range(20), Slots(actors=5, lease=2)))
    assert found == {i: i + 1 for i in range(20)}


def test_an_error_that_cannot_travel_is_told_by_its_text(ray):
    ((_, error),) = each_on_actors(ray, start_odd, [1], Slots(actors=1))
    assert isinstance(error, RuntimeError) and "Odd: one and two" in str(error)


@pytest.mark.parametrize("address", ["", "auto"])
def test_items_are_done_once_on_whatever_workers_there_are(ray, tmp_path, monkeypatch, address):
    asked = []
    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)  # which of them is that of "auto"
    with item_workers(address, 2) as each_item:
        found = {}
        for item, result in each_item(partial(square, tmp_path), (asked.append(i) or i for i in range(60))):
            assert len(asked) <= len(found) + 12, "items are made as workers ask for them, not all at once"
            found[item] = result
    assert (tmp_path / "killed").exists(), "no worker was killed: the test tested nothing"
    assert isinstance(found.pop(7), ValueError)
    assert found == {i: i * i for i in range(60) if i != 7}


def test_training_runs_on_every_worker_and_survives_a_death(ray, tmp_path):
    posts: list = []
    train_on_workers(ray, post_twice, "s", 2, 0, posts.append)
    assert sorted(post["rank"] for post in posts) == [0, 1] and {post["size"] for post in posts} == {2}
    again: list = []
    assert train_on_workers(ray, resume_after_kill, tmp_path, 1, 0, again.append) == 1, "nobody died"
    lost, resumed = again
    assert "all are started again" in lost["say"] and resumed == {"resumed": True}


class DiesOnArrival:
    """Settings that kill the first worker that unpacks them, so that its death is seen while workers start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return die_once, (self.folder,)


def die_once(folder: Path) -> str:
    if "RayTrainWorker" not in " ".join(psutil.Process().cmdline()):
        return "s"  # on the way to the workers
    try:
        (folder / "dead").touch(exist_ok=False)
    except FileExistsError:
        return "s"
    os.kill(os.getpid(), 9)


def test_a_death_while_workers_start_holds_no_slot_for_ever(ray, tmp_path):
    """As Ray Train does: it forgets what it had reserved for them."""
    posts: list = []
    assert train_on_workers(ray, post_twice, DiesOnArrival(tmp_path), 2, 0, posts.append) == 1
    assert ["could not be started" in post["say"] for post in posts if "say" in post] == [True]
    assert sorted(post["rank"] for post in posts[-2:]) == [0, 1]


def fail_for_good(folder: Path, team: Team) -> None:
    """Raises on one worker, while the others wait for it for ever."""
    with (folder / f"tried-{team.rank}").open("a") as file:
        file.write("x")
    if team.rank == 1:
        raise OverflowError("too large")
    team.total(torch.zeros(1))


def test_an_error_that_would_come_again_is_raised_as_it_was_and_at_once(ray, tmp_path):
    with pytest.raises(OverflowError, match="too large"):
        train_on_workers(ray, fail_for_good, tmp_path, 2, 0, print, final=(OverflowError,))
    assert (tmp_path / "tried-1").read_text() == "x"
