"""One ground described as each catalogue describes it: the cubes are equal to the last count."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import made_scenes as made
import numpy as np
import pytest
from recorded import (
    COLLECTION_1,
    COPERNICUS,
    COPERNICUS_2020,
    FLAGGED,
    PLANETARY,
    STACTOOLS_0212,
    STACTOOLS_0400,
    V0,
    needs_real,
    recorded,
)

from catalogs.bands import BANDS, CLEAR_SCL, NATIVE_RESOLUTION
from catalogs.dark_pixels import confirm
from catalogs.stac.providers import provider_of
from pipelines.offset_check import Sampling, sample
from pipelines.scene_search import access_of

pytestmark = [needs_real, pytest.mark.filterwarnings("ignore:Could not parse bucket")]  # a path is not in a bucket

Counts = np.ndarray
Added = Callable[[Counts], Counts]
"""Reflectance x 10000, which may be below zero, to the counts of a file; 0 only where a provider has clipped."""

WHEN = "2021-06-14T10:05:59.024Z"


def offset_in(truth: Counts) -> Counts:
    return truth + 1000


def offset_taken_out(truth: Counts) -> Counts:
    return truth.clip(0)


def offset_never_in(truth: Counts) -> Counts:
    """ESA's older processors write 1 for ground that is darker."""
    return truth.clip(1)


@dataclass(frozen=True)
class Description:
    """How one catalogue tells of the scene, and what its files hold."""

    provider: str
    collection: str
    recording: str
    added: Added
    changed: Mapping[str, Any] = field(default_factory=dict)
    write: made.Writer = made.cog


NOT_APPLIED = {"earthsearch:boa_offset_applied": False}
L2A, C1, V0_NAME = "sentinel-2-l2a", "sentinel-2-c1-l2a", "sentinel-s2-l2a-cogs"

DESCRIPTIONS = {
    "earth search, flag true": Description("earth-search", L2A, FLAGGED, offset_taken_out),
    "earth search, flag false, 05.11": Description("earth-search", L2A, FLAGGED, offset_in, NOT_APPLIED),
    "earth search, flag false, 02.14": Description(
        "earth-search", L2A, FLAGGED, offset_never_in, NOT_APPLIED | {"s2:processing_baseline": "02.14"}
    ),
    "earth search, collection 1": Description("earth-search", C1, COLLECTION_1, offset_in),
    "earth search v0": Description("earth-search", V0_NAME, V0, offset_taken_out),
    "earth search v0, flag false": Description(
        "earth-search", V0_NAME, V0, offset_in, {"sentinel:boa_offset_applied": False}
    ),
    "planetary computer, 02.12": Description("planetary-computer", L2A, PLANETARY, offset_never_in),
    "planetary computer, 04.00": Description(
        "planetary-computer", L2A, PLANETARY, offset_in, {"s2:processing_baseline": "04.00"}
    ),
    "copernicus, N0500": Description("cdse", L2A, COPERNICUS_2020, offset_in, write=made.lossless_jp2),
    "copernicus, N0500, another": Description("cdse", L2A, COPERNICUS, offset_in),
    "local archive, flag true": Description("local", L2A, FLAGGED, offset_taken_out),
    "local archive, collection 1": Description("local", C1, COLLECTION_1, offset_in),
    "local archive, stactools 02.12": Description("local", C1, STACTOOLS_0212, offset_never_in),
    "local archive, stactools 04.00": Description("local", C1, STACTOOLS_0400, offset_in),
}


