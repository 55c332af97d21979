"""Scenes and stores on a real S3 server: what comes of them is what comes of files, and kills change nothing."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import s3fs
import xarray as xr
from conftest import PROJECT, finish, furrow
from made_training import recipe_of, write_patches
from servers import s3

from catalogs.root import Root
from cluster.training import alone
from pipelines import training_metrics
from pipelines.training_loop import train

pytestmark = pytest.mark.slow

SMALL = {"tile = 128": "tile = 256", "end = 2021-10-31": "end = 2021-06-30"}

COLLECTION = "sentinel-2-l2a"
SCENES, STORE = "furrow-scenes", "furrow-store"
"""Buckets."""

STORES = ("cube.zarr", "labels.zarr")
PATIENCE = 120
"""Seconds in which the first unit of a run is done on the slowest machine."""


@pytest.fixture(scope="module")
def secrets() -> Iterator[tuple[str, str]]:
    """What must stay secret. A server runs, and the environment, nothing else, says where and who asks."""
    with s3() as variables, pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            environment.delenv(name)
        for name, value in variables.items():
            environment.setenv(name, value)
        yield variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture(scope="module")
def bucket(secrets: tuple[str, str]) -> s3fs.S3FileSystem:
    files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    files.mkdir(SCENES), files.mkdir(STORE)
    return files


class Run:
    """A project on the small country, what its commands said, and where."""

    def __init__(self, folder: Path, catalog: Path, root: str, changes: dict[str, str] | None = None) -> None:
        self.root, self.file, self.said = root, folder / "project.toml", ""
        text = PROJECT.format(catalog=catalog, root=root)
        for old, new in (SMALL | (changes or {})).items():
            assert old in text
            text = text.replace(old, new)
        self.file.write_text(text)

    def __call__(self, *words: str) -> str:
        output = finish(furrow(words[0], self.file, *words[1:]))
        self.said += output
        return output

    def digests_of(self, store: str) -> dict[str, str]:
        """Short, so that a difference can be shown."""
        return {key: sha256(content).hexdigest() for key, content in self.bytes_of(store).items()}

    def bytes_of(self, store: str) -> dict[str, bytes]:
        """Every object of a store by its key."""
        if "://" not in self.root:
            folder = Path(self.root, store)
            return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return {key.split(f"/{store}/")[1]: content for key, content in objects_below(f"{self.root}/{store}").items()}


def objects_below(place: str) -> dict[str, bytes]:
    files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    found: dict[str, bytes] = files.cat(files.find(place))
    return found


@pytest.fixture(scope="module")
def local(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Undisturbed, in a folder."""
    folder = tmp_path_factory.mktemp("local")
    run = Run(folder, catalog, str(folder / "root"))
    run("ingest"), run("label")
    return run


