"""A map on a real S3 server: whoever creates a record first has done the tile, and kills change no byte."""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import s3fs
from made_map import Disturbance, bytes_of, map_disturbed, map_here, write_cube
from servers import s3
from test_renewal import change_ground

from catalogs.crops import MAP
from catalogs.root import Root
from cluster.progress import LineProgress
from pipelines.plan import make_plan
from pipelines.project import load_project
from pipelines.seam_check import find_seams
from pipelines.verify import verify

pytestmark = pytest.mark.slow

HOUSE = Path(__file__).parents[1]
BUCKET = "furrow-map"
KILLS = tuple(
    Disturbance(point, tile)
    for tile, point in enumerate(["computing", "before the record", "after the record"], start=3)
)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3() as variables, pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            environment.delenv(name)
        for name, value in variables.items():
            environment.setenv(name, value)
        environment.setenv("PYTHONPATH", os.pathsep.join([str(HOUSE / "tests"), str(HOUSE)]))
        s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True).mkdir(BUCKET)
        yield f"s3://{BUCKET}"


def test_of_many_who_create_at_once_one_is_told_so(bucket: str) -> None:
    root = Root(f"{bucket}/race")
    for turn in range(10):
        with ThreadPoolExecutor(6) as pool:
            won = list(pool.map(lambda who, key=f"a/{turn}": root.create(key, bytes([who])), range(6)))
        assert sum(won) == 1 and root.read(f"a/{turn}") == bytes([won.index(True)])


def test_an_object_moves_once(bucket: str) -> None:
    root = Root(f"{bucket}/moves")
    root.write("here", b"1")
    assert root.move("here", "there") and not root.move("here", "there")
    assert root.read("there") == b"1" and not root.exists("here")


def test_workers_killed_while_they_map_to_a_bucket(bucket: str, tmp_path: Path) -> None:
    """The same bytes as on a disk, where nobody was killed."""
    local, remote = (laid_out(tmp_path / name, root) for name, root in (("disk", ""), ("bucket", f"{bucket}/run")))
    map_here(make_plan(load_project(local)))
    disturbing = map_disturbed(remote, KILLS)
    happened = [kill for kill in KILLS if disturbing.mark(kill).exists()]
    print(f"{len(happened)} of {len(KILLS)} kills happened")
    assert happened == [*KILLS]
    plan = make_plan(load_project(remote))
    verify(plan, LineProgress(io.StringIO()))
    assert not list(plan.root.keys(f"ledger/{MAP}/attempts"))
    expected, found = bytes_of(make_plan(load_project(local)).root), bytes_of(plan.root)
    assert expected.keys() == found.keys() and [key for key in found if found[key] != expected[key]] == []
    seams = find_seams(plan, LineProgress(io.StringIO()))
    assert seams["places"] == 16 and seams["pixels"] > 100_000 and seams["differing"] == 0


def test_changed_ground_in_a_bucket_makes_anew_what_sees_it(bucket: str, tmp_path: Path) -> None:
    """Its shards are replaced there, whatever a listing that was kept may say."""
    made = []
    for name, root in (("disk", ""), ("bucket", f"{bucket}/changed")):
        plan, said = make_plan(load_project(laid_out(tmp_path / name, root))), io.StringIO()
        map_here(plan)
        change_ground(plan)
        map_here(plan, LineProgress(said))
        assert "6 of 28 tiles are made anew" in said.getvalue()
        verify(plan, LineProgress(io.StringIO()))
        made.append(bytes_of(plan.root))
    assert made[0] == made[1]


def laid_out(folder: Path, root: str) -> Path:
    folder.mkdir()
    return write_cube(folder, root or str(folder / "root"))
