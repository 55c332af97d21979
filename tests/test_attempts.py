"""Several writers at one unit: whoever commits first has done it, and nothing that was committed is written over."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogs.attempts import Attempt, attempts_of, settle
from catalogs.crops import MAP, map_layouts
from catalogs.grid import Grid
from catalogs.root import Root
from catalogs.shards import digest_of
from catalogs.stores import Store, plane_objects, spatial_coordinates
from catalogs.taxonomy import ten_crops

GRID = Grid.around((100_000, 200_000, 101_000, 201_000), "EPSG:3035", 10, 128)
ARRAYS = ("crop", "confidence")
TILE = next(GRID.tiles())
UNIT = str(TILE)
KEYS = plane_objects(GRID, TILE, ARRAYS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return begun(tmp_path)


def begun(folder: Path) -> Store:
    store = Store(Root(str(folder)), MAP)
    store.begin(map_layouts(GRID, ten_crops()), spatial_coordinates(GRID), {"store": "map"})
    return store


def written(store: Store, value: int) -> Attempt:
    attempt = store.attempt(UNIT)
    for array in store.arrays(*ARRAYS):
        attempt.write(array, GRID.window(TILE).slices, np.full((128, 128), value, np.uint8))
    return attempt


def in_store(store: Store) -> list[bytes | None]:
    paths = [Path(store.root.path(f"{MAP}/{key}")) for key in KEYS]
    return [path.read_bytes() if path.exists() else None for path in paths]


def lying_about(store: Store) -> list[str]:
    return list(store.root.keys(attempts_of(store.root, MAP)))


def value_in(store: Store) -> int:
    (value,) = np.unique(store.read("crop", GRID.window(TILE).slices))
    return int(value)


def test_nothing_is_in_the_store_before_the_commit_and_all_of_it_after(store: Store) -> None:
    attempt = written(store, 3)
    assert in_store(store) == [None, None] and store.to_do([(UNIT, KEYS)]) == [UNIT]
    record = attempt.commit({"n": 1})
    assert record["n"] == 1 and record["digests"] == [digest_of([data]) for data in in_store(store)]
    assert value_in(store) == 3 and store.to_do([(UNIT, KEYS)]) == [] and lying_about(store) == []


def test_a_late_writer_changes_nothing_and_learns_whose_work_counts(store: Store) -> None:
    late = written(store, 4)
    first = written(store, 3).commit({"by": "first"})
    before = in_store(store)
    assert late.commit({"by": "late"}) == first
    assert in_store(store) == before and value_in(store) == 3 and lying_about(store) == []


def test_whoever_comes_next_finishes_what_was_committed_and_not_moved(store: Store) -> None:
    """Killed, or paused, between the record and the pixels' move."""
    paused = written(store, 3)
    record = {"attempt": paused.name, "objects": [*paused.objects], "digests": [*paused.objects.values()]}
    assert store.ledger.create(UNIT, record)
    assert store.missing([(UNIT, KEYS)]) == [UNIT]
    assert store.to_do([(UNIT, KEYS)]) == [] and value_in(store) == 3
    before = in_store(store)
    assert settle(store.root, MAP, UNIT, record)  # it wakes, and goes on with what it was about to do
    assert in_store(store) == before


def test_a_record_whose_pixels_are_lost_is_taken_back(store: Store) -> None:
    written(store, 3).commit({})
    Path(store.root.path(f"{MAP}/{KEYS[1]}")).unlink()
    assert store.to_do([(UNIT, KEYS)]) == [UNIT]
    written(store, 4).commit({})
    assert value_in(store) == 4 and store.to_do([(UNIT, KEYS)]) == []


def test_sweeping_leaves_only_the_store(store: Store) -> None:
    written(store, 3).commit({})
    loser = written(store, 4)
    assert lying_about(store)
    store.sweep()
    assert lying_about(store) == [] and value_in(store) == 3
    loser.discard()
    assert loser.commit({})["attempt"] != loser.name and value_in(store) == 3


def test_of_many_who_create_at_once_one_is_told_so(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    for turn in range(50):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda who, key=f"a/{turn}": root.create(key, bytes([who])), range(8)))
        assert sum(won) == 1 and root.read(f"a/{turn}") == bytes([won.index(True)])
    assert not list(tmp_path.rglob("*.partial"))


STEPS = ("write", "create", "settle", "end")


@settings(max_examples=60)
@given(
    turns=st.lists(st.integers(0, 3), min_size=4, max_size=20),
    killed=st.sets(st.integers(0, 3), max_size=2),
    at=st.integers(0, 3),
)
def test_in_whatever_order_writers_come_wake_and_die_one_attempt_is_the_unit(
    tmp_path_factory: pytest.TempPathFactory, turns: list[int], killed: set[int], at: int
) -> None:
    """Four writers with different pixels, each a few steps; what lies in the store once, lies there for ever."""
    store = begun(tmp_path_factory.mktemp("turns"))
    attempts: dict[int, Attempt] = {}
    done: dict[int, int] = dict.fromkeys(range(4), 0)
    seen: list[bytes | None] = [None, None]
    for who in [*turns, *range(4), *range(4), *range(4), *range(4)]:
        step = STEPS[min(done[who], 3)]
        if who in killed and STEPS.index(step) >= at:
            continue
        act(store, attempts, who, step)
        done[who] += 1
        for place, (before, now) in enumerate(zip(seen, in_store(store), strict=True)):
            assert before is None or now == before, "a committed shard was written over"
            seen[place] = now
    if store.to_do([(UNIT, KEYS)]):
        written(store, 9).commit({})
    record: dict[str, Any] = store.ledger.record(UNIT)
    assert [digest_of([data]) for data in in_store(store) if data] == record["digests"]


def act(store: Store, attempts: dict[int, Attempt], who: int, step: str) -> None:
    if step == "write":
        attempts[who] = written(store, who)
        return
    attempt = attempts[who]
    record = {"attempt": attempt.name, "objects": [*attempt.objects], "digests": [*attempt.objects.values()]}
    if step == "create":
        store.ledger.create(UNIT, record)
    elif step == "settle":
        settle(store.root, MAP, UNIT, store.ledger.record(UNIT))
    elif store.ledger.record(UNIT)["attempt"] != attempt.name:
        attempt.discard()