@pytest.fixture(scope="module")
def remote(bucket: s3fs.S3FileSystem, catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Undisturbed, from scenes in one bucket to a root in another."""
    bucket.put(f"{catalog}/{COLLECTION}", f"{SCENES}/", recursive=True)
    listed = tmp_path_factory.mktemp("listed")
    for path in catalog.rglob("*.json"):
        (listed / path.relative_to(catalog)).parent.mkdir(parents=True, exist_ok=True)
        (listed / path.relative_to(catalog)).write_text(path.read_text().replace('"./', f'"{links_of(path, catalog)}'))
    # A bucket is allowed by the name of its host: plain names are no hosts.
    changes = {
        f'catalog = "{catalog}/catalog.json"': f'catalog = "{listed}/catalog.json"\nhosts = ["{SCENES}.s3.example.org"]'
    }
    run = Run(tmp_path_factory.mktemp("remote"), catalog, f"s3://{STORE}/a country/2021", changes)
    run("ingest"), run("label")
    return run


def links_of(path: Path, catalog: Path) -> str:
    """What the links of an item in the bucket begin with; those of a catalogue stay as they are."""
    is_item = path.parent.parent.name == COLLECTION
    return f"s3://{SCENES}/{path.parent.relative_to(catalog)}/" if is_item else "./"


@pytest.mark.parametrize("store", STORES)
def test_what_lies_in_a_bucket_is_what_lies_in_a_folder(local: Run, remote: Run, store: str) -> None:
    assert set(remote.digests_of(store)) == set(local.digests_of(store))
    ours = xr.open_zarr(f"{remote.root}/{store}", decode_coords="all").load()
    assert ours.identical(xr.open_zarr(f"{local.root}/{store}", decode_coords="all").load())
    assert ours.sizes["y"] > 0


def test_a_second_run_writes_nothing_and_status_counts_what_is_done(remote: Run, bucket: s3fs.S3FileSystem) -> None:
    def objects() -> dict[str, Any]:
        """A report is written again; the pixels and what is known of them must not even be touched."""
        found = bucket.find(STORE, detail=True).items()
        return {
            key: (about["ETag"], "/ingest/" in key or "/labels/" in key or about["LastModified"])
            for key, about in found
        }

    before = objects()
    assert "done before" in remote("ingest") and "done before" in remote("label")
    result = next(json.loads(line) for line in remote("status", "--json").splitlines() if '"result"' in line)
    for store in STORES:
        assert result["stores"][store]["done"] == result["stores"][store]["planned"] > 0
    assert objects() == before


def kill_when(process: "subprocess.Popen[str]", ready: Callable[[], bool]) -> None:
    """SIGKILL the whole group as soon as `ready`; fails if the command ended or the moment never came."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None, f"it ended before it could be killed: {process.communicate()[0]}"
        assert time.monotonic() < deadline, "the moment to kill never came"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_in_the_middle_and_started_again_the_bytes_are_the_same(
    local: Run, remote: Run, bucket: s3fs.S3FileSystem, catalog: Path, tmp_path: Path
) -> None:
    run = Run(tmp_path, catalog, f"s3://{STORE}/killed")
    planned = len(list(Path(local.root, "ledger/cube.zarr/done").iterdir()))

    def done() -> int:
        return len(bucket.find(f"{STORE}/killed/ledger/cube.zarr/done"))

    kill_when(furrow("ingest", run.file), lambda: done() > 0.3 * planned)
    assert 0 < done() < planned
    run("ingest")
    assert done() == planned and run.digests_of("cube.zarr") == remote.digests_of("cube.zarr")


def test_nothing_holds_the_keys_but_the_environment(
    remote: Run, bucket: s3fs.S3FileSystem, secrets: tuple[str, str]
) -> None:
    written = objects_below(f"s3://{STORE}")
    written |= {path: path.read_bytes() for path in remote.file.parent.rglob("*") if path.is_file()}
    written["what the commands said"] = remote.said.encode()
    assert len(written) > 50
    for secret in secrets:
        assert not [place for place, content in written.items() if secret.encode() in content]


def test_a_training_that_was_cut_goes_on_from_the_bucket(
    bucket: s3fs.S3FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(Exception):
        pass

    def post(values: Any) -> None:
        if values.get("step", 0) >= 6:
            raise Cut

    monkeypatch.setattr(training_metrics, "POST_SECONDS", 0.0)
    roots = [Root(str(tmp_path)), Root(f"s3://{STORE}/trained")]
    for root in roots:
        recipe = recipe_of(write_patches(root), epochs=2, save_minutes=0.0)
        with pytest.raises(Cut):
            train(recipe, alone(post))
        said: list[str] = []
        train(recipe, alone(lambda values, said=said: said.append(values["say"]) if "say" in values else None))
        assert said == ["train: season goes on after step 5 of 8"]
    weights = "checkpoints/season/weights.safetensors"
    assert roots[0].read(weights) == roots[1].read(weights)
    kept, sent = (sorted(key.partition(".1")[0] for key in set(root.keys("training"))) for root in roots)
    assert set(sent) == set(kept) and "training/season/metrics.jsonl" in sent
    assert any("events.out.tfevents" in key for key in sent)