@pytest.fixture(autouse=True)
def keys_for_copernicus(monkeypatch):
    """Its rows ask for keys, even if all links lead to files; these are never used."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")


SCENE = (230, 246)
"""Pixels of 10 m: some of the ground of two by two tiles lies outside."""


@pytest.fixture(scope="module")
def truth() -> dict[str, Counts]:
    """Reflectance x 10000 and SCL: bright ground and dark, some of it below zero, under all classes."""
    rng = np.random.default_rng(7)
    shapes = {band: tuple(side * 10 // step for side in SCENE) for band, step in NATIVE_RESOLUTION.items()}
    bands = {band: rng.integers(40, 6000, shapes[band], np.int32) for band in BANDS}
    for band in BANDS:
        dark = rng.random(shapes[band]) < 0.03
        bands[band][dark] = rng.choice([-40, -1, 0, 1, 2], int(dark.sum()))
    bands["B02"][100:110], bands["B8A"][50:55] = 0, 0  # dark in one band over a stretch
    for band in BANDS[1:]:  # and in all bands but one, which is as dark as ground with data can be
        bands[band][10:15, 10:15] = 0
    bands["B02"][:40, :40] = 1234
    classes = rng.choice([4] * 20 + list(range(1, 12)), shapes["SCL"]).astype(np.uint8)
    return bands | {"SCL": classes}


def empty(pixels: dict[str, Counts]) -> dict[str, Counts]:
    """With a corner that the satellite did not see."""
    for band, counts in pixels.items():
        side = 600 // NATIVE_RESOLUTION[band]
        counts[-side:, :side] = 0
    return pixels


@pytest.fixture(scope="module")
def expected(truth: dict[str, Counts]) -> tuple[Counts, Counts]:
    """Reflectance and observations as numpy has them: what is not above zero meets at 1, since 0 is no data."""
    height, width = SCENE
    seen = np.isin(made.on_10_metres(truth, "SCL"), CLEAR_SCL)
    seen[-60:, :60] = False
    picture, count = np.zeros((10, 256, 256), np.uint16), np.zeros((256, 256), np.uint8)
    picture[:, :height, :width] = np.where(seen, made.stacked(truth).clip(1), 0)
    count[:height, :width] = seen
    return picture, count


def files_of(description: Description, truth: dict[str, Counts], folder: Path) -> dict[str, str]:
    bands = {band: description.added(truth[band]).astype(np.uint16) for band in BANDS}
    return made.write_pixels(folder, empty(bands | {"SCL": truth["SCL"].copy()}), write=description.write)


def item_of(description: Description, files: Mapping[str, str], ground: dict[str, Any]) -> dict[str, Any]:
    provider = provider_of(description.provider, description.collection)
    item = made.moved(recorded(description.recording)[0], provider, files, ground, WHEN)
    return item | {"properties": item["properties"] | description.changed}


def plan_of(description: Description, truth: dict[str, Counts], form: Any, folder: Path) -> Any:
    item = item_of(description, files_of(description, truth, folder / "files"), made.ground_of_pixels(truth))
    catalog = form(folder, [item])
    return made.plan_of(folder, catalog, provider=description.provider, collection=description.collection)


@pytest.mark.parametrize("form", [made.static_catalogue, made.parquet_catalogue])
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_every_description_gives_the_truth_to_the_last_count(name, form, truth, expected, tmp_path):
    plan = plan_of(DESCRIPTIONS[name], truth, form, tmp_path)
    picture, count = made.cube_of(plan)
    assert (count == expected[1]).all() and (picture == expected[0]).all()
    assert {0, 1} <= set(np.unique(picture)) and 0.5 < (count > 0).mean() < 0.9


@pytest.mark.parametrize("name", [name for name in DESCRIPTIONS if "local" not in name])
def test_the_pixels_confirm_every_description(name, truth, tmp_path):
    plan = plan_of(DESCRIPTIONS[name], truth, made.static_catalogue, tmp_path)
    scene = made.begin(plan)[1].scenes[0]
    evidence = sample(Sampling(plan.root, scene, access_of(plan)))
    assert confirm(scene.offset, evidence) == "confirms", str(evidence)


def test_the_files_differ_as_the_catalogues_do(truth):
    """Else the test above would show nothing."""
    held = {name: description.added(truth["B04"]) for name, description in DESCRIPTIONS.items()}
    assert len({counts.tobytes() for counts in held.values()}) == 3
    assert (held["earth search, flag true"] == 0).any() and not (held["planetary computer, 02.12"] == 0).any()


def test_the_files_of_copernicus_are_jpeg_2000(truth, tmp_path):
    files = files_of(DESCRIPTIONS["copernicus, N0500"], truth, tmp_path)
    assert all(Path(path).read_bytes()[4:8] == b"jP  " for path in files.values())


@pytest.mark.parametrize("composite", ["median", "best"])
def test_scenes_of_three_descriptions_are_merged_as_one(composite, truth, expected, tmp_path):
    """One collection holds flags and baselines of all kinds; here all three tell of the same ground."""
    items = []
    for day, name in enumerate(["flag true", "flag false, 05.11", "flag false, 02.14"], start=11):
        description = DESCRIPTIONS[f"earth search, {name}"]
        item = item_of(description, files_of(description, truth, tmp_path / name), made.ground_of_pixels(truth))
        take = f"GS2B_202106{day}T100559_022000_N05.11"
        item["properties"] |= {"datetime": WHEN.replace("14T", f"{day}T"), "s2:datatake_id": take}
        items.append(item | {"id": name.replace(" ", "-")})
    plan = made.plan_of(tmp_path, made.static_catalogue(tmp_path, items), composite=composite)
    picture, count = made.cube_of(plan)
    assert (picture == expected[0]).all() and (count == 3 * expected[1]).all()
